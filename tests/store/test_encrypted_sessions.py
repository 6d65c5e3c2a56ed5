"""Sessions with encrypted answers: unreadable in the database, bound to their rows, and otherwise as plain ones."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from app.database import Database
from app.errors import MessageIdReused, SessionUnreadable
from app.operations.integrity import read_stored_session
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.encryption import Cipher, key_id
from app.store.engine import normalise_url
from app.store.tables import session_history, sessions
from app.survey.commands import Answer, Begin, Draft, Restart, Update
from app.survey.events import from_record
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState
from app.writer.batch import Committed
from tests.conftest import NewStore
from tests.durability.exactly_once import check_fold
from tests.store.encrypted import KEY, MARKER, NEW, OLD, OTHER, OpenWithKeys, all_values, fill, keys_of, submit


def state_text(store: SessionStore, key: SessionKey = KEY) -> str:
    snapshot = store.queries.load(key)
    assert snapshot is not None
    return str(snapshot.state)


def swap(engine: Engine, column: str, users: tuple[str, str]) -> None:
    """Swap the values of a column between two participants."""
    with engine.begin() as connection:
        queries = [select(sessions.c[column]).where(sessions.c.user_id == user) for user in users]
        values = [connection.execute(query).scalar_one() for query in queries]
        for user, value in zip(users, reversed(values), strict=True):
            connection.execute(update(sessions).where(sessions.c.user_id == user).values({column: value}))


def test_no_answer_is_readable_in_the_database_when_encrypted(
    open_with_keys: OpenWithKeys, engine: Engine, settings: Settings
) -> None:
    """Answers, edits, drafts, notes, session data and saved states: no column and no file has their text."""
    store = open_with_keys(NEW)
    fill(store)
    database = Database(store)
    saved = database.save_session("user123", "S2", {"S1": f"{MARKER} saved"}, ["S1"], False, {"more": MARKER})
    assert saved
    submit(store, Draft(at=9, step="S2", value=MARKER), Restart(at=10))
    fill(store, SessionKey("diary", "another"))
    assert MARKER in state_text(store, SessionKey("diary", "another"))
    assert MARKER not in all_values(engine)
    assert "fingerprint" not in all_values(engine)
    assert f"enc:1:{key_id(NEW)}:" in all_values(engine)
    if settings.database_url.startswith("sqlite"):
        path = Path(normalise_url(settings.database_url).database or "")
        files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
        assert len(files) > 1  # the WAL is there
        # In another process: opening and closing the file in this one would drop SQLite's locks.
        assert subprocess.run(["grep", "-aFq", "user123", *files], check=False).returncode == 0
        assert subprocess.run(["grep", "-aFq", MARKER, *files], check=False).returncode == 1


YES_NO = """
id: visit
title: Visit
language: en
steps:
  - {id: CONSENT, type: boolean, prompt: Consent, required: false}
  - id: DRUG
    type: choice
    prompt: Drug
    required: false
    options:
      - {value: none, label: None}
      - {value: heroin, label: Heroin}
      - {value: benzodiazepine, label: Benzodiazepine}
"""
VISITS = [(consent, drug) for consent in (True, False, None) for drug in ("none", "heroin", "benzodiazepine", None)]


def test_no_length_tells_a_yes_or_a_choice_when_encrypted(
    settings: Settings, new_store: NewStore, engine: Engine, tmp_path: Path
) -> None:
    """Twelve participants give all combinations of answers, skipped ones included: each column has one length."""
    surveys_dir = tmp_path / "visits"
    surveys_dir.mkdir()
    (surveys_dir / "visit.yaml").write_text(YES_NO)
    store = new_store(settings, answers_keys=keys_of(NEW), surveys_dir=surveys_dir)
    for number, (consent, drug) in enumerate(VISITS):
        key = SessionKey("visit", f"user{number:02}")
        store.turns.get_or_create(key, is_audio_mode=False)
        submit(store, Answer(at=2, message_id="m1", step="CONSENT", value=consent), key=key)
        submit(store, Answer(at=3, message_id="m2", step="DRUG", value=drug), key=key)
    assert_one_length(engine)


def test_no_length_tells_whether_there_is_a_draft_when_encrypted(open_with_keys: OpenWithKeys, engine: Engine) -> None:
    """A draft, session data, or none: NULL would tell."""
    store = open_with_keys(NEW)
    for user, values in (("a", {"session_data": {"x": 1}}), ("b", {"session_data": {}}), ("c", {})):
        key = SessionKey("diary", user)
        store.turns.get_or_create(key, is_audio_mode=False)
        submit(store, Update(at=2, changes=values), key=key)
    submit(store, Draft(at=3, step="S1", value="x"), key=SessionKey("diary", "a"))
    with engine.connect() as connection:
        rows = connection.execute(select(sessions.c.answers, sessions.c.drafts, sessions.c.session_data)).all()
    assert {len(value) for row in rows for value in row} == {len(rows[0].answers)}
    assert [read["drafts"] for read in (read_stored(store, user) for user in "abc")] == [{"S1": "x"}, None, None]
    assert [read["session_data"] for read in (read_stored(store, user) for user in "abc")] == [{"x": 1}, {}, None]


def read_stored(store: SessionStore, user: str) -> dict[str, object]:
    row = read_stored_session(store, SessionKey("diary", user))
    assert row is not None
    return row


def assert_one_length(engine: Engine) -> None:
    """Check that each encrypted column has one length in all rows of an action."""
    with engine.connect() as connection:
        rows = connection.execute(select(sessions.c.answers, sessions.c.drafts, sessions.c.session_data)).all()
        events = connection.execute(
            select(session_history.c.action, session_history.c.answer, session_history.c.data)
        ).all()
    assert len({tuple(map(len, row)) for row in rows}) == 1
    by_action = {(event.action, len(event.answer), len(event.data)) for event in events}
    assert len(by_action) == len({event.action for event in events})


def test_answers_are_plain_without_a_key(open_with_keys: OpenWithKeys, engine: Engine) -> None:
    """Encryption is off by default; this also shows that the search of these tests works."""
    fill(open_with_keys())
    values = all_values(engine)
    assert values.count(MARKER) > 8
    assert "enc:" not in values


def test_history_replays_to_the_row_when_plain_and_encrypted_values_are_mixed(open_with_keys: OpenWithKeys) -> None:
    """Sessions started before there was a key continue, encrypted from then on."""
    plain, second = KEY, SessionKey("diary", "second")
    fill(open_with_keys(), plain)
    store = open_with_keys(NEW)
    fill(store, second)
    submit(store, Answer(at=20, step="S3", value="end"), key=plain)
    for key in (plain, second):
        check_fold(store, key)
        check_fold(open_with_keys(OLD, NEW), key)
        assert store.queries.at_version(key, 4).state.answers == {"S1": f"{MARKER} one", "S2": f"{MARKER} two"}
    assert {snapshot.key.user_id for snapshot in store.queries.list()[0]} == {"user123", "second"}


def test_group_commit_encrypts_each_value_for_its_own_session(open_with_keys: OpenWithKeys, engine: Engine) -> None:
    """Turns of many sessions in one transaction, from many threads: no two encrypted values are equal."""
    store = open_with_keys(NEW)
    keys = [SessionKey("diary", f"user{number}") for number in range(30)]
    assert all(
        isinstance(result, Committed) for result in store.turns.submit_many([(key, Begin(at=1)) for key in keys])
    )
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: submit(store, Answer(at=2, step="S1", value=MARKER), key=key), keys))
    results = store.turns.submit_many([(key, Answer(at=3, step="S2", value=MARKER)) for key in keys])
    assert all(isinstance(result, Committed) for result in results)
    for key in keys:
        check_fold(open_with_keys(NEW) if key is keys[0] else store, key)
    with engine.connect() as connection:
        values = connection.execute(select(session_history.c.answer)).scalars().all()
    assert len(set(values)) == len(values) == 90


def test_message_sent_again_is_recognised_by_its_encrypted_fingerprint(open_with_keys: OpenWithKeys) -> None:
    """The same command is a duplicate; another command with its id is refused. A later process knows it too."""
    fill(open_with_keys(NEW))
    store = open_with_keys(OLD, NEW)
    again = store.turns.submit(KEY, Answer(at=50, message_id="m1", step="S1", value=f"{MARKER} one"))
    assert isinstance(again, Committed)
    assert (again.duplicate, again.version) == (True, 3)
    with pytest.raises(MessageIdReused):
        store.turns.submit(KEY, Answer(at=50, message_id="m1", step="S1", value="else"))


@pytest.mark.one_database
@pytest.mark.parametrize("column", ["answers", "drafts", "session_data"])
def test_values_cannot_be_decrypted_when_swapped_between_participants(
    open_with_keys: OpenWithKeys, engine: Engine, column: str
) -> None:
    """A value is bound to its participant, who never sees the answers of another."""
    store = open_with_keys(NEW)
    second = SessionKey("diary", "second")
    for key in (KEY, second):
        fill(store, key)
    swap(engine, column, ("user123", "second"))
    for key in (KEY, second):
        with pytest.raises(SessionUnreadable, match="DecryptionError"):
            store.queries.load(key)


def test_values_cannot_be_decrypted_when_moved_to_another_column_or_version(
    open_with_keys: OpenWithKeys, engine: Engine
) -> None:
    """A value is bound to its column, and in history to its event."""
    store = open_with_keys(NEW)
    fill(store)
    with engine.begin() as connection:
        connection.execute(update(sessions).values(session_data=sessions.c.drafts))
        answers = dict(connection.execute(select(session_history.c.version, session_history.c.answer)).all())
        connection.execute(update(session_history).where(session_history.c.version == 3).values(answer=answers[4]))
    with pytest.raises(SessionUnreadable, match="DecryptionError"):
        store.queries.load(KEY)
    with pytest.raises(SessionUnreadable, match="DecryptionError"):
        store.queries.history(KEY)


@pytest.mark.one_database
@pytest.mark.parametrize("changed", ["cut", "flipped", "no base64", "parts"])
def test_session_is_set_aside_when_an_encrypted_value_was_changed(
    open_with_keys: OpenWithKeys, engine: Engine, changed: str
) -> None:
    """As for corrupt JSON: the row and its readable history are renamed, and the participant starts again."""
    store = open_with_keys(NEW)
    fill(store)
    with engine.begin() as connection:
        value = connection.execute(select(sessions.c.answers)).scalar_one()
        flipped = value[:40] + ("A" if value[40] != "A" else "B") + value[41:]
        wrong = {"cut": value[:-8], "flipped": flipped, "no base64": value[:20] + "é", "parts": "enc:1"}[changed]
        connection.execute(update(sessions).values(answers=wrong))
    snapshot, resumed = store.turns.get_or_create(KEY, is_audio_mode=False)
    assert (resumed, snapshot.state.answers) == (False, {})
    check_fold(store, KEY)
    with engine.connect() as connection:
        set_aside = connection.execute(select(sessions.c.user_id).where(sessions.c.answers == wrong)).scalar_one()
    assert set_aside.startswith("user123~set-aside-")
    entries = store.queries.history(SessionKey("diary", set_aside))
    assert any(MARKER in str(from_record(entry.record)) for entry in entries)
    assert [snapshot.key.user_id for snapshot in store.queries.list()[0]] == ["user123"]


def test_list_skips_set_aside_sessions_without_their_key(open_with_keys: OpenWithKeys, engine: Engine) -> None:
    """Sessions that are kept for support do not need their old key forever."""
    store = open_with_keys(NEW)
    fill(store)
    encrypted = Cipher([OTHER]).encrypt("{}", ("sessions.answers", "diary", "old"))
    with engine.begin() as connection:
        row = connection.execute(select(sessions)).mappings().one()
        connection.execute(sessions.insert(), {**row, "user_id": "old~set-aside-1", "answers": encrypted})
    assert [snapshot.key.user_id for snapshot in store.queries.list()[0]] == ["user123"]


def test_start_succeeds_without_the_key_of_set_aside_sessions(open_with_keys: OpenWithKeys, engine: Engine) -> None:
    """Otherwise a key without another use could never be removed."""
    fill(open_with_keys(OLD))
    with engine.begin() as connection:
        row = dict(connection.execute(select(sessions)).mappings().one())
        connection.execute(sessions.insert(), {**row, "user_id": "user123~set-aside-1"})
        connection.execute(update(session_history).values(user_id="user123~set-aside-1"))
    open_with_keys(NEW)


def test_new_values_are_plain_when_plain_is_the_first_key(
    open_with_keys: OpenWithKeys, engine: Engine, new_store: NewStore
) -> None:
    """Encryption can be switched off: existing values remain readable."""
    encrypted = open_with_keys(NEW)
    fill(encrypted)
    store = new_store(encrypted.settings, answers_keys=f"plain,{keys_of(NEW)}")
    submit(store, Answer(at=90, step="S3", value="plainly"))
    check_fold(store, KEY)
    assert "plainly" in all_values(engine)


def test_encrypted_session_loads_as_a_session_state(open_with_keys: OpenWithKeys) -> None:
    """In another process, too."""
    fill(open_with_keys(NEW))
    snapshot = open_with_keys(NEW).queries.load(KEY)
    assert snapshot is not None
    assert isinstance(snapshot.state, SessionState)
