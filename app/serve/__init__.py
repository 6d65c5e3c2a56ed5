"""The start of the server, and gunicorn's configuration, which must be read before the rest is imported."""
