"""Rebuilding makes a row what its history says, keeps history as it is, and refuses what would lose something."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.errors import NoSuchSession
from app.operations.integrity.rebuild import CanNotBeRebuilt, Rebuilt, rebuild, rebuild_all
from app.operations.integrity.verify import verify_sessions
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import audit
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from tests.conftest import examples
from tests.operations.walked import change_row, history_of, lose_event, row_of, swap_rows, walked
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
def test_damaged_row_is_as_it_was_before(store: SessionStore, seed: int, number: int, wrong: dict[str, Any]) -> None:
    """Whatever was written into it: the row is the same to the byte, other rows and the history are untouched."""
    clear(store)
    keys = walked(store, seed, 3)
    rows, events = [row_of(store, key) for key in keys], history_of(store)
    change_row(store, keys[number], **(wrong | {"updated_at": None}))
    rebuild(store, keys[number])
    assert [row_of(store, key) for key in keys] == rows
    assert history_of(store) == events
    assert verdicts(store) == {"same"}


def test_swapped_rows_are_put_right(store: SessionStore) -> None:
    """Each by its own history; they are found by themselves."""
    keys = walked(store, 11, 4)
    same_survey = [key for key in keys if key.survey_id == keys[0].survey_id][:2]
    one, other = same_survey if len(same_survey) == 2 else (keys[0], keys[1])
    rows = [row_of(store, key) for key in keys]
    swap_rows(store, one, other)
    done = rebuild_all(store, lossy=True)  # the row that says a later version than its history has
    assert {item.key for item in done} == {one, other}
    assert [row_of(store, key) for key in keys] == rows


def test_wrong_version_alone_is_put_right(store: SessionStore) -> None:
    """All else says what the history says, so nothing can be lost; and the walk goes on."""
    answered(store)
    row = row_of(store, ANN)
    for version in (0, 2, 99):
        change_row(store, ANN, version=version)
        assert rebuild(store, ANN) == Rebuilt(key=ANN, changed=("version",))
        assert row_of(store, ANN) == row
    result = store.turns.submit(ANN, Answer(at=store.clock(), step="Q4", value=0))
    assert result.state is not None
    assert result.state.version == 5


@pytest.mark.parametrize("version", [2, 4])
def test_missing_event_is_refused_until_the_loss_is_wanted(store: SessionStore, version: int) -> None:
    """The row may hold what the history lost; with ``lossy`` the row is what is left, and the walk can go on."""
    answered(store)
    lose_event(store, ANN, version)
    row = row_of(store, ANN)
    with pytest.raises(CanNotBeRebuilt, match=f"version {version} is missing in its history.*--lossy"):
        rebuild(store, ANN)
    assert row_of(store, ANN) == row
    rebuild(store, ANN, lossy=True)
    assert f"Q{version - 1}" not in json.loads(row_of(store, ANN)["answers"])
    result = store.turns.submit(ANN, Answer(at=store.clock(), step="Q4" if version == 2 else "Q3", value=0))
    assert result.state is not None
    assert result.state.version == (5 if version == 2 else 4)


def test_dry_run_only_says_what_it_would_do(store: SessionStore) -> None:
    """Nothing is written, not even into the audit log."""
    answered(store)
    change_row(store, ANN, answers="{}")
    row = row_of(store, ANN)
    assert rebuild(store, ANN, dry_run=True) == Rebuilt(key=ANN, changed=("answers",))
    assert rebuild_all(store, dry_run=True) == [Rebuilt(key=ANN, changed=("answers",))]
    assert row_of(store, ANN) == row
    assert store.run_read(lambda connection: audit.read_page(connection, None, 10, {})).entries == []


def test_rebuilding_is_in_the_audit_log_once_and_by_names_alone(store: SessionStore) -> None:
    """Who did it, to whom, and which fields; again changes nothing, and notes nothing."""
    answered(store)
    change_row(store, ANN, answers='{"Q1":"a secret"}')
    rebuild(store, ANN, actor="key:1 (x)")
    assert rebuild(store, ANN) == Rebuilt(key=ANN, changed=())
    (one,) = store.run_read(lambda connection: audit.read_page(connection, None, 10, {})).entries
    entry = one.entry
    assert (entry.actor, entry.action, entry.user_id, entry.detail) == (
        "key:1 (x)", "session_rebuilt", "ann", {"changed": "answers"}
    )  # fmt: skip


def test_what_can_not_be_rebuilt_is_told_and_stays(store: SessionStore) -> None:
    """No session; a history of nothing."""
    with pytest.raises(NoSuchSession):
        rebuild(store, ANN)
    store.turns.submit(ANN, Begin(at=store.clock()))
    lose_event(store, ANN, 1)
    with pytest.raises(CanNotBeRebuilt, match="its history has no state"):
        rebuild(store, ANN)
    (refused,) = rebuild_all(store)
    assert isinstance(refused, CanNotBeRebuilt)


def test_sealed_session_is_rebuilt_sealed(settings: Settings) -> None:
    """With the first key, as all that is written."""
    store = open_store(settings.model_copy(update={"answers_keys": SecretStr(keys_of(OLD))}))
    try:
        answered(store)
        change_row(store, ANN, answers="{oops")
        assert rebuild(store, ANN).changed == ("row",)
        assert row_of(store, ANN)["answers"].startswith("enc:")
        assert verdicts(store) == {"same"}
    finally:
        store.close()
