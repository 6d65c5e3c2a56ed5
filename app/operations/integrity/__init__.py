"""Integrity checks: verify sessions against the replay of their history, and rebuild them from it."""

from .rebuild import RebuildRefused, RebuildResult, rebuild, rebuild_all
from .verify import SessionCheck, verify_sessions

__all__ = ["RebuildRefused", "RebuildResult", "SessionCheck", "rebuild", "rebuild_all", "verify_sessions"]
