"""Notifications between processes of changed sessions."""

from .notifier import ChangeNotifier

__all__ = ["ChangeNotifier"]
