"""Who in this process shows which session, and is to be told when others change it. Safe from any thread."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

from ..core import strict_json
from ..survey.snapshot import SessionKey, Snapshot
from ..writer.batch import SMALL

REMEMBERED = 10_000
"""Sessions that were shown here last and are still known: some 30 MB with answers to a usual survey, 300 MB at most
(batch.SMALL); most of those who come back within a minute."""


class Listener(Protocol):
    """A connection that shows a session."""

    @property
    def stored(self) -> Snapshot | None:
        """The newest state that the connection knows to be stored; what is pending is not in it."""
        ...

    def announce(self, snapshot: Snapshot) -> None:
        """Take note of a new state that somebody else made; called from his thread, so it must not block."""
        ...

    def erased(self) -> None:
        """Take note that the session is no more, and know nothing of it; called as :meth:`announce` is."""
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
        """Tell it no longer, and remember what it knew; return whether it was the session's last."""
        with self._mutex:
            listeners = self._by_key.get(key, set())
            if listener not in listeners:
                return False
            listeners.discard(listener)
            newest = _newest([listener.stored, self._recent.pop(key, None)])
            if newest is not None and _is_small(newest):
                self._recent[key] = newest
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

    def stored(self, key: SessionKey) -> Snapshot | None:
        """Return the newest state of the session that this process knows to be stored; None where it knows none."""
        with self._mutex:
            return _newest([listener.stored for listener in self._by_key.get(key, ())] + [self._recent.get(key)])

    def newest_version(self, key: SessionKey) -> int:
        """Return the newest version that a listener of the session knows; 0 where there is none."""
        with self._mutex:
            newest = _newest([listener.stored for listener in self._by_key.get(key, ())])
        return newest.state.version if newest is not None else 0

    def erase(self, key: SessionKey) -> None:
        """Know nothing of the session any more: it was erased, and another may begin under its key."""
        with self._mutex:
            self._recent.pop(key, None)
            listeners = tuple(self._by_key.get(key, ()))
        for listener in listeners:
            listener.erased()


def _is_small(snapshot: Snapshot) -> bool:
    state = snapshot.state
    return len(strict_json.encode([state.answers, state.drafts, state.session_data])) <= SMALL


def _newest(snapshots: Iterable[Snapshot | None]) -> Snapshot | None:
    known = [snapshot for snapshot in snapshots if snapshot is not None]
    return max(known, key=lambda snapshot: snapshot.state.version, default=None)
