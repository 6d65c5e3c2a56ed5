"""Verification finds every session whose row differs from the replay of its history, and no others."""

import json
from collections import Counter
from collections.abc import Callable

import pytest

from app.operations.integrity import verify
from app.operations.integrity.verify import SessionCheck, verify_sessions
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import history
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS, NewStore
from tests.migrations.sample import make_by_hand, migrate
from tests.operations.simulated_sessions import (
    change_row,
    delete_event,
    read_history,
    read_row,
    simulated_sessions,
    swap_rows,
)
from tests.store.encrypted import OLD, keys_of

ANN = SessionKey("phq9", "ann")
BEN = SessionKey("phq9", "ben")
CY = SessionKey("intake", "ann")


def begun(store: SessionStore) -> None:
    """Start sessions of two participants, and answer two steps."""
    at = store.clock()
    for key, value in ((ANN, 1), (BEN, 2)):
        turns = [(key, Begin(at=at))]
        turns += [(key, Answer(at=at + n, step=f"Q{n}", value=value)) for n in (1, 2)]  # type: ignore[misc]
        assert not [result for result in store.turns.submit_many(turns) if isinstance(result, Exception)]
    store.turns.submit(CY, Begin(at=at))


def differing(store: SessionStore, survey_id: str | None = None) -> dict[SessionKey, tuple[str, ...]]:
    return {result.key: result.differing for result in verify_sessions(store, survey_id) if result.verdict == "differs"}


Damage = Callable[[SessionStore], None]


def change_answer(store: SessionStore) -> None:
    change_row(store, ANN, answers=json.dumps({"Q1": 1, "Q2": 3}))


def change_kind(store: SessionStore) -> None:
    change_row(store, ANN, answers=json.dumps({"Q1": 1.0, "Q2": True}))


def change_order(store: SessionStore) -> None:
    change_row(store, ANN, answers=json.dumps({"Q2": 1, "Q1": 1}))


DAMAGE: dict[str, tuple[Damage, dict[SessionKey, tuple[str, ...]]]] = {
    "a changed answer": (change_answer, {ANN: ("answers",)}),
    "an answer of another type": (change_kind, {ANN: ("answers",)}),
    "answers in another order": (change_order, {ANN: ("answers",)}),
    "a wrong version": (lambda store: change_row(store, ANN, version=7), {ANN: ("version",)}),
    "a version of none": (lambda store: change_row(store, ANN, version=0), {ANN: ("version",)}),
    "another mode": (lambda store: change_row(store, CY, is_audio_mode=1), {CY: ("is_audio_mode",)}),
    "swapped rows": (lambda store: swap_rows(store, ANN, BEN), {ANN: ("answers",), BEN: ("answers",)}),
    "an unreadable row": (lambda store: change_row(store, BEN, answers="{oops"), {BEN: ("row",)}),
    "its last event missing": (
        lambda store: delete_event(store, ANN, 3),
        {ANN: ("version", "current_step", "answers", "step_history", "updated_at")},
    ),
    "no history": (lambda store: delete_event(store, CY, 1), {CY: ("history",)}),
}


@pytest.mark.one_database
@pytest.mark.parametrize("what", DAMAGE)
def test_differing_fields_are_named(store: SessionStore, what: str) -> None:
    """Intact sessions are the same."""
    begun(store)
    damage, expected = DAMAGE[what]
    assert differing(store) == {}
    damage(store)
    assert differing(store) == expected
    verdicts = Counter(result.verdict for result in verify_sessions(store))
    assert verdicts == Counter({"differs": len(expected), "same": 3 - len(expected)})


@pytest.mark.one_database
def test_missing_event_is_named_by_its_version(store: SessionStore) -> None:
    """Even if the row is right."""
    begun(store)
    delete_event(store, ANN, 2)
    (broken,) = [result for result in verify_sessions(store) if result.verdict != "same"]
    assert (broken.key, broken.differing[-1], broken.problem) == (ANN, "history", "version 2 is missing in its history")


@pytest.mark.one_database
def test_results_contain_no_values(store: SessionStore) -> None:
    """Only names of fields, so that they can be passed on."""
    begun(store)
    change_row(store, ANN, answers=json.dumps({"Q1": "a secret"}))
    assert "secret" not in repr(list(verify_sessions(store)))


@pytest.mark.parametrize("page", [1, *(pytest.param(number, marks=pytest.mark.one_database) for number in (2, 3)), 500])
def test_every_session_is_checked_once_in_key_order(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """For any page size, and for one survey."""
    monkeypatch.setattr(verify, "SESSIONS_A_PAGE", page)
    keys = [*simulated_sessions(store, 3, 7), *[SessionKey("phq9", "user-3"), SessionKey("intake", "user-3")]]
    for key in keys[-2:]:
        store.turns.submit(key, Begin(at=store.clock()))
    told: list[tuple[int, int]] = []
    results = list(verify_sessions(store, progress=lambda done, total: told.append((done, total))))
    assert [result.key for result in results] == sorted(set(keys), key=lambda key: (key.user_id, key.survey_id))
    assert {result.verdict for result in results} == {"same"}
    assert told[-1] == (len(results), len(results))
    phq9 = [result.key for result in verify_sessions(store, "phq9")]
    assert phq9 == [result.key for result in results if result.key.survey_id == "phq9"]


@pytest.mark.one_database
def test_set_aside_session_is_not_checked(store: SessionStore) -> None:
    """It has a verdict of its own."""
    begun(store)
    change_row(store, ANN, answers="{oops")
    store.turns.get_or_create(ANN, is_audio_mode=False)
    verdicts = Counter(result.verdict for result in verify_sessions(store))
    assert verdicts == {"same": 3, "set_aside": 1}


@pytest.mark.one_database
def test_locked_session_is_not_checked(settings: Settings, new_store: NewStore) -> None:
    """Its key is missing."""
    encrypted = new_store(settings, answers_keys=keys_of(OLD))
    begun(encrypted)
    assert {result.verdict for result in verify_sessions(encrypted)} == {"same"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "find_missing_key", lambda *_: None)
        plain = new_store(settings)
    assert {result.verdict for result in verify_sessions(plain)} == {"locked"}


@pytest.fixture
def adopted(empty_url: str, new_store: NewStore) -> SessionStore:
    """Yield a store on a database that another program has filled."""
    make_by_hand(empty_url)
    migrate(empty_url, "head", default_survey="phq9")
    return new_store(Settings(database_url=empty_url, surveys_dir=SURVEYS, default_survey="phq9"))


def test_adopted_sessions_are_checked_except_their_start(adopted: SessionStore) -> None:
    """No event has their start."""
    results = {result.key.user_id: result for result in verify_sessions(adopted)}
    assert results["bob"].verdict == "adopted"
    assert {user for user, result in results.items() if result.verdict == "differs"} == {"corrupt"}
    change_row(adopted, SessionKey("phq9", "bob"), current_step="Q9")
    results = {result.key.user_id: result for result in verify_sessions(adopted)}
    assert results["bob"].verdict == "differs"
    assert "current_step" in results["bob"].differing


def test_session_is_checked_again_when_it_changed_meanwhile(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it did not change, or was erased."""
    begun(store)
    real = verify.check_session
    changed: list[SessionKey] = []

    def once_stale(pair: verify.integrity.SessionAndReplay) -> SessionCheck | None:
        if pair.key not in changed:
            changed.append(pair.key)
            if pair.key == BEN:
                store.erasure.delete(BEN)
            return SessionCheck(key=pair.key, verdict="differs")
        return real(pair)

    monkeypatch.setattr(verify, "check_session", once_stale)
    assert [(result.key, result.verdict) for result in verify_sessions(store)] == [(CY, "same"), (ANN, "same")]


@pytest.mark.one_database
def test_verification_changes_nothing(store: SessionStore) -> None:
    """It only reads."""
    keys = simulated_sessions(store, 5, 3)
    before = [read_row(store, key) for key in keys], read_history(store)
    list(verify_sessions(store))
    assert ([read_row(store, key) for key in keys], read_history(store)) == before
