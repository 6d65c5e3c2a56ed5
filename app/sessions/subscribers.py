"""The connections of this process that show a session."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from ..core import strict_json
from ..notifications import ChangeNotifier
from ..survey import SessionKey, Snapshot
from ..writer import CACHEABLE_LENGTH

RECENT_LIMIT = 10_000  # disconnected sessions kept: some 30 MB, at most 300 MB (CACHEABLE_LENGTH)


class Subscriber(Protocol):
    """Called from other threads; must not block."""

    @property
    def stored(self) -> Snapshot | None:
        """The newest committed state that it knows, without pending turns."""

    def publish(self, snapshot: Snapshot) -> None: ...

    def drop(self) -> None: ...


class Subscribers:
    """Safe from any thread."""

    def __init__(self, notifier: ChangeNotifier) -> None:
        self._notifier = notifier
        self.drop_callback: Callable[[SessionKey], None] = lambda _key: None
        self._mutex = threading.Lock()
        self._by_key: dict[SessionKey, set[Subscriber]] = {}
        self._recent: OrderedDict[SessionKey, Snapshot] = OrderedDict()

    def subscribe(self, key: SessionKey, subscriber: Subscriber) -> None:
        with self._mutex:
            subscribers = self._by_key.setdefault(key, set())
            subscribers.add(subscriber)
            is_first = len(subscribers) == 1
        if is_first:
            self._notifier.subscribe(key, self.newest_version(key))

    def unsubscribe(self, key: SessionKey, subscriber: Subscriber) -> None:
        with self._mutex:
            subscribers = self._by_key.get(key, set())
            if subscriber not in subscribers:
                return
            subscribers.discard(subscriber)
            self._remember(key, subscriber.stored)
            if subscribers:
                return
            del self._by_key[key]
        self._notifier.unsubscribe(key)

    def publish(self, snapshot: Snapshot, sender: Subscriber | None) -> None:
        self._notifier.publish(snapshot.key, snapshot.state.version)
        self.publish_here(snapshot, sender)

    def publish_here(self, snapshot: Snapshot, sender: Subscriber | None = None) -> None:
        with self._mutex:
            subscribers = tuple(self._by_key.get(snapshot.key, ()))
        for subscriber in subscribers:
            if subscriber is not sender:
                subscriber.publish(snapshot)
        with self._mutex:
            if snapshot.key in self._recent and snapshot.key not in self._by_key:
                self._remember(snapshot.key, snapshot)

    def latest(self, key: SessionKey) -> Snapshot | None:
        with self._mutex:
            return _newest([subscriber.stored for subscriber in self._by_key.get(key, ())] + [self._recent.get(key)])

    def newest_version(self, key: SessionKey) -> int:
        """Return the newest version that subscribers know, or 0."""
        with self._mutex:
            newest = _newest([subscriber.stored for subscriber in self._by_key.get(key, ())])
        return newest.state.version if newest is not None else 0

    def drop(self, keys: Iterable[SessionKey]) -> None:
        """Forget erased sessions: new ones may begin."""
        for key in keys:
            with self._mutex:
                self._recent.pop(key, None)
                subscribers = tuple(self._by_key.get(key, ()))
            self.drop_callback(key)
            for subscriber in subscribers:
                subscriber.drop()

    def _remember(self, key: SessionKey, snapshot: Snapshot | None) -> None:
        newest = _newest([snapshot, self._recent.pop(key, None)])
        if newest is None:
            return
        state = newest.state
        if len(strict_json.encode([state.answers, state.drafts, state.session_data])) <= CACHEABLE_LENGTH:
            self._recent[key] = newest
            if len(self._recent) > RECENT_LIMIT:
                self._recent.popitem(last=False)


def _newest(snapshots: Iterable[Snapshot | None]) -> Snapshot | None:
    known = [snapshot for snapshot in snapshots if snapshot is not None]
    # Another process may have erased the session, and another one has begun at version 1.
    return max(known, key=lambda snapshot: (snapshot.state.started_at, snapshot.state.version), default=None)
