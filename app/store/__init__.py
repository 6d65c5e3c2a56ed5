"""Persistence: tables, engines, transactions, retries and group commit. ``service.py`` is its only user."""
