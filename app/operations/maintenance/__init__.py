"""Expiry, retention, key rotation, and their schedule."""

from .expiry import ExpiryResult, expire
from .key_rotation import rotate_keys
from .purge_archive import PurgeArchive
from .retention import purge, purge_audit_log
from .scheduler import MaintenanceScheduler

__all__ = [
    "ExpiryResult",
    "MaintenanceScheduler",
    "PurgeArchive",
    "expire",
    "purge",
    "purge_audit_log",
    "rotate_keys",
]
