"""Background maintenance: expiry, retention, key rotation and their schedule."""
