"""Whether each session is the fold of its history, for rows in the portable form. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter

from ...errors import MissingKey
from ...store.encryption import SET_ASIDE, Cipher
from ...store.rows import RECORD_COLUMNS, STATE_COLUMNS, parse_record, parse_state
from ...store.tables import session_history, sessions
from ...survey import SessionKey, SessionState, apply, from_record
from .pairs import Pairs
from .row_format import Row, columns_of

NAMED = 20
"""Sessions that are named as differing; further ones are only counted."""


@dataclass(slots=True, kw_only=True)
class Folded:
    """How many sessions are what their history says.

    Attributes:
        same: the fold of their history.
        without_history: of the time before there were events, of which nothing can be folded.
        set_aside: set aside for support; not looked at.
        unreadable: with a row or an event that can't be read; the server sets them aside when they are visited.
        locked: sealed with a key that is not there; not looked at.
        differing: readable, and not the fold of their history.
        missing_keys: the ids of the keys that ``locked`` needs.
        named: of those that differ, the first NAMED.
    """

    same: int = 0
    without_history: int = 0
    set_aside: int = 0
    unreadable: int = 0
    locked: int = 0
    differing: int = 0
    missing_keys: set[str] = field(default_factory=set)
    named: list[SessionKey] = field(default_factory=list)


def check_folds(pairs: Pairs, cipher: Cipher) -> Folded:
    """Return what came of all sessions."""
    folded = Folded()
    for row, events in pairs:
        key = SessionKey(*_key(row))
        if SET_ASIDE in key.user_id:
            folded.set_aside += 1
        else:
            _look(folded, key, row, events, cipher)
    return folded


def _look(folded: Folded, key: SessionKey, row: Row, events: Iterable[Row], cipher: Cipher) -> None:
    stored = parse_state(_state_columns(row), cipher)
    made: SessionState | None = None
    try:
        made = _fold(key, events, cipher) if isinstance(stored, SessionState) else None
    except MissingKey as locked:
        stored = locked
    except (ValueError, TypeError, KeyError, AttributeError):  # as reader.py: an event that can't be read
        folded.unreadable += 1
        return
    if isinstance(stored, MissingKey):
        folded.locked += 1
        folded.missing_keys.add(stored.key_id)
    elif not isinstance(stored, SessionState):
        folded.unreadable += 1
    elif made is None and stored.version == 0:
        folded.without_history += 1
    elif made == stored:
        folded.same += 1
    else:
        folded.differing += 1
        folded.named += [key][: NAMED - len(folded.named)]


def _fold(key: SessionKey, events: Iterable[Row], cipher: Cipher) -> SessionState | None:
    """Return the state after these events; None after none, or where a version is missing among them."""
    state: SessionState | None = None
    for version, row in enumerate(events, start=1):
        record = _record_columns(row)
        if record[0] != version:
            return None
        state = apply(state, from_record(parse_record(record, key, cipher)))
    return state


_key = itemgetter(*(columns_of(sessions).index(name) for name in ("survey_id", "user_id")))
_state_columns = itemgetter(*(columns_of(sessions).index(column.name) for column in STATE_COLUMNS))
_record_columns = itemgetter(*(columns_of(session_history).index(column.name) for column in RECORD_COLUMNS))
