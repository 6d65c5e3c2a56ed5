"""Which sessions figures are about."""

from dataclasses import dataclass
from typing import Self

from ...core import strict_json
from ...core.timestamps import parse_timestamp
from ...errors import InvalidInput
from ...store.statistics import SessionRow
from ..export import MODES, STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a session must be, to be counted; None: anything.

    Attributes:
        since, until: when it began, microseconds since 1970 UTC: then or later, and before.
        since_text, until_text: the same as it was given, to be shown.
        mode: ``text`` or ``audio``, that it is in now.
        revision: that it is pinned to.
        status: ``in_progress``, ``completed`` or ``expired``, at the time of counting.
    """

    since: int | None = None
    until: int | None = None
    since_text: str | None = None
    until_text: str | None = None
    mode: str | None = None
    revision: str | None = None
    status: str | None = None

    @classmethod
    def of(
        cls,
        *,
        since: str | None = None,
        until: str | None = None,
        mode: str | None = None,
        revision: str | None = None,
        status: str | None = None,
    ) -> Self:
        """Return what was asked for in words.

        Args:
            since, until: an ISO time, UTC where it names no zone; or a day, which ``until`` includes.

        Raises:
            InvalidInput: it can't be understood.
        """
        for name, given, known in (("mode", mode, MODES), ("status", status, STATUSES)):
            if given is not None and given not in known:
                raise InvalidInput(f"{name} must be one of {', '.join(known)}")
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

    def fit(self, row: SessionRow, at: int) -> bool:
        """Return whether a session is counted; ``at`` is now, microseconds since 1970 UTC."""
        if self.revision is not None and row.revision != self.revision:
            return False
        if self.mode is not None and mode_of(row) != self.mode:
            return False
        if self.status is not None and status_of(row, at) != self.status:
            return False
        return self._began_in_time(row.started_at)

    def shown(self) -> dict[str, str | None]:
        """Return them as they were given."""
        return {
            "since": self.since_text,
            "until": self.until_text,
            "mode": self.mode,
            "revision": self.revision,
            "status": self.status,
        }

    def _began_in_time(self, started_at: int | None) -> bool:
        if self.since is None and self.until is None:
            return True
        if started_at is None:
            return False
        return (self.since is None or started_at >= self.since) and (self.until is None or started_at < self.until)


def mode_of(row: SessionRow) -> str:
    """Return the mode that a session is in."""
    return "audio" if row.is_audio_mode else "text"


def status_of(row: SessionRow, at: int) -> str:
    """Return the status of a session at a time: one whose time is over is expired before its row says so."""
    if row.status == "in_progress" and row.expires_at is not None and row.expires_at <= at:
        return "expired"
    return row.status
