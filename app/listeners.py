"""Who in this process shows which session, and is to be told when others change it. Safe from any thread."""

import threading
from collections import OrderedDict
from typing import Protocol

from app.snapshot import Snapshot
from app.store.rows import SessionKey

REMEMBERED = 10_000
"""Sessions that were shown here last and are still known: 30 MB, and most of those who come back within a minute."""


class Listener(Protocol):
    """A connection that shows a session."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The session as the connection showed it last."""
        ...

    def announce(self, snapshot: Snapshot) -> None:
        """Take note of a new state that somebody else made; called from his thread, so it must not block."""
        ...


class Listeners:
    """The listeners of this process, and what they showed."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._by_key: dict[SessionKey, set[Listener]] = {}
        self._recent: OrderedDict[SessionKey, Snapshot] = OrderedDict()

    def __contains__(self, key: SessionKey) -> bool:
        return key in self._by_key

    def add(self, key: SessionKey, listener: Listener) -> bool:
        """Tell it from now on; return whether it is the session's first."""
        with self._mutex:
            listeners = self._by_key.setdefault(key, set())
            listeners.add(listener)
            return len(listeners) == 1

    def remove(self, key: SessionKey, listener: Listener) -> bool:
        """Tell it no longer, and remember what it showed; return whether it was the session's last."""
        with self._mutex:
            listeners = self._by_key.get(key, set())
            if listener not in listeners:
                return False
            listeners.discard(listener)
            if listener.snapshot is not None:
                self._recent[key] = listener.snapshot
                self._recent.move_to_end(key)
                if len(self._recent) > REMEMBERED:
                    self._recent.popitem(last=False)
            if listeners:
                return False
            del self._by_key[key]
            return True

    def tell(self, snapshot: Snapshot, sender: Listener | None) -> None:
        """Announce a new state to all listeners of the session but the one who made it."""
        with self._mutex:
            listeners = tuple(self._by_key.get(snapshot.key, ()))
        for listener in listeners:
            if listener is not sender:
                listener.announce(snapshot)

    def last_shown(self, key: SessionKey) -> Snapshot | None:
        """Return the newest of what was shown here of the session; None where nothing is remembered."""
        with self._mutex:
            shown = [listener.snapshot for listener in self._by_key.get(key, ())] + [self._recent.get(key)]
        found = [snapshot for snapshot in shown if snapshot is not None]
        return max(found, key=lambda snapshot: snapshot.state.version, default=None)

    def newest_version(self, key: SessionKey) -> int:
        """Return the newest version that a listener of the session showed; 0 where there is none."""
        with self._mutex:
            listeners = tuple(self._by_key.get(key, ()))
        return max((shown.state.version for one in listeners if (shown := one.snapshot) is not None), default=0)

    def forget(self, key: SessionKey) -> None:
        """Remember the session no longer: it was erased."""
        with self._mutex:
            self._recent.pop(key, None)
