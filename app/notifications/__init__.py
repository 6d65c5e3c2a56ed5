"""Notifications between processes of changed sessions and their versions, over PostgreSQL, Redis or by polling."""

from .notifier import ChangeNotifier

__all__ = ["ChangeNotifier"]
