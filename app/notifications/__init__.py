"""Notifications between processes: which sessions have changed."""
