"""Sessions counted by survey and status, on each database."""

import dataclasses

from app.sessions.service import SessionStore
from app.store import history
from app.store.sessions import SurveyCount, count_by_survey
from app.survey.commands import Answer
from app.survey.snapshot import SessionKey
from app.testing import walk

DAY_US = 86_400 * 1_000_000


def counts(store: SessionStore, at: int) -> list[SurveyCount]:
    """Return the counts at a time, without the times of the last change."""
    rows = store.run_read(lambda connection: count_by_survey(connection, at))
    return [dataclasses.replace(count, changed_at=None) for count in rows]


def count(survey_id: str, in_progress: int, completed: int, expired: int) -> SurveyCount:
    return SurveyCount(
        survey_id=survey_id, in_progress=in_progress, completed=completed, expired=expired, changed_at=None
    )


def complete(store: SessionStore, user_id: str) -> None:
    """Complete the PHQ-9."""
    walk(store, "phq9", user_id=user_id)


def test_sessions_are_counted_when_there_are_some_of_each_status(store: SessionStore) -> None:
    """By survey, without empty ones; a session counts as expired from its expiry on, before its row says so."""
    assert counts(store, store.clock()) == []
    for user_id in ("p-1", "p-2"):
        store.turns.get_or_create(SessionKey("phq9", user_id), is_audio_mode=False)
    store.turns.get_or_create(SessionKey("intake", "p-1"), is_audio_mode=False)
    complete(store, "p-3")
    at = store.clock()
    assert counts(store, at) == [count("intake", 1, 0, 0), count("phq9", 2, 1, 0)]
    assert counts(store, at + 15 * DAY_US)[1] == count("phq9", 0, 1, 2)  # phq9 has expires_after 14d


def test_changed_at_is_the_last_change_of_the_newest_session(store: SessionStore) -> None:
    """To the microsecond."""
    key = SessionKey("phq9", "p-1")
    store.turns.get_or_create(SessionKey("phq9", "p-2"), is_audio_mode=False)
    store.turns.get_or_create(key, is_audio_mode=False)
    store.turns.submit(key, Answer(at=store.clock(), message_id="m1", step="Q1", value=1))
    snapshot = store.queries.load(key)
    assert snapshot is not None
    [found] = store.run_read(lambda connection: count_by_survey(connection, store.clock()))
    assert found.changed_at == snapshot.state.updated_at


def test_set_aside_session_is_not_counted(store: SessionStore) -> None:
    """It is kept for support; its participant starts another session."""
    key = SessionKey("phq9", "p-1")
    store.turns.get_or_create(key, is_audio_mode=False)
    store.run_transaction(lambda connection: history.set_aside(connection, key, store.clock()))
    assert counts(store, store.clock()) == []
