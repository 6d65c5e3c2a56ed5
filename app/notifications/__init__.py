"""Notifications between processes of changed sessions and their versions, over PostgreSQL, Redis or by polling."""

from .notifier import ChangeNotifier, open_notifier

__all__ = ["ChangeNotifier", "open_notifier"]
