"""Check each session against the replay of its history. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from ...errors import BackupBroken, MissingKey, UnreadableHere
from ...store import Cipher, integrity, rows, tables
from ...survey import SessionKey, SessionState
from ..integrity import check_session
from .row_format import Row, column_names

SAMPLE_SIZE = 20

SessionRows = Iterator[tuple[Row, Iterable[Row]]]
"""Sessions with events, oldest first; consume the events before advancing."""


@dataclass(slots=True, kw_only=True)
class ReplayCounts:
    """Sessions by result; ``locked`` ones need ``missing_keys`` or another release."""

    same: int = 0
    without_history: int = 0
    set_aside: int = 0
    unreadable: int = 0
    locked: int = 0
    differing: int = 0
    missing_keys: set[str] = field(default_factory=set)
    sample: list[SessionKey] = field(default_factory=list)


def check_replays(session_rows: SessionRows, cipher: Cipher) -> ReplayCounts:
    counts = ReplayCounts()
    for row, events in session_rows:
        key = SessionKey(*_key(row))
        replay = integrity.ReplayedHistory()
        for event in events:
            replay.apply(_record_columns(event), key, cipher)
        _count(
            counts,
            integrity.SessionAndReplay(key, rows.parse_state(_state_columns(row), cipher), _version(row), replay),
        )
    return counts


def pair_with_history(session_rows: Iterable[Row], event_rows: Iterable[Row]) -> SessionRows:
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


def _count(counts: ReplayCounts, session: integrity.SessionAndReplay) -> None:
    key, stored, _, replay = session
    result = check_session(session)
    if result is None or result.verdict == "set_aside":
        counts.set_aside += 1
    elif result.verdict == "locked":
        counts.locked += 1
        problem = stored if isinstance(stored, UnreadableHere) else replay.unreadable_here
        if isinstance(problem, MissingKey):
            counts.missing_keys.add(problem.key_id)
    elif not isinstance(stored, SessionState) or replay.problem is not None:
        counts.unreadable += 1
    elif result.verdict == "adopted":
        counts.without_history += 1
    elif result.verdict == "same":
        counts.same += 1
    else:
        counts.differing += 1
        counts.sample += [key][: SAMPLE_SIZE - len(counts.sample)]


_session_names, _event_names = column_names(tables.sessions), column_names(tables.session_history)
_key = itemgetter(*(_session_names.index(name) for name in ("survey_id", "user_id")))
_session_key = itemgetter(*(_session_names.index(name) for name in ("user_id", "survey_id")))
_version = itemgetter(_session_names.index("version"))
_event_key = itemgetter(*(_event_names.index(name) for name in ("user_id", "survey_id")))
_state_columns = itemgetter(*(_session_names.index(column.name) for column in rows.STATE_COLUMNS))
_record_columns = itemgetter(*(_event_names.index(column.name) for column in rows.RECORD_COLUMNS))
