"""Portable backups, and moves to another database; encrypted answers stay encrypted."""

from .files import Verified, create_backup, require_matching_history, verify_backup
from .migrate import move_database
from .replay_check import ReplayCounts
from .restore import restore_backup

__all__ = [
    "ReplayCounts",
    "Verified",
    "create_backup",
    "move_database",
    "require_matching_history",
    "restore_backup",
    "verify_backup",
]
