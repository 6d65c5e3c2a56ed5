"""Notifications between processes of changed sessions, over PostgreSQL, Redis or by polling."""

from .notifier import ChangeNotifier

__all__ = ["ChangeNotifier"]
