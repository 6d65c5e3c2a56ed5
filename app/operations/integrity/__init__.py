"""Integrity checks of sessions and of the audit log."""

from .audit_log import verify_audit_log
from .rebuild import RebuildRefused, RebuildResult, rebuild_all, rebuild_session
from .set_aside import is_set_aside, list_set_aside, read_stored_history, read_stored_session, split_set_aside_id
from .verify import check_session, verify_sessions

__all__ = [
    "RebuildRefused",
    "RebuildResult",
    "check_session",
    "is_set_aside",
    "list_set_aside",
    "read_stored_history",
    "read_stored_session",
    "rebuild_all",
    "rebuild_session",
    "split_set_aside_id",
    "verify_audit_log",
    "verify_sessions",
]
