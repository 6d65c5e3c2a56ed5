"""Filters of counted sessions."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ...core import strict_json
from ...core.timestamps import parse_timestamp
from ...errors import InvalidInput
from ..export import MODES, STATUSES

if TYPE_CHECKING:
    from ...store import statistics  # imports NumPy, which takes a tenth of a server's start


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Properties of the counted sessions; raises InvalidInput."""

    since: str | None = None
    until: str | None = None
    mode: str | None = None
    revision: str | None = None
    status: str | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (("mode", self.mode, MODES), ("status", self.status, STATUSES)):
            if value is not None and value not in allowed:
                raise InvalidInput(f"The parameter {name} must be one of {', '.join(allowed)}.")
        strict_json.check(self.revision, "revision")
        _ = self._period  # parses the times

    @cached_property
    def _period(self) -> tuple[float, float]:
        """Microseconds since 1970 UTC; the end is exclusive."""
        since, until = -math.inf, math.inf
        if self.since is not None:
            since = parse_timestamp(self.since, "The parameter since")
        if self.until is not None:
            until = parse_timestamp(self.until, "The parameter until", ends_day=True)
        return since, until

    def matches(self, row: "statistics.SessionRow") -> bool:
        if self.revision not in (None, row.revision) or self.mode not in (None, row.mode):
            return False
        if self.status not in (None, row.status):
            return False
        if row.started_at is None:
            return self.since is None and self.until is None
        since, until = self._period
        return since <= row.started_at < until
