"""Rebuilding replaces a row by the replay of its history, and refuses to lose answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import NoSuchSession
from app.operations.integrity.rebuild import RebuildRefused, RebuildResult, rebuild_all, rebuild_session
from app.operations.integrity.verify import verify_sessions
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import audit
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore, examples
from tests.operations.simulated_sessions import (
    change_row,
    delete_event,
    read_history,
    read_row,
    simulated_sessions,
    swap_rows,
)
from tests.store.contents import clear
from tests.store.encrypted import OLD, keys_of

ANN = SessionKey("phq9", "ann")

WRONG = {
    "answers": st.sampled_from(['{"Q1":3}', "{oops", "[]", '{"Q1":1.0}']),
    "current_step": st.sampled_from(["Q9", "end", "nowhere"]),
    "step_history": st.sampled_from(["[]", '["Q9"]', "{"]),
    "is_audio_mode": st.sampled_from([7]),
    "status": st.sampled_from(["expired", "completed"]),
    "drafts": st.sampled_from(['{"Q1":"x"}', "{oops"]),
    "session_data": st.sampled_from(['{"k":1}']),
    "survey_revision": st.sampled_from(["f" * 32]),
    "expires_at": st.none(),
}


def verdicts(store: SessionStore) -> set[str]:
    return {one.verdict for one in verify_sessions(store)}


def answered(store: SessionStore) -> None:
    at = store.clock()
    answers = [(ANN, Answer(at=at + n, message_id=f"m{n}", step=f"Q{n}", value=1)) for n in (1, 2, 3)]
    store.turns.submit_many([(ANN, Begin(at=at)), *answers])


@examples(25)
@given(seed=st.integers(0, 10_000), number=st.integers(0, 2), wrong=st.fixed_dictionaries({}, optional=WRONG))
def test_damaged_row_is_restored(store: SessionStore, seed: int, number: int, wrong: dict[str, Any]) -> None:
    """To the byte; other rows and the history do not change."""
    clear(store)
    keys = simulated_sessions(store, seed, 3)
    rows, events = [read_row(store, key) for key in keys], read_history(store)
    change_row(store, keys[number], **(wrong | {"updated_at": None}))
    rebuild_session(store, keys[number])
    assert [read_row(store, key) for key in keys] == rows
    assert read_history(store) == events
    assert verdicts(store) == {"same"}


@pytest.mark.one_database
def test_swapped_rows_are_restored(store: SessionStore) -> None:
    """Each from its own history."""
    keys = simulated_sessions(store, 11, 4)
    same_survey = [key for key in keys if key.survey_id == keys[0].survey_id][:2]
    one, other = same_survey if len(same_survey) == 2 else (keys[0], keys[1])
    rows = [read_row(store, key) for key in keys]
    swap_rows(store, one, other)
    done = rebuild_all(store, lossy=True)  # the row that says a later version than its history has
    assert {item.key for item in done} == {one, other}
    assert [read_row(store, key) for key in keys] == rows


@pytest.mark.one_database
def test_wrong_version_is_corrected(store: SessionStore) -> None:
    """All other fields match, so nothing can be lost; the session continues."""
    answered(store)
    row = read_row(store, ANN)
    for version in (0, 2, 99):
        change_row(store, ANN, version=version)
        assert rebuild_session(store, ANN) == RebuildResult(key=ANN, changed=("version",))
        assert read_row(store, ANN) == row
    result = store.turns.submit(ANN, Answer(at=store.clock(), step="Q4", value=0))
    assert result.snapshot is not None
    assert result.snapshot.state.version == 5


@pytest.mark.one_database
@pytest.mark.parametrize("version", [2, 4])
def test_rebuild_is_refused_when_an_event_is_missing(store: SessionStore, version: int) -> None:
    """The row may contain its answer; with ``lossy`` the session continues from the remaining events."""
    answered(store)
    delete_event(store, ANN, version)
    row = read_row(store, ANN)
    with pytest.raises(RebuildRefused, match=f"version {version} is missing in its history.*--lossy"):
        rebuild_session(store, ANN)
    assert read_row(store, ANN) == row
    rebuild_session(store, ANN, lossy=True)
    assert f"Q{version - 1}" not in json.loads(read_row(store, ANN)["answers"])
    result = store.turns.submit(ANN, Answer(at=store.clock(), step="Q4" if version == 2 else "Q3", value=0))
    assert result.snapshot is not None
    assert result.snapshot.state.version == (5 if version == 2 else 4)


@pytest.mark.one_database
def test_dry_run_changes_nothing(store: SessionStore) -> None:
    """Not even the audit log."""
    answered(store)
    change_row(store, ANN, answers="{}")
    row = read_row(store, ANN)
    assert rebuild_session(store, ANN, dry_run=True) == RebuildResult(key=ANN, changed=("answers",))
    assert rebuild_all(store, dry_run=True) == [RebuildResult(key=ANN, changed=("answers",))]
    assert read_row(store, ANN) == row
    assert store.run_read(lambda connection: audit.read_page(connection, None, 10, {})).items == []


@pytest.mark.one_database
def test_rebuild_is_recorded_in_the_audit_log_once(store: SessionStore) -> None:
    """With names of fields only; a second run changes and records nothing."""
    answered(store)
    change_row(store, ANN, answers='{"Q1":"a secret"}')
    rebuild_session(store, ANN, actor="key:1 (x)")
    assert rebuild_session(store, ANN) == RebuildResult(key=ANN, changed=())
    (one,) = store.run_read(lambda connection: audit.read_page(connection, None, 10, {})).items
    entry = one.entry
    assert (entry.actor, entry.action, entry.user_id, entry.detail) == (
        "key:1 (x)", "session_rebuilt", "ann", {"changed": "answers"}
    )  # fmt: skip


@pytest.mark.one_database
def test_rebuild_is_refused_without_a_session_or_a_history(store: SessionStore) -> None:
    """Nothing changes."""
    with pytest.raises(NoSuchSession):
        rebuild_session(store, ANN)
    store.turns.submit(ANN, Begin(at=store.clock()))
    delete_event(store, ANN, 1)
    with pytest.raises(RebuildRefused, match="no event has a state"):
        rebuild_session(store, ANN)
    (refused,) = rebuild_all(store)
    assert isinstance(refused, RebuildRefused)


def test_encrypted_session_is_rebuilt_encrypted(settings: Settings, new_store: NewStore) -> None:
    """With the first key."""
    store = new_store(settings, answers_keys=keys_of(OLD))
    answered(store)
    change_row(store, ANN, answers="{oops")
    assert rebuild_session(store, ANN).changed == ("row",)
    assert read_row(store, ANN)["answers"].startswith("enc:")
    assert verdicts(store) == {"same"}
