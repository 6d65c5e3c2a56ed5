"""The export of a participant has everything about them and nothing about others."""

import base64
import json
import os
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidUserId, MissingKey
from app.operations.privacy import participant_export
from app.operations.privacy.participant_export import apply_erasures, export_participant, read_erasures
from app.operations.webhooks import management
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import keyset
from app.store.credentials import revoke_tokens
from app.survey.commands import Answer, Begin, Draft, Note, Update
from app.survey.events import from_record
from app.survey.snapshot import SessionKey
from app.survey.state import fold
from tests.conftest import NewStore, examples
from tests.store.contents import clear, dump
from tests.store.test_erasures import begin, set_aside

KEY = SessionKey("phq9", "ann")
NAMES = (
    "format",
    "user_id",
    "exported_at",
    "sessions",
    "set_aside",
    "token_revocations",
    "erasures",
    "webhook_deliveries",
    "audit",
    "counts",
)


def exported(store: SessionStore, user_id: str = "ann", survey_id: str | None = None) -> dict[str, Any]:
    pieces = list(export_participant(store, user_id, survey_id))
    assert all(pieces)  # an empty one would end a chunked response
    document: dict[str, Any] = json.loads("".join(pieces))
    assert tuple(document) == NAMES
    assert document["format"] == "stepkeep-participant-1"
    counted = {name: len(document[name]) for name in NAMES[3:-1]}
    counted["events"] = sum(len(session["history"]) for session in [*document["sessions"], *document["set_aside"]])
    assert document["counts"] == counted
    return document


def by_hand(store: SessionStore, statement: str) -> None:
    store.run_transaction(lambda connection: connection.exec_driver_sql(statement))


@pytest.fixture
def encrypted(settings: Settings, new_store: NewStore) -> SessionStore:
    """Yield a store with encrypted answers."""
    keys = base64.b64encode(os.urandom(32)).decode()
    return new_store(settings, answers_keys=keys)


def test_export_has_all_sessions_of_the_participant(encrypted: SessionStore) -> None:
    """Of all surveys, with drafts, history and set-aside sessions, decrypted."""
    store = encrypted
    begin(store, KEY, at=1_000_000)
    set_aside(store, KEY)
    begin(store, KEY)
    begin(store, SessionKey("intake", "ann"))
    store.turns.submit(KEY, Update(at=store.clock(), changes={"session_data": {"clinic": "é😀"}}))
    store.turns.submit(KEY, Note(at=store.clock(), action="called", step=None, answer={"by": "phone"}))
    document = exported(store)

    assert [session["survey_id"] for session in document["sessions"]] == ["intake", "phq9"]
    session = document["sessions"][1]
    assert session["survey_title"] == "Patient Health Questionnaire (PHQ-9)"
    assert (session["answers"], session["drafts"]) == ({"Q1": 1}, {"Q2": "x"})
    assert session["session_data"] == {"clinic": "é😀"}
    assert session["survey_revision"] == store.catalogue.surveys["phq9"].revision
    assert [event["version"] for event in session["history"]] == list(range(1, session["version"] + 1))
    assert [event["action"] for event in session["history"]] == ["started", "answered", "drafted", "saved", "noted"]
    assert session["history"][1]["answer"] == 1
    (aside,) = document["set_aside"]
    assert aside["user_id"].startswith("ann~set-aside-")
    assert (aside["answers"], aside["created_at"]) == ({"Q1": 1}, "1970-01-01T00:00:01.000000Z")
    assert [event["action"] for event in aside["history"]] == ["started", "answered", "drafted"]
    assert "fingerprint" not in json.dumps(document)


def test_export_has_records_about_the_participant(store: SessionStore) -> None:
    """Revoked tokens, earlier erasures and audit entries; nothing about others."""
    begin(store, KEY)
    store.erasure.delete(KEY, actor="operator")
    begin(store, KEY)
    set_aside(store, KEY)
    begin(store, SessionKey("phq9", "ann_"))
    store.run_transaction(lambda connection: revoke_tokens(connection, KEY, 4_000_000_000_000_000))
    document = exported(store)
    assert document["token_revocations"] == [{"survey_id": "phq9", "revoked_at": "2096-10-02T07:06:40.000000Z"}]
    assert [erasure["sessions"] for erasure in document["erasures"]] == [1]
    assert {entry["action"] for entry in document["audit"]} == {"session_read"}
    assert len(document["audit"]) == 2


@pytest.mark.one_database
def test_export_says_which_receivers_of_webhooks_get_values(store: SessionStore) -> None:
    """By the origin of their address, whose path may be secret; as they are set now, whatever was sent."""
    for number, includes_values in enumerate((False, True)):
        url = f"https://receiver{number}.test/secret"
        management.add_webhook(store, url, ["session.started"], includes_values=includes_values)
    begin(store, KEY)
    _, changed = management.list_webhooks(store)
    for value in (True, False):
        management.set_includes_values(store, changed.id, includes_values=value)
        deliveries = exported(store)["webhook_deliveries"]
        assert {delivery["to"]: delivery["includes_values_now"] for delivery in deliveries} == {
            "https://receiver0.test": False,
            "https://receiver1.test": value,
        }
        assert all("includes_values" not in delivery for delivery in deliveries)


def test_export_of_one_survey_has_nothing_of_another(store: SessionStore) -> None:
    """Except audit entries without a survey."""
    begin(store, KEY)
    begin(store, SessionKey("intake", "ann"))
    store.erasure.erase_participant("ann", "intake")
    document = exported(store, survey_id="phq9")
    assert [session["survey_id"] for session in document["sessions"]] == ["phq9"]
    assert (document["token_revocations"], document["erasures"]) == ([], [])
    assert {entry["survey_id"] for entry in document["audit"]} == {"phq9", None}


@pytest.mark.one_database
def test_export_of_an_unknown_participant_is_empty(store: SessionStore) -> None:
    """An invalid id is refused before the first piece."""
    begin(store, KEY)
    assert set(exported(store, "bob")["counts"].values()) == {0}
    with pytest.raises(InvalidUserId):
        export_participant(store, "ann~set-aside-%")


def test_unreadable_values_are_exported_as_text(store: SessionStore) -> None:
    """A corrupt session is in ``set_aside``; from an unreadable event on, events are rows."""
    begin(store, KEY)
    begin(store, SessionKey("intake", "ann"))
    by_hand(store, "UPDATE sessions SET answers = '{\"Q1\": ' WHERE survey_id = 'intake'")
    if store.queries.database_facts()["database"] == "sqlite":  # others take times only
        by_hand(store, "UPDATE sessions SET updated_at = 'long ago', completed_at = 5 WHERE survey_id = 'intake'")
    by_hand(store, "UPDATE session_history SET answer = '{' WHERE survey_id = 'phq9' AND version = 2")
    document = exported(store)
    (broken,) = document["set_aside"]
    assert (broken["user_id"], broken["survey_id"], broken["answers"]) == ("ann", "intake", '{"Q1": ')
    assert isinstance(broken["step_history"], list)
    assert broken["updated_at"] == "long ago" or broken["updated_at"].endswith("Z")
    events = document["sessions"][0]["history"]
    assert [event["version"] for event in events] == [1, 2, 3]
    assert [event["answer"] for event in events] == [None, "{", "x"]
    assert set(events[0]) >= {"version", "message_id", "action", "step", "answer", "data", "timestamp"}


@pytest.mark.one_database
def test_export_is_refused_when_a_key_is_missing(
    encrypted: SessionStore, settings: Settings, new_store: NewStore
) -> None:
    """An incomplete export would look complete."""
    begin(encrypted, KEY)
    name = set_aside(encrypted, KEY)
    store = new_store(settings)  # a set-aside session's key need not be there
    with pytest.raises(MissingKey):
        exported(store)
    assert exported(encrypted)["set_aside"][0]["user_id"] == name


STEPS = st.lists(st.one_of(st.integers(1, 9), st.text("ab", max_size=5)), max_size=12)


@examples(15)
@given(steps=STEPS, page=st.integers(1, 5))
def test_history_is_complete_for_any_page_size(store: SessionStore, steps: list[int | str], page: int) -> None:
    """Each event once and in order; replaying them gives the exported state."""
    clear(store)
    at = store.clock()
    store.turns.submit(KEY, Begin(at=at))
    for number, step in enumerate(steps):
        if isinstance(step, str):
            store.turns.submit(KEY, Draft(at=at + number, step="Q1", value=step))
        else:
            store.turns.submit(KEY, Answer(at=at + number, step=f"Q{step}", value=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(participant_export, "EVENTS_A_PAGE", page)
        session = exported(store)["sessions"][0]
    entries = store.queries.history(KEY, limit=1000)
    assert session["history"] == store.queries.events_to_dicts(KEY, entries)
    folded = fold(from_record(entry.record) for entry in entries)
    assert folded is not None
    assert (session["answers"], session["drafts"], session["version"]) == (
        folded.answers,
        folded.drafts,
        folded.version,
    )


def test_events_during_an_export_are_not_included(store: SessionStore) -> None:
    """A session is exported at one version."""
    begin(store, KEY)
    pieces = export_participant(store, "ann")
    before = "".join(next(pieces) for _ in range(3))
    assert '"version":3' in before
    assert '"started"' not in before
    store.turns.submit(KEY, Answer(at=store.clock(), step="Q2", value=1))
    document = json.loads(before + "".join(pieces))
    assert [len(session["history"]) for session in document["sessions"]] == [document["sessions"][0]["version"]] == [3]


@pytest.mark.parametrize(("taken", "sessions"), [(1, []), (3, [[]])])
def test_export_is_valid_json_when_a_session_is_erased_meanwhile(
    store: SessionStore, taken: int, sessions: list[list[object]]
) -> None:
    """The session is left out, or has no more events."""
    begin(store, KEY)
    pieces = export_participant(store, "ann")
    before = "".join(next(pieces) for _ in range(taken))
    store.erasure.delete(KEY)
    document = json.loads(before + "".join(pieces))
    assert [session["history"] for session in document["sessions"]] == sessions


def test_export_of_a_long_history_needs_little_memory(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few times a page's bytes, however many events are how long."""
    monkeypatch.setattr(keyset, "PAGE_BYTES", 512 * 1024)
    note = Note(at=2, action="n", step=None, answer="x" * 60_000)
    store.turns.submit_many([(KEY, Begin(at=1)), *[(KEY, note)] * 150])
    whole = 150 * 60_000
    tracemalloc.start()
    size = sum(map(len, export_participant(store, "ann")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > whole
    assert peak < 6 * keyset.PAGE_BYTES


def test_list_of_erasures_is_exported_and_applied(store: SessionStore, caplog: pytest.LogCaptureFixture) -> None:
    """In another database; invalid lines are skipped."""
    begin(store, KEY)
    store.erasure.erase_participant("ann")
    lines = list(read_erasures(store))
    clear(store)
    begin(store, KEY, at=1)
    begin(store, SessionKey("phq9", "bob"))
    assert apply_erasures(store, [*lines, "", "{"], "sent.jsonl") == 1
    assert [row["user_id"] for row in dump(store)["sessions"]] == ["bob"]
    assert list(read_erasures(store)) == lines
    assert "sent.jsonl: skipped 1 unreadable lines" in caplog.text
