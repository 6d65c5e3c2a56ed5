"""Small independent mechanisms; they import nothing of the application but its errors."""
