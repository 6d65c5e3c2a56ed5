"""Publishes this process's commits, and calls back for others'."""

import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from ..errors import Unavailable
from ..observability import metrics
from ..settings import Settings
from ..store.drivers import sqlite
from ..survey import SessionKey
from .postgresql import postgresql_transport
from .publisher import Publisher
from .redis import redis_transport
from .subscriber import SAFETY_POLL_S, ChangeListener
from .transport import OutageLog, Transport, decode, envelope_prefix, log

OnChange = Callable[[SessionKey, int], None]  # called in the notification thread; must be quick
OnKey = Callable[[SessionKey], None]  # takes every session in a notification, shown here or not
OwnWrites = Callable[[], tuple[int, int]]  # this process's commits, and how many others' it saw before them
ReadVersions = Callable[[Sequence[SessionKey]], Mapping[SessionKey, int]]  # may raise Unavailable
ReadChanges = Callable[[int | None, int], tuple[int, Mapping[SessionKey, int] | None]]  # ``history.read_changes``

POLL_SIZE = 1000  # sessions that one statement reads
CHANGES_LIMIT = 5000  # events that are read instead of all subscribed sessions
LATE_COMMIT_S = 2.0  # a transaction may commit after another that got a higher id; the safety poll finds later ones


class ChangeNotifier:
    """Connects and starts threads when needed. Safe from any thread."""

    def __init__(  # noqa: PLR0913 - each is another function of the store
        self,
        settings: Settings,
        url: URL,
        read_versions: ReadVersions,
        on_change: OnChange,
        on_key: OnKey,
        own_writes: OwnWrites = lambda: (0, 0),
        *,
        read_changes: ReadChanges = lambda _after_id, _limit: (0, None),
    ) -> None:
        self._read_versions = read_versions
        self._read_changes = read_changes
        self._newest_ids: deque[tuple[float, int]] = deque()  # of the last polls, with their times
        self._polled_all_at = float("-inf")
        self._on_change = on_change
        self._on_key = on_key
        self._connect: Callable[[], Transport] | None = None  # polls only
        if settings.redis_url is not None:
            self._connect = redis_transport(settings.redis_url, url)
        elif url.get_backend_name() == "postgresql":
            self._connect = postgresql_transport(url)
        has_file = url.get_backend_name() == "sqlite" and self._connect is None
        token = uuid.uuid4().hex[:12]
        outages = OutageLog()
        self._own_prefix = envelope_prefix(token)
        self._mutex = threading.Lock()
        self._is_closed = False
        self._has_logged_foreign_payload = False
        self._versions: dict[SessionKey, int] = {}
        self._subscriptions: Counter[SessionKey] = Counter()
        self._publisher = Publisher(token, self._connect, outages) if self._connect is not None else None
        self._probe = _FileProbe(url, own_writes) if has_file else None
        self._listener = ChangeListener(
            poll=self._poll,
            on_message=self._on_message,
            connect=self._connect,
            has_changed=(lambda: True) if self._probe is None else self._probe.has_changed,
            interval_s=settings.notification_interval_s,
            outages=outages,
        )

    @property
    def is_broadcast(self) -> bool:
        return self._connect is not None

    def start(self) -> None:
        with self._mutex:
            if not self._is_closed:
                self._listener.start()

    def subscribe(self, key: SessionKey, version: int) -> None:
        """Call this before loading, so that no change is missed."""
        with self._mutex:
            self._versions[key] = max(version, self._versions.get(key, 0))
            self._subscriptions[key] += 1
        self.start()

    def unsubscribe(self, key: SessionKey) -> None:
        # Counted: a new subscriber may arrive before the old one leaves.
        with self._mutex:
            self._subscriptions[key] -= 1
            if self._subscriptions[key] <= 0:
                del self._subscriptions[key]
                self._versions.pop(key, None)

    def publish(self, key: SessionKey, version: int) -> None:
        """Never block or raise."""
        self._advance(key, version)
        if self._publisher is not None:
            self._publisher.put(key, version)

    def close(self) -> None:
        """Send what is queued; takes some seconds."""
        with self._mutex:
            self._is_closed = True
        if self._publisher is not None:
            self._publisher.close()
        self._listener.close()
        if self._probe is not None:
            self._probe.engine.dispose()

    def _on_message(self, payload: str) -> None:
        if payload.startswith(self._own_prefix):
            return
        try:
            versions = decode(payload)
        except ValueError:
            if not self._has_logged_foreign_payload:
                log.warning("Ignoring an unrecognised payload on the notification channel.")
            self._has_logged_foreign_payload = True
            return
        metrics.NOTIFICATIONS.inc(len(versions))
        for key, version in versions:
            self._on_key(key)
            self._notify(key, version)

    def _poll(self, closing: threading.Event) -> None:
        with self._mutex:
            keys = list(self._versions)
        if len(keys) > POLL_SIZE and (changes := self._recent_changes()) is not None:
            for key, version in changes.items():
                self._notify(key, version)
            return
        self._polled_all_at = monotonic()  # first: a change that could not be handled resets it
        for start in range(0, len(keys), POLL_SIZE):
            if closing.is_set():
                return
            try:
                versions = self._read_versions(keys[start : start + POLL_SIZE])
            except BaseException:
                self._polled_all_at = float("-inf")
                raise
            for key, version in versions.items():
                self._notify(key, version)

    def _recent_changes(self) -> Mapping[SessionKey, int] | None:
        """Return None if all sessions must be polled."""
        now = monotonic()
        # The last poll missed what had not been committed by then, with ids from LATE_COMMIT_S before it.
        while len(self._newest_ids) > 1 and self._newest_ids[1][0] <= self._newest_ids[-1][0] - LATE_COMMIT_S:
            self._newest_ids.popleft()
        newest, changes = self._read_changes(self._newest_ids[0][1] if self._newest_ids else None, CHANGES_LIMIT)
        self._newest_ids.append((now, newest))
        return changes if now - self._polled_all_at < SAFETY_POLL_S else None

    def _notify(self, key: SessionKey, version: int) -> None:
        if not self._advance(key, version):
            return
        try:
            self._on_change(key, version)
        except Unavailable:  # retried at the next poll
            self._retreat(key, version)
        except Exception:  # noqa: BLE001 - other sessions' notifications must go on
            log.exception("Unexpected error while handling a change", extra={**key._asdict(), "version": version})

    def _advance(self, key: SessionKey, version: int) -> bool:
        """Return whether a subscriber did not know the version."""
        if key not in self._versions:
            return False
        with self._mutex:
            known = self._versions.get(key)
            if known is None or version <= known:
                return False
            self._versions[key] = version
            return True

    def _retreat(self, key: SessionKey, version: int) -> None:
        with self._mutex:
            if self._versions.get(key) == version:
                self._versions[key] = version - 1
        self._polled_all_at = float("-inf")
        self._listener.schedule_poll()


class _FileProbe:
    """Detects other processes' writes by ``PRAGMA data_version`` (sqlite.org/pragma.html). Not thread-safe.

    It changes with this process's commits too, which have seen all earlier writes; the next poll tells of later ones.
    """

    def __init__(self, url: URL, own_writes: OwnWrites) -> None:
        self.engine = sqlite.reader_engine(url, 1, 0)  # the value belongs to a connection: always the same one
        self._own_writes = own_writes
        self._version: object = None
        self._commits = self._foreign_writes = 0
        self._is_unsure = False

    def has_changed(self) -> bool:
        try:
            with self.engine.connect() as connection:
                version = connection.exec_driver_sql("PRAGMA data_version").scalar()
        except (SQLAlchemyError, Unavailable):
            return True  # the poll meets and logs the same error
        commits, foreign_writes = self._own_writes()
        may_be_foreign = version != self._version or self._is_unsure
        has_committed, is_foreign = commits != self._commits, foreign_writes != self._foreign_writes
        self._version, self._commits, self._foreign_writes = version, commits, foreign_writes
        self._is_unsure = may_be_foreign and has_committed
        return is_foreign or (may_be_foreign and not has_committed)
