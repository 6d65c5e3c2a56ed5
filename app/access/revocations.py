"""What was revoked, in memory: asked at every look at every connection, and while the database is away.

A revocation made by this process holds at once; one made by another (a command, another server) within LOOK_S.
While the database is away what is known stays so.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic

from ..errors import StepkeepError
from ..survey import SessionKey
from .principals import Developer, Integrator, Participant, Principal

log = logging.getLogger("stepkeep.access")

LOOK_S = 1.0
"""Seconds between two looks at the database."""

ALL_S = 60.0
"""Seconds between two readings of all that is revoked."""

CLOSING_S = 5.0
"""Seconds that closing waits for a look, at most."""

OVERLAP_US = 60 * 1_000_000
"""How far back each look begins again: what was being committed at the last one is met."""


class Revocations:
    """Whose tokens and which API keys hold no more. Safe from any thread.

    Args:
        read_tokens: gives up to when tokens are revoked, of what was revoked since a time (microseconds, 1970 UTC).
        read_keys: gives the ids of all revoked API keys.
        forget: removes from the database what was revoked before a time.
        clock: gives microseconds since 1970 UTC.
        life_us: of a token, at most: what was revoked longer ago concerns none that could hold.
    """

    def __init__(
        self,
        read_tokens: Callable[[int], Mapping[SessionKey, int]],
        read_keys: Callable[[], frozenset[str]],
        forget: Callable[[int], object],
        *,
        clock: Callable[[], int],
        life_us: int,
    ) -> None:
        self._read_tokens = read_tokens
        self._read_keys = read_keys
        self._forget = forget
        self._clock = clock
        self._life_us = life_us
        self._mutex = threading.Lock()
        self._tokens: dict[SessionKey, int] = {}
        self._keys: frozenset[str] = frozenset()
        self._closing = threading.Event()
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._newest = 0
        self._read_all_at = float("-inf")

    def start(self) -> None:
        """Read what is revoked, and go on looking in a thread of its own.

        Raises:
            Unavailable: the database can't be read.
        """
        self._read()
        self._begin_looking()

    def _begin_looking(self) -> None:
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._look, name="stepkeep-revocations", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more; waits for a look that is under way, which would find the database closed."""
        self._closing.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(CLOSING_S)

    def note(self, key: SessionKey, at: int) -> None:
        """Take note that a session's tokens issued up to a time are revoked."""
        with self._mutex:
            self._tokens[key] = max(at, self._tokens.get(key, 0))

    def note_key(self, key_id: str) -> None:
        """Take note that an API key is revoked."""
        with self._mutex:
            self._keys |= {key_id}

    def holds(self, who: Principal, at: int) -> bool:
        """Return whether his credentials still hold; never waits."""
        if self._pid != os.getpid():  # a forked child has no thread of its parent's
            self._mutex, self._closing = threading.Lock(), threading.Event()
            self._begin_looking()
        match who:
            case Participant():
                return at < who.expires_at and who.issued_at > self._tokens.get(who.key, -1)
            case Integrator():
                return who.key_id not in self._keys and (who.expires_at is None or at < who.expires_at)
            case _:
                return isinstance(who, Developer)

    def _look(self) -> None:
        is_told = False
        while not self._closing.wait(LOOK_S):
            try:
                self._read()
                is_told = False
            except StepkeepError as error:
                if not is_told:
                    log.warning("what was revoked can't be read now, and what is known holds: %s", error)
                is_told = True

    def _read(self) -> None:
        """Read what is new; every ALL_S all, for what another's clock, or a list of erasures, dated back."""
        is_of_all = monotonic() - self._read_all_at >= ALL_S
        oldest = max(0, self._clock() - self._life_us)
        keys = self._read_keys()
        tokens = self._read_tokens(oldest if is_of_all else max(0, self._newest - OVERLAP_US))
        with self._mutex:
            self._keys = self._keys | keys
            # A time that is still to come, by a clock that is ahead, must not hide what others revoke until then.
            self._newest = min(max([self._newest, *tokens.values()]), self._clock())
            for key, at in tokens.items():
                self._tokens[key] = max(at, self._tokens.get(key, 0))
        if is_of_all:
            self._read_all_at = monotonic()  # first: where nothing can be written, not each look reads all
            self._forget_older(oldest)

    def _forget_older(self, than: int) -> None:
        """Forget whom no token that could hold concerns: a revocation names somebody who may have been erased."""
        with suppress(StepkeepError):  # a database that can only be read; the next time will do
            self._forget(than)
        with self._mutex:
            self._tokens = {key: at for key, at in self._tokens.items() if at >= than}
