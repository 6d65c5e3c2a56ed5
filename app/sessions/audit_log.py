"""The audit log: who read, exported or erased what."""

from collections.abc import Callable, Mapping

from ..store import Action, AuditEntry, AuditPage, audit, keyset
from ..survey import SessionKey


class AuditLog:
    """Records and reads entries. Safe from any thread.

    Args:
        clock: returns microseconds since 1970 UTC.
    """

    def __init__(self, run_read: keyset.Run, run_transaction: keyset.Run, clock: Callable[[], int]) -> None:
        self._run_read = run_read
        self._run_transaction = run_transaction
        self._clock = clock

    def record(
        self,
        actor: str,
        action: Action,
        key: SessionKey | None = None,
        detail: audit.Detail | None = None,
        *,
        survey_id: str | None = None,
        user_id: str | None = None,
    ) -> None:
        """Commit an entry about a session, a survey, or a participant in all surveys.

        Raises:
            Unavailable: it was not recorded, or the outcome is unknown.
        """
        entry = AuditEntry(
            at=self._clock(),
            actor=actor,
            action=action,
            survey_id=survey_id if key is None else key.survey_id,
            user_id=user_id if key is None else key.user_id,
            detail=detail or {},
        )
        self._run_transaction(lambda connection: audit.record(connection, entry))

    def page(
        self, after_id: int | None = None, limit: int = 100, filters: Mapping[str, str] | None = None
    ) -> AuditPage:
        """Return the next entries, newest first."""
        return self._run_read(lambda connection: audit.read_page(connection, after_id, limit, filters or {}))
