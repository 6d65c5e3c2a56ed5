"""Key rotation converts every stored value, beside live traffic and after interruptions."""

import signal
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, Table, select, update
from sqlalchemy.exc import OperationalError

from app.errors import ConfigurationError
from app.operations.maintenance import key_rotation
from app.operations.maintenance.key_rotation import RotationResult, UndecryptableRow, rotate_keys
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import encryption
from app.store.encryption import Cipher, key_id
from app.store.tables import session_history, sessions
from app.survey.commands import Answer, Begin, Draft, Save, Update
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.conftest import SURVEYS, NewStore
from tests.durability.exactly_once import check_fold, message_ids
from tests.forked import run_module
from tests.store.encrypted import NEW, OLD, OTHER, all_values, client_engine, keys_of

USERS = [SessionKey("phq9", f"user{number:02d}") for number in range(12)]
ANSWERS = 5

Open = Callable[..., SessionStore]


@pytest.fixture
def opened(settings: Settings, new_store: NewStore) -> Open:
    """Return a function that opens stores with these STEPKEEP_ANSWERS_KEYS on the test's database."""
    return lambda answers_keys="": new_store(settings, answers_keys=answers_keys)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """Yield direct access to the database."""
    client = client_engine(settings)
    yield client
    client.dispose()


def fill(store: SessionStore, keys: list[SessionKey] = USERS) -> None:
    """Create sessions with answers, drafts, data and notes."""
    data = {"clinic": "x"}
    commands = [
        Begin(at=1),
        Save(at=2, current_step="Q1", answers={}, step_history=(), is_audio_mode=False, session_data=data),
        *(Answer(at=3, message_id=f"m{number}", step=f"Q{number}", value=1) for number in range(1, ANSWERS)),
        Draft(at=4, step=f"Q{ANSWERS}", value="half"),
    ]
    for command in commands:
        assert all(
            isinstance(result, Committed) for result in store.turns.submit_many([(key, command) for key in keys])
        )


def check(store: SessionStore, keys: list[SessionKey] = USERS) -> None:
    """Check that every session equals its replay, with all answers."""
    for key in keys:
        check_fold(store, key)
        snapshot = store.queries.load(key)
        assert snapshot is not None
        assert len(snapshot.state.answers) >= ANSWERS - 1


def others(engine: Engine) -> list[tuple[object, ...]]:
    """Return the columns that a rotation must not change."""
    encrypted = {"answers", "drafts", "session_data", "answer", "data"}
    with engine.connect() as connection:
        return [
            tuple(row)
            for table in (sessions, session_history)
            for row in connection.execute(
                select(*(column for column in table.c if column.name not in encrypted)).order_by(*table.primary_key)
            )
        ]


def test_every_value_is_encrypted_with_the_first_key_and_nothing_else_changes(
    opened: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain rows and rows of either key; afterwards one key decrypts all."""
    monkeypatch.setattr(key_rotation, "BATCH_SIZE", 5)
    plain, old, new = USERS[:4], USERS[4:8], USERS[8:]
    fill(opened(), plain)
    fill(opened(keys_of(OLD)), old)
    store = opened(keys_of(NEW, OLD))
    fill(store, new)
    before, seen = others(engine), []
    done = rotate_keys(store, progress=lambda at, total: seen.append((at, total)))
    assert (done.sessions, done.locked, done.damaged, done.undecryptable) == (8, 0, 0, ())
    assert done.events == 8 * (3 + ANSWERS - 1)
    assert others(engine) == before
    assert key_id(OLD) not in all_values(engine)
    assert '"clinic"' not in all_values(engine)
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    check(opened(keys_of(NEW)))
    again = rotate_keys(store)
    assert again.is_complete
    assert not done.is_complete


def test_second_run_takes_no_lock(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Converted rows are skipped by the query."""
    store = opened(keys_of(NEW))
    fill(store)

    def write(_work: object) -> None:
        raise AssertionError("it wrote")

    monkeypatch.setattr(store, "run_transaction", write)
    assert rotate_keys(store) == RotationResult(sessions=0, events=0, locked=0, damaged=0, undecryptable=())


@pytest.mark.parametrize("way", ["to_plain", pytest.param("plain first", marks=pytest.mark.one_database)])
def test_values_are_unchanged_after_decryption_and_encryption(
    opened: Open, engine: Engine, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte the same JSON."""
    monkeypatch.setattr(key_rotation, "BATCH_SIZE", 7)
    fill(opened())
    before = all_values(engine)
    assert rotate_keys(opened(keys_of(NEW))).sessions == len(USERS)
    assert '"clinic"' not in all_values(engine)
    if way == "to_plain":
        done = rotate_keys(opened(keys_of(OLD, NEW)), to_plain=True)
    else:
        done = rotate_keys(opened(f"plain,{keys_of(NEW)}"))
    assert done.sessions == len(USERS)
    assert sorted(all_values(engine).split("\n")) == sorted(before.split("\n"))
    check(opened())


def test_answers_continue_beside_a_rotation(opened: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers and a rotation: nothing is lost, duplicated or left with the old key."""
    monkeypatch.setattr(key_rotation, "BATCH_SIZE", 3)
    fill(opened(keys_of(OLD)))
    servers, operator = [opened(keys_of(NEW, OLD)) for _ in range(2)], opened(keys_of(NEW, OLD))
    has_begun, is_over = threading.Event(), threading.Event()

    def answer(number: int) -> int:
        store, mine, count = servers[number % 2], USERS[number::4], 0
        while not (is_over.is_set() and count >= 20):
            count += 1
            for key in mine:
                command = Draft(at=5, step=f"Q{ANSWERS}", value=f"{number}-{count}", message_id=f"{count}")
                assert isinstance(store.turns.submit(key, command), Committed)
            has_begun.set()
        return count

    with ThreadPoolExecutor(4) as threads:
        live = [threads.submit(answer, number) for number in range(4)]
        try:
            assert has_begun.wait(30)
            done = rotate_keys(operator)
        finally:
            is_over.set()
        counts = [one.result(60) for one in live]
    assert done.locked == done.damaged == 0
    assert done.events >= len(USERS) * ANSWERS
    assert rotate_keys(operator).is_complete
    assert key_id(OLD) not in all_values(engine)
    store = opened(keys_of(NEW))
    check(store)
    for number, key in enumerate(USERS):
        drafted = {name for name in message_ids(store, key) if name.isdigit()}
        assert drafted == {str(count) for count in range(1, counts[number % 4] + 1)}


def is_locked(engine: Engine, table: Table) -> bool:
    """Return whether another transaction locks the table's first row."""
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA busy_timeout=0")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.execute(
                select(*table.primary_key).order_by(*table.primary_key).limit(1).with_for_update(nowait=True)
            )
    except OperationalError:
        return True
    return False


def test_rows_are_locked_while_they_are_converted(
    opened: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn in between would be overwritten."""
    fill(opened(keys_of(OLD)))
    store, held = opened(keys_of(NEW, OLD)), []
    real = key_rotation._convert

    def made(kind: Any, row: Any, target: Any) -> Any:
        held.append(is_locked(engine, kind.table))
        return real(kind, row, target)

    monkeypatch.setattr(key_rotation, "_convert", made)
    rotate_keys(store)
    assert len(held) > len(USERS)
    assert all(held)
    assert not is_locked(engine, sessions)


def test_participant_of_two_surveys_is_rotated_in_both(
    opened: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any batch size: batches are ordered by both parts of the key."""
    monkeypatch.setattr(key_rotation, "BATCH_SIZE", 1)
    old = opened(keys_of(OLD))
    keys = [SessionKey(survey, user) for survey in old.catalogue.surveys for user in ("a", "b")]
    assert len(keys) > 2
    old.turns.submit_many([(key, Begin(at=1)) for key in keys])
    assert rotate_keys(opened(keys_of(NEW, OLD))).sessions == len(keys)
    assert key_id(OLD) not in all_values(engine)


def test_batches_of_long_texts_are_small(opened: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch ends at BATCH_CHARACTERS, which limits memory and the time that turns wait."""
    monkeypatch.setattr(key_rotation, "BATCH_CHARACTERS", 512 * 1024)
    old = opened(keys_of(OLD))
    keys = [SessionKey("phq9", f"user{number:03}") for number in range(110)]
    text = Update(at=2, changes={"session_data": {"text": "x" * 60_000}})
    old.turns.submit_many([(key, command) for key in keys for command in (Begin(at=1), text)])
    store, seen = opened(keys_of(NEW, OLD)), []
    tracemalloc.start()
    done = rotate_keys(store, progress=lambda at, _total: seen.append(at))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (done.sessions, done.locked, done.damaged) == (len(keys), 0, 0)
    assert peak < 12 * key_rotation.BATCH_CHARACTERS < len(keys) * 60_000
    assert len(seen) > 2 * len(keys) * 60_000 // (2 * key_rotation.BATCH_CHARACTERS)
    assert key_id(OLD) not in all_values(engine)
    assert rotate_keys(store).is_complete


KILLED = """
import os, signal, sys
from app.operations.maintenance import key_rotation
from app.sessions.service import open_store
from app.settings import read_settings

def die(done, total):
    if done >= int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

key_rotation.BATCH_SIZE = 4
key_rotation.rotate_keys(open_store(read_settings()), progress=die)
"""


@pytest.mark.parametrize("at", [pytest.param(4, marks=pytest.mark.one_database), 40])
def test_rotation_can_be_killed_and_run_again(opened: Open, engine: Engine, settings: Settings, at: int) -> None:
    """Half of the rows have the new key; the second run converts only the rest."""
    fill(opened(keys_of(OLD)))
    environment = {
        "DATABASE_URL": settings.database_url,
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
        "STEPKEEP_ANSWERS_KEYS": keys_of(NEW, OLD),
    }
    killed = run_module(["-c", KILLED, str(at)], environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    values = all_values(engine)
    assert key_id(OLD) in values
    assert key_id(NEW) in values
    store = opened(keys_of(NEW, OLD))
    check(store)
    done = rotate_keys(store)
    assert 0 < done.events < len(USERS) * (3 + ANSWERS - 1) + 1
    assert done.sessions < len(USERS)
    assert rotate_keys(store).is_complete
    check(opened(keys_of(NEW)))


def test_undecryptable_rows_are_listed_and_unchanged(
    opened: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a missing key or a damaged value; all others are converted."""
    store = opened(keys_of(NEW, OLD))
    fill(opened(keys_of(OLD)))
    locked = Cipher([OTHER]).encrypt("{}", ("sessions.answers", "phq9", "user03"))
    broken = f"enc:1:{key_id(OLD)}:AAAA"
    with engine.begin() as connection:
        connection.execute(update(sessions).where(sessions.c.user_id == "user03").values(answers=locked, drafts=broken))
        of = (session_history.c.user_id == "user05", session_history.c.version == 4)
        connection.execute(update(session_history).where(*of).values(data=broken))
    done = rotate_keys(store)
    assert (done.locked, done.damaged) == (1, 1)
    assert done.undecryptable == (
        UndecryptableRow(survey_id="phq9", user_id="user03", version=None, missing_key=key_id(OTHER)),
        UndecryptableRow(survey_id="phq9", user_id="user05", version=4, missing_key=None),
    )
    with engine.connect() as connection:
        assert connection.execute(select(sessions.c.answers).where(sessions.c.answers == locked)).all()
        assert connection.execute(select(session_history.c.answer).where(*of)).scalar_one().startswith("enc:1:")
    check(store, [key for key in USERS if key.user_id not in {"user03", "user05"}])
    monkeypatch.setattr(key_rotation, "SAMPLE_SIZE", 1)
    again = rotate_keys(store)
    assert (again.locked, again.damaged, len(again.undecryptable), again.is_complete) == (1, 1, 1, False)


@pytest.mark.one_database
def test_set_aside_sessions_are_rotated(opened: Open, engine: Engine) -> None:
    """Their values are bound to the original participant."""
    store = opened(keys_of(NEW, OLD))
    fill(opened(keys_of(OLD)), USERS[:1])
    with engine.begin() as connection:
        connection.execute(update(sessions).values(step_history="{oops"))
    assert store.turns.get_or_create(USERS[0], is_audio_mode=False)[1] is False
    done = rotate_keys(store)
    assert (done.sessions, done.locked, done.damaged) == (1, 0, 0)
    assert key_id(OLD) not in all_values(engine)


def test_empty_values_are_unchanged(opened: Open, engine: Engine) -> None:
    """In old rows, an empty text means no data."""
    store = opened(keys_of(NEW))
    assert rotate_keys(store).is_complete
    fill(store, USERS[:1])
    with engine.begin() as connection:
        connection.execute(update(sessions).values(session_data=""))
    assert rotate_keys(store).is_complete
    assert rotate_keys(store, to_plain=True).sessions == 1
    with engine.connect() as connection:
        assert connection.execute(select(sessions.c.session_data)).scalar_one() == ""


def test_values_of_an_earlier_release_are_padded(opened: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpadded values of the first key, and NULL, tell what they are; the others stay as they are."""
    monkeypatch.setattr(key_rotation, "BATCH_SIZE", 5)
    with monkeypatch.context() as patch:
        patch.setattr(encryption, "SIZE_CLASSES", (0,))
        fill(opened(keys_of(NEW)), USERS[:6])
    store = opened(keys_of(NEW))
    fill(store, USERS[6:])
    with engine.begin() as connection:
        connection.execute(update(sessions).where(sessions.c.user_id == "user01").values(drafts=None))
        of = (session_history.c.user_id == "user02", session_history.c.version == 1)
        connection.execute(update(session_history).where(*of).values(answer=None, data=None))
    done = rotate_keys(store)
    assert (done.sessions, done.locked, done.damaged) == (6, 0, 0)
    assert done.events == 6 * (3 + ANSWERS - 1)
    sizes = {store.cipher.encrypted_length(size) for size in encryption.SIZE_CLASSES}
    with engine.connect() as connection:
        rows = [
            *connection.execute(select(sessions.c.answers, sessions.c.drafts, sessions.c.session_data)),
            *connection.execute(select(session_history.c.answer, session_history.c.data)),
        ]
    assert {len(value) for row in rows for value in row} <= sizes
    check(store, [key for key in USERS if key.user_id not in {"user01", "user02"}])
    assert rotate_keys(store).is_complete


@pytest.mark.one_database
def test_rotation_without_a_key_is_refused(opened: Open) -> None:
    """There is nothing to encrypt with."""
    with pytest.raises(ConfigurationError, match="STEPKEEP_ANSWERS_KEYS"):
        rotate_keys(opened())
