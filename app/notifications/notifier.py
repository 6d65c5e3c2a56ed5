"""Changes of sessions by other processes, told within a second.

Over PostgreSQL where that is the database, over Redis where one is set, else by looking at the versions of the
sessions that are shown here. Imported by the service only; it loads what changed and tells the connections.
"""

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from ..errors import Unavailable
from ..observability import metrics
from ..settings import Settings
from ..store.drivers import sqlite
from ..store.drivers.connection import abandon_after_fork
from ..survey import SessionKey
from .postgresql import postgresql_links
from .publisher import Publisher
from .redis import redis_links
from .subscriber import ChangeListener, always
from .transport import OutageLog, Transport, decode, envelope_prefix, log

Changed = Callable[[SessionKey, int], None]
"""Takes a session and the version that it is at now. Called from the news thread; it must be quick."""

Met = Callable[[SessionKey], None]
"""Takes a session that some other process has; for each one that is told of, shown here or not."""

Versions = Callable[[Sequence[SessionKey]], Mapping[SessionKey, int]]
"""Reads the versions of sessions from the database; may raise Unavailable."""

LOOKED_AT_ONCE = 1000
"""Sessions whose versions are read by one statement."""


class ChangeNotifier:
    """What other processes changed, and what this one tells them. One a store and process; safe from any thread.

    Args:
        links: connects to what passes news on; None: the versions are looked at every ``interval_s`` seconds.
        file: the SQLite file that is looked at, None where it is none.
    """

    def __init__(
        self,
        versions: Versions,
        changed: Changed,
        met: Met,
        *,
        interval_s: float,
        links: Callable[[], Transport] | None,
        file: URL | None,
    ) -> None:
        self._versions = versions
        self._changed = changed
        self._met = met
        self._interval_s = interval_s
        self._links = links
        self._file = file
        self._begin()

    @property
    def is_broadcast(self) -> bool:
        """Whether other processes tell of each session that they write; else only those shown here are looked at."""
        return self._links is not None

    def start(self) -> None:
        """Hear of what others write from now on, though no session is shown here yet."""
        with self._mutex:
            if not self._watch.is_started and not self._is_closed:
                self._watch.start()

    def subscribe(self, key: SessionKey, version: int) -> None:
        """Call ``changed`` for the session from now on, for versions above this one. The first call starts the thread.

        Called before the session is loaded to be shown: what comes between is told then, not missed.
        """
        with self._mutex:
            self._followed[key] = max(version, self._followed.get(key, 0))
            self._followers[key] = self._followers.get(key, 0) + 1
        self.start()

    def unsubscribe(self, key: SessionKey) -> None:
        """End what one :meth:`subscribe` began."""
        # Counted: of one who goes and one who comes, who follows may be here first.
        with self._mutex:
            left = self._followers.get(key, 0) - 1
            if left > 0:
                self._followers[key] = left
            else:
                self._followers.pop(key, None)
                self._followed.pop(key, None)

    def publish(self, key: SessionKey, version: int) -> None:
        """Tell the other processes that this one committed a version; returns at once and never raises."""
        self._is_newer(key, version)
        if self._outbox is not None:
            self._outbox.put(key, version)

    def close(self) -> None:
        """Send what waits and end the threads, within some seconds whatever they are waiting for."""
        with self._mutex:
            self._is_closed = True
        if self._outbox is not None:
            self._outbox.close()
        self._watch.close()
        if self._probe is not None:
            self._probe.engine.dispose()

    def after_fork(self) -> None:
        """Begin anew in a forked child: connections and threads are the parent's, and so is whom it shows what."""
        _OF_THE_PARENT.append((self._watch, self._outbox))
        if self._probe is not None:
            abandon_after_fork(self._probe.engine)
        self._begin()

    def _begin(self) -> None:
        token = uuid.uuid4().hex[:12]
        outages = OutageLog()
        self._own = envelope_prefix(token)
        self._mutex = threading.Lock()
        self._is_closed = False
        self._was_strange = False
        self._followed: dict[SessionKey, int] = {}
        self._followers: dict[SessionKey, int] = {}
        self._outbox = Publisher(token, self._links, outages) if self._links is not None else None
        self._probe = _FileProbe(self._file) if self._file is not None else None
        self._watch = ChangeListener(
            look=self._look,
            hear=self._hear,
            open_link=self._links,
            has_changed=always if self._probe is None else self._probe.has_changed,
            interval_s=self._interval_s,
            outages=outages,
        )

    def _hear(self, payload: str) -> None:
        if payload.startswith(self._own):
            return
        try:
            versions = decode(payload)
        except ValueError:
            if not self._was_strange:
                log.warning("something that is no news of ours was sent to where they are; it is ignored")
            self._was_strange = True
            return
        metrics.NOTIFICATIONS.inc(len(versions))
        for key, version in versions:
            self._met(key)
            self._tell(key, version)

    def _look(self, closing: threading.Event) -> None:
        with self._mutex:
            keys = list(self._followed)
        for start in range(0, len(keys), LOOKED_AT_ONCE):
            if closing.is_set():
                return
            for key, version in self._versions(keys[start : start + LOOKED_AT_ONCE]).items():
                self._tell(key, version)

    def _tell(self, key: SessionKey, version: int) -> None:
        if not self._is_newer(key, version):
            return
        try:
            self._changed(key, version)
        except Unavailable:  # it will be: told at the next look
            self._forget(key, version)
        except Exception:  # noqa: BLE001 - the news of others must go on
            log.exception("a change could not be told", extra={**key._asdict(), "version": version})

    def _is_newer(self, key: SessionKey, version: int) -> bool:
        """Note the version; return whether the session is followed and wasn't known to be at it."""
        if key not in self._followed:
            return False
        with self._mutex:
            known = self._followed.get(key)
            if known is None or version <= known:
                return False
            self._followed[key] = version
            return True

    def _forget(self, key: SessionKey, version: int) -> None:
        with self._mutex:
            if self._followed.get(key) == version:
                self._followed[key] = version - 1
        self._watch.fall_behind()


class _FileProbe:
    """Whether anybody wrote to a SQLite file (sqlite.org/pragma.html, data_version); used by the news thread only."""

    def __init__(self, url: URL) -> None:
        self.engine = sqlite.reader_engine(url, 1, 0)  # the number is a connection's own: always the same one
        self._version: object = None

    def has_changed(self) -> bool:
        """Return whether somebody, this process too, has written since the last call."""
        try:
            with self.engine.connect() as connection:
                version = connection.exec_driver_sql("PRAGMA data_version").scalar()
        except SQLAlchemyError:
            return True  # the look meets it too, and says so
        before, self._version = self._version, version
        return before != version


_OF_THE_PARENT: list[object] = []
"""Kept for the life of a forked child: collecting a connection would end it for the parent too."""


def open_notifier(settings: Settings, url: URL, versions: Versions, changed: Changed, met: Met) -> ChangeNotifier:
    """Return the news of a store's database; nothing is connected and no thread begins yet.

    Raises:
        ConfigurationError: REDIS_URL can't be used.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    links = None
    if settings.redis_url is not None:
        links = redis_links(settings.redis_url, url)
    elif url.get_backend_name() == "postgresql":
        links = postgresql_links(url)
    return ChangeNotifier(
        versions,
        changed,
        met,
        interval_s=settings.notification_interval_s,
        links=links,
        file=url if is_sqlite and links is None else None,
    )
