"""Check that each session equals the replay of its history. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from ...errors import BackupBroken, MissingKey
from ...store import SET_ASIDE, Cipher, rows, tables
from ...survey import SessionKey, SessionState, apply, from_record
from .row_format import Row, column_names

SAMPLE_SIZE = 20

SessionRows = Iterator[tuple[Row, Iterable[Row]]]
"""Sessions with events, oldest first; consume the events before advancing."""

RowPass = Callable[[Iterable[Row]], Iterator[Row]]


@dataclass(slots=True, kw_only=True)
class ReplayCounts:
    """Sessions by the result of the check.

    Attributes:
        without_history: created before there were events.
        unreadable: the server sets these aside on access.
        locked: encrypted with one of ``missing_keys``; not checked.
    """

    same: int = 0
    without_history: int = 0
    set_aside: int = 0
    unreadable: int = 0
    locked: int = 0
    differing: int = 0
    missing_keys: set[str] = field(default_factory=set)
    sample: list[SessionKey] = field(default_factory=list)


def check_replays(session_rows: SessionRows, cipher: Cipher) -> ReplayCounts:
    """Replay every history and count the results."""
    counts = ReplayCounts()
    for row, events in session_rows:
        key = SessionKey(*_key(row))
        if SET_ASIDE in key.user_id:
            counts.set_aside += 1
        else:
            _check(counts, key, row, events, cipher)
    return counts


def pair_with_history(session_rows: Iterable[Row], event_rows: Iterable[Row]) -> SessionRows:
    """Join two streams sorted by session key.

    Raises:
        BackupBroken: an event without session, or an unsorted stream.
    """
    groups = groupby(event_rows, key=_event_key)
    event_key, events = next(groups, (None, ()))
    previous: Row = ()
    for row in session_rows:
        key = _session_key(row)
        if key <= previous:
            raise BackupBroken("sessions are not in key order, or one is duplicated")
        previous = key
        _refuse_orphan(event_key, key)
        if event_key == key:
            yield row, events
            event_key, events = next(groups, (None, ()))
        else:
            yield row, ()
    _refuse_orphan(event_key, None)


def _refuse_orphan(event_key: Row | None, session: Row | None) -> None:
    if event_key is not None and (session is None or event_key < session):
        raise BackupBroken("history without its session, or not in key order")


def _check(counts: ReplayCounts, key: SessionKey, row: Row, events: Iterable[Row], cipher: Cipher) -> None:
    stored = rows.parse_state(_state_columns(row), cipher)
    replayed: SessionState | None = None
    try:
        replayed = _replay(key, events, cipher) if isinstance(stored, SessionState) else None
    except MissingKey as missing:
        stored = missing
    except (ValueError, TypeError, KeyError, AttributeError):  # an event that can't be read
        counts.unreadable += 1
        return
    if isinstance(stored, MissingKey):
        counts.locked += 1
        counts.missing_keys.add(stored.key_id)
    elif not isinstance(stored, SessionState):
        counts.unreadable += 1
    elif replayed is None and stored.version == 0:
        counts.without_history += 1
    elif replayed == stored:
        counts.same += 1
    else:
        counts.differing += 1
        counts.sample += [key][: SAMPLE_SIZE - len(counts.sample)]


def _replay(key: SessionKey, events: Iterable[Row], cipher: Cipher) -> SessionState | None:
    """Return None without events, or if a version is missing."""
    state: SessionState | None = None
    for version, row in enumerate(events, start=1):
        record = _record_columns(row)
        if record[0] != version:
            return None
        state = apply(state, from_record(rows.parse_record(record, key, cipher)))
    return state


_session_names, _event_names = column_names(tables.sessions), column_names(tables.session_history)
_key = itemgetter(*(_session_names.index(name) for name in ("survey_id", "user_id")))
_session_key = itemgetter(*(_session_names.index(name) for name in ("user_id", "survey_id")))
_event_key = itemgetter(*(_event_names.index(name) for name in ("user_id", "survey_id")))
_state_columns = itemgetter(*(_session_names.index(column.name) for column in rows.STATE_COLUMNS))
_record_columns = itemgetter(*(_event_names.index(column.name) for column in rows.RECORD_COLUMNS))
