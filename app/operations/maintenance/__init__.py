"""Maintenance: expiry, retention, key rotation, and their schedule."""

from .expiry import ExpiryResult, expire
from .key_rotation import RotationResult, rotate_keys
from .purge_archive import PurgeArchive, read_archive
from .retention import purge
from .scheduler import MaintenanceScheduler

__all__ = [
    "ExpiryResult",
    "MaintenanceScheduler",
    "PurgeArchive",
    "RotationResult",
    "expire",
    "purge",
    "read_archive",
    "rotate_keys",
]
