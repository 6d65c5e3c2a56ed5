"""Filters of counted sessions."""

from dataclasses import dataclass
from typing import Self

from ...core import strict_json
from ...core.timestamps import parse_timestamp
from ...errors import InvalidInput
from ...store import statistics
from ..export import MODES, STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Properties of the counted sessions; None: any.

    Attributes:
        since, until: of the start, microseconds since 1970 UTC; ``until`` is exclusive.
        since_text, until_text: as the caller wrote them.
    """

    since: int | None = None
    until: int | None = None
    since_text: str | None = None
    until_text: str | None = None
    mode: str | None = None
    revision: str | None = None
    status: str | None = None

    @classmethod
    def parse(
        cls,
        *,
        since: str | None = None,
        until: str | None = None,
        mode: str | None = None,
        revision: str | None = None,
        status: str | None = None,
    ) -> Self:
        """Parse filters.

        Args:
            since, until: an ISO 8601 time (UTC without an offset), or a day, which ``until`` includes.

        Raises:
            InvalidInput: one is invalid.
        """
        for name, value, allowed in (("mode", mode, MODES), ("status", status, STATUSES)):
            if value is not None and value not in allowed:
                raise InvalidInput(f"{name} must be one of {', '.join(allowed)}")
        strict_json.check(revision, "revision")
        return cls(
            since=None if since is None else parse_timestamp(since, "since"),
            until=None if until is None else parse_timestamp(until, "until", ends_day=True),
            since_text=since,
            until_text=until,
            mode=mode,
            revision=revision,
            status=status,
        )

    def matches(self, row: statistics.SessionRow, at: int) -> bool:
        """Return whether it is counted; ``at`` is in microseconds."""
        if self.revision is not None and row.revision != self.revision:
            return False
        if self.mode is not None and session_mode(row) != self.mode:
            return False
        if self.status is not None and session_status(row, at) != self.status:
            return False
        return self._matches_start(row.started_at)

    def to_dict(self) -> dict[str, str | None]:
        return {
            "since": self.since_text,
            "until": self.until_text,
            "mode": self.mode,
            "revision": self.revision,
            "status": self.status,
        }

    def _matches_start(self, started_at: int | None) -> bool:
        if self.since is None and self.until is None:
            return True
        if started_at is None:
            return False
        return (self.since is None or started_at >= self.since) and (self.until is None or started_at < self.until)


def session_mode(row: statistics.SessionRow) -> str:
    """Return the current mode."""
    return "audio" if row.is_audio_mode else "text"


def session_status(row: statistics.SessionRow, at: int) -> str:
    """Return the status: expired from the deadline, before the row says so."""
    if row.status == "in_progress" and row.expires_at is not None and row.expires_at <= at:
        return "expired"
    return row.status
