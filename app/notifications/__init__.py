"""Change notifications between processes: which sessions changed, and to which version.

They travel over PostgreSQL's LISTEN/NOTIFY or over Redis. Without either, this process polls the versions of the
sessions that it shows.
"""

from .notifier import ChangeNotifier, open_notifier

__all__ = ["ChangeNotifier", "open_notifier"]
