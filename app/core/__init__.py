"""Small mechanisms that import nothing else of this package but its errors."""
