"""Who may open a socket: how many at once, and only with credentials that are good for the session."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import flask

from ...access.principals import Anyone, Participant, Principal, require_session_access
from ...errors import RateLimited, Unauthorized
from ...settings import Settings
from ...survey import SessionKey
from ..authentication import Access, access, address
from ..authorization import note
from ..rate_limits import Meter
from . import messages

INTRODUCED_WITHIN_S = 10.0
"""Seconds for the first frame of a client that shows its credentials there."""


class Connections:
    """How many sockets are open, in all and of whom, and whether the server stops.

    Args:
        limit: of all.
        of_each: of one address, and of one participant, by what they are called; None: as many as of all.
    """

    def __init__(self, limit: int, of_each: Mapping[str, int] | None = None) -> None:
        self._limit = limit
        self._of_each = of_each or {}
        self._changed = threading.Condition()
        self._open = 0
        self._whose: Counter[tuple[str, str]] = Counter()
        self.stopping = False

    def enter(self) -> bool:
        """Count one in; False where there are too many, or the server stops."""
        with self._changed:
            if self.stopping or self._open >= self._limit:
                return False
            self._open += 1
            return True

    @property
    def open(self) -> int:
        """How many are open."""
        return self._open

    def leave(self) -> None:
        """Count one out."""
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    @contextmanager
    def counted(self, of: str, whose: str) -> Iterator[None]:
        """Count one in as of an address or a participant, for as long as the block lasts.

        Raises:
            RateLimited: he has too many open.
        """
        with self._changed:
            if self._whose[of, whose] >= self._of_each.get(of, self._limit):
                raise RateLimited(1)
            self._whose[of, whose] += 1
        try:
            yield
        finally:
            with self._changed:
                self._whose[of, whose] -= 1
                if not self._whose[of, whose]:
                    del self._whose[of, whose]

    def wait_until_closed(self, timeout_s: float) -> bool:
        """Wait until all are closed; drafts are saved by then."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout_s)


class Guest(NamedTuple):
    """Who was let in, and how his messages are counted."""

    who: Principal
    door: Access
    meter: Meter

    @property
    def may_stay(self) -> bool:
        """Whether what he showed holds still."""
        return self.door.holds(self.who)


def connections_of(settings: Settings) -> Connections:
    """Return the counts that these settings bound; in development all come from one address."""
    if settings.environment == "development":
        return Connections(settings.max_connections)
    few = max(4, settings.max_connections // 10)
    of_each = {"address": settings.address_sockets, "participant": settings.participant_sockets, "strangers": few}
    return Connections(settings.max_connections, of_each)


def admit(ws: Any, connections: Connections, key: SessionKey) -> Guest:  # noqa: ANN401
    """Return who comes, if he may; nothing of the session was looked at before.

    Raises:
        Unauthorized, Forbidden: he may not.
        RateLimited: he, or his address, comes too often.
    """
    door = access()
    door.limits.count("address_connections", address())
    who = door.who(key)
    if isinstance(who, Anyone):
        with connections.counted("strangers", ""):  # a few of all: those who are known need room
            who = _introduced(ws, door)
    require_session_access(who, "sessions:write", key, own=True)
    note(who, "session_written", key, door="socket")
    # An integrator's connections are of many participants: each is counted by himself.
    door.limits.count("participant_connections", f"{key.survey_id}/{key.user_id}")
    settings = flask.current_app.extensions["stepkeep"].settings
    return Guest(who, door, Meter(door.limits, settings, f"{key.survey_id}/{key.user_id}", address()))


def _introduced(ws: Any, door: Access) -> Participant:  # noqa: ANN401
    """Return who says in his first frame who he is.

    Raises:
        Unauthorized: he says nothing in time, something else, or what doesn't hold.
    """
    frame = ws.receive(timeout=INTRODUCED_WITHIN_S)
    token = messages.token_in(frame)
    if token is None:
        raise Unauthorized
    return door.participant(token)
