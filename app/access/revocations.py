"""What was revoked, in memory: asked at every look at every connection, and while the database is away.

A revocation made by this process holds at once; one made by another (a command, another server) within LOOK_S.
While the database is away what is known stays so.
"""

import logging
import threading
from collections.abc import Callable, Mapping

from app.access.principals import Developer, Integrator, Participant, Principal
from app.errors import StepkeepError
from app.store.rows import SessionKey

log = logging.getLogger("stepkeep.access")

LOOK_S = 1.0
"""Seconds between two looks at the database."""

OVERLAP_US = 60 * 1_000_000
"""How far back each look begins again: what was being committed at the last one is met."""


class Revocations:
    """Whose tokens and which API keys hold no more. Safe from any thread.

    Args:
        read_tokens: gives up to when tokens are revoked, of what was revoked since a time (microseconds, 1970 UTC).
        read_keys: gives the ids of all revoked API keys.
    """

    def __init__(
        self, read_tokens: Callable[[int], Mapping[SessionKey, int]], read_keys: Callable[[], frozenset[str]]
    ) -> None:
        self._read_tokens = read_tokens
        self._read_keys = read_keys
        self._mutex = threading.Lock()
        self._tokens: dict[SessionKey, int] = {}
        self._keys: frozenset[str] = frozenset()
        self._closing = threading.Event()
        self._newest = 0

    def start(self) -> None:
        """Read what is revoked, and go on looking in a thread of its own.

        Raises:
            Unavailable: the database can't be read.
        """
        self._read()
        threading.Thread(target=self._look, name="stepkeep-revocations", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()

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
        keys = self._read_keys()
        tokens = self._read_tokens(max(0, self._newest - OVERLAP_US))
        with self._mutex:
            self._keys = self._keys | keys
            self._newest = max([self._newest, *tokens.values()])
            for key, at in tokens.items():
                self._tokens[key] = max(at, self._tokens.get(key, 0))
