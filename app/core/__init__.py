"""Small independent mechanisms, imported module by module; they import nothing of the application but its errors."""
