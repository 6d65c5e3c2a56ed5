"""Portable backups, their restore, and the move to another database. Encrypted answers stay encrypted."""

from .create import create_backup
from .migrate import move_database
from .replay_check import ReplayCounts
from .restore import restore_backup
from .verify import Verified, require_matching_history, verify_backup

__all__ = [
    "ReplayCounts",
    "Verified",
    "create_backup",
    "move_database",
    "require_matching_history",
    "restore_backup",
    "verify_backup",
]
