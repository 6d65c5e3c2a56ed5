"""Sessions beside their history: two streams in the order of their keys become one of pairs. Pure."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from ...errors import BackupBroken
from ...store.tables import session_history, sessions
from .row_format import Row, columns_of

Pairs = Iterator[tuple[Row, Iterable[Row]]]
"""Each session's row, and those of its events, oldest first; to be taken before the next pair."""

Passing = Callable[[Iterable[Row]], Iterator[Row]]
"""Passes rows on as they are."""


def merged(of_sessions: Iterable[Row], of_history: Iterable[Row]) -> Pairs:
    """Yield the sessions with their history.

    Raises:
        BackupBroken: history of a session that is not there, or a stream that is out of order.
    """
    groups = groupby(of_history, key=_event_key)
    found, events = next(groups, (None, ()))
    before: Row = ()
    for row in of_sessions:
        key = _session_key(row)
        if key <= before:
            raise BackupBroken("sessions are not in the order of their keys, or one is there twice")
        before = key
        _refuse_orphan(found, key)
        if found == key:
            yield row, events
            found, events = next(groups, (None, ()))
        else:
            yield row, ()
    _refuse_orphan(found, None)


def _refuse_orphan(found: Row | None, session: Row | None) -> None:
    if found is not None and (session is None or found < session):
        raise BackupBroken("there is history without its session, or out of the order of keys")


_session_key = itemgetter(*(columns_of(sessions).index(name) for name in ("user_id", "survey_id")))
_event_key = itemgetter(*(columns_of(session_history).index(name) for name in ("user_id", "survey_id")))
