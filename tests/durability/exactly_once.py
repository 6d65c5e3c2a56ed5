"""Checks of the durability tests: each event is in history once, and replaying history gives the session's row."""

from collections import Counter

from app.sessions.service import SessionStore
from app.survey.events import from_record
from app.survey.snapshot import SessionKey
from app.survey.state import fold

NO_LIMIT = 100_000


def message_ids(store: SessionStore, key: SessionKey) -> Counter[str]:
    """Return how often each message id occurs in the session's history."""
    entries = store.queries.history(key, limit=NO_LIMIT)
    return Counter(entry.message_id for entry in entries if entry.message_id is not None)


def check_fold(store: SessionStore, key: SessionKey) -> None:
    """Check that the versions are 1, 2, 3 ... without a gap, and that replaying history gives the row."""
    snapshot = store.queries.load(key)
    assert snapshot is not None
    entries = store.queries.history(key, limit=NO_LIMIT)
    assert [entry.version for entry in entries] == list(range(1, snapshot.state.version + 1))
    assert fold(from_record(entry.record) for entry in entries) == snapshot.state
