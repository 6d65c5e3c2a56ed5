"""Maintenance: expiry, retention, the audit log, key rotation, and their schedule."""

from .audit_log import purge_audit_log
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
    "purge_audit_log",
    "read_archive",
    "rotate_keys",
]
