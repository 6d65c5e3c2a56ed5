"""Revoked credentials in memory: every message can be checked, also during an outage."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from time import monotonic

from ..core.fork_hooks import ForkAware, register
from ..errors import StepkeepError
from ..sessions import SessionStore
from ..store import credentials, hash_user_id, leases
from ..survey import SessionKey
from .principals import Developer, Integrator, Participant, Principal

log = logging.getLogger("stepkeep.access")

POLL_S = 1.0
FULL_POLL_S = 60.0  # between two reads of all revocations
CLOSING_S = 5.0  # for a running poll
OVERLAP_US = 60 * 1_000_000  # for what was being committed during the last poll


class Revocations(ForkAware):
    """Learns of other processes' revocations within POLL_S. Safe from any thread."""

    def __init__(self, store: SessionStore, life_us: int) -> None:
        self._store = store
        self._life_us = life_us
        self._mutex = threading.Lock()
        self._tokens: dict[SessionKey | str, int] = {}  # by session, if revoked here or not hashed yet; else by hash
        self._provisional: tuple[tuple[SessionKey, int], ...] = ()
        self._salts: frozenset[str] = frozenset()
        self._keys: frozenset[str] = frozenset()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._newest = 0
        self._read_all_at = float("-inf")

    def start(self) -> None:
        self._read()
        self._start_thread()
        register(self)

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._poll, name="stepkeep-revocations", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for a running poll, which uses the database."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSING_S)

    def after_fork_in_child(self) -> None:
        self._mutex = threading.Lock()
        if not self._closing.is_set():
            self._closing = threading.Event()
            self._start_thread()

    def add_tokens(self, key: SessionKey, at: int) -> None:
        with self._mutex:
            self._tokens[key] = max(at, self._tokens.get(key, 0))

    @contextmanager
    def revoking(self, key: SessionKey, at: int) -> Iterator[None]:
        """Revoke while the block stores that, and afterwards unless it fails."""
        with self._mutex:
            self._provisional = (*self._provisional, (key, at))
        try:
            yield
            self.add_tokens(key, at)
        finally:
            with self._mutex:
                remaining = list(self._provisional)
                remaining.remove((key, at))
                self._provisional = tuple(remaining)

    def revoked_at(self, key: SessionKey) -> int:
        """Return until when tokens are revoked, or -1; never block."""
        names: list[SessionKey | str] = [key, *[_hash(salt, key) for salt in self._salts]]
        provisional = [at for other, at in self._provisional if other == key]
        return max([*provisional, *[self._tokens.get(name, -1) for name in names]])

    def add_key(self, key_id: str) -> None:
        with self._mutex:
            self._keys |= {key_id}

    def is_valid(self, principal: Principal, at: int) -> bool:
        match principal:
            case Participant():
                return at < principal.expires_at and principal.granted_at > self.revoked_at(principal.key)
            case Integrator():
                return principal.key_id not in self._keys and (
                    principal.expires_at is None or at < principal.expires_at
                )
            case _:
                return isinstance(principal, Developer)

    def _poll(self) -> None:
        is_logged = False
        while not self._closing.wait(POLL_S):
            try:
                self._read()
                is_logged = False
            except StepkeepError as error:
                if not is_logged:
                    log.warning("Revocations can't be read; using those already known: %s", error)
                is_logged = True

    def _read(self) -> None:
        """Read all every FULL_POLL_S, since clocks differ and erasures revoke with past times."""
        is_full = monotonic() - self._read_all_at >= FULL_POLL_S
        oldest = max(0, self._store.clock() - self._life_us)
        keys = self._store.run_read(credentials.read_revoked_keys)
        since = oldest if is_full else max(0, self._newest - OVERLAP_US)
        tokens = self._store.run_read(lambda connection: credentials.read_revocations(connection, since))
        with self._mutex:
            self._keys = self._keys | keys
            # A time in the future, by another clock, must not hide revocations until then.
            self._newest = min(max([self._newest, *[token.revoked_at for token in tokens]]), self._store.clock())
            for survey_id, user_id, at, salt in tokens:
                name = SessionKey(survey_id, user_id) if salt is None else user_id
                self._tokens[name] = max(at, self._tokens.get(name, 0))
            self._salts |= {token.salt for token in tokens if token.salt is not None}
        if is_full:
            self._read_all_at = monotonic()  # first: a read-only database must not make every poll a full one
            self._drop_before(oldest)
            if any(token.salt is None for token in tokens):
                with suppress(StepkeepError):  # read-only; the next full poll retries
                    while self._store.run_transaction(credentials.hash_revocations):
                        pass

    def _drop_before(self, before: int) -> None:
        run_read, run_transaction, at = self._store.run_read, self._store.run_transaction, self._store.clock()
        with suppress(StepkeepError):  # read-only; the next full poll retries
            if run_read(lambda connection: credentials.has_revocations(connection, before)):
                run_transaction(lambda connection: credentials.remove_revocations(connection, before))
            if run_read(lambda connection: leases.has_expired_links(connection, at)):
                run_transaction(lambda connection: leases.remove_expired_links(connection, at))
        with self._mutex:
            self._tokens = {key: at for key, at in self._tokens.items() if at >= before}


@lru_cache(maxsize=10_000)  # once a participant, not once a message
def _hash(salt: str, key: SessionKey) -> str:
    return hash_user_id(salt, *key)
