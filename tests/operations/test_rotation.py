"""Keys: every stored value comes to the first one, beside live traffic and after any end of a run; nothing is lost."""

import subprocess
import sys
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
from app.operations.maintenance.key_rotation import Rotated, Unopened, rotate
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.encryption import Cipher, key_id
from app.store.tables import session_history, sessions
from app.survey.commands import Answer, Begin, Draft, Save
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.conftest import ROOT, SURVEYS
from tests.durability.exactly_once import check_fold, message_ids
from tests.store.encrypted import NEW, OLD, OTHER, all_values, client_engine, keys_of

USERS = [SessionKey("phq9", f"user{number:02d}") for number in range(12)]
ANSWERS = 5

Open = Callable[..., SessionStore]


@pytest.fixture
def opened(settings: Settings) -> Iterator[Open]:
    """Opens stores with these STEPKEEP_ANSWERS_KEYS on the test's own database."""
    stores: list[SessionStore] = []

    def with_keys(answers_keys: str = "") -> SessionStore:
        given = Settings(database_url=settings.database_url, surveys_dir=SURVEYS, answers_keys=answers_keys)
        stores.append(open_store(given))
        return stores[-1]

    yield with_keys
    for one in stores:
        one.close()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The way in of somebody with a database client."""
    made = client_engine(settings)
    yield made
    made.dispose()


def fill(store: SessionStore, keys: list[SessionKey] = USERS) -> None:
    """Leave sessions with answers, drafts, data, and notes of whole states."""
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
    """Every session is its fold, with all its answers."""
    for key in keys:
        check_fold(store, key)
        snapshot = store.queries.load(key)
        assert snapshot is not None
        assert len(snapshot.state.answers) >= ANSWERS - 1


def others(engine: Engine) -> list[tuple[object, ...]]:
    """Return the columns that are no answers, which a rotation may not touch."""
    sealed = {"answers", "drafts", "session_data", "answer", "data"}
    with engine.connect() as connection:
        return [
            tuple(row)
            for table in (sessions, session_history)
            for row in connection.execute(
                select(*(column for column in table.c if column.name not in sealed)).order_by(*table.primary_key)
            )
        ]


def test_every_value_is_sealed_with_the_first_key_and_nothing_else_changes(opened: Open, engine: Engine) -> None:
    """Plain rows, rows of an old key and rows of the new one: after it one key opens all; versions and times stay."""
    plain, old, new = USERS[:4], USERS[4:8], USERS[8:]
    fill(opened(), plain)
    fill(opened(keys_of(OLD)), old)
    store = opened(keys_of(NEW, OLD))
    fill(store, new)
    before, seen = others(engine), []
    done = rotate(store, batch=5, progress=lambda at, total: seen.append((at, total)))
    assert (done.sessions, done.locked, done.broken, done.unopened) == (8, 0, 0, ())
    assert done.entries == 8 * (3 + ANSWERS - 1)
    assert others(engine) == before
    assert key_id(OLD) not in all_values(engine)
    assert '"clinic"' not in all_values(engine)
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    check(opened(keys_of(NEW)))
    again = rotate(store, batch=5)
    assert again.is_complete
    assert not done.is_complete


def test_what_is_done_is_passed_over_without_a_lock(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run takes no turn of the writer's."""
    store = opened(keys_of(NEW))
    fill(store)

    def write(_work: object) -> None:
        raise AssertionError("it wrote")

    monkeypatch.setattr(store, "run_transaction", write)
    assert rotate(store) == Rotated(sessions=0, entries=0, locked=0, broken=0, unopened=())


@pytest.mark.parametrize("way", ["to_plain", "plain first"])
def test_way_back_leaves_the_texts_that_were_there_before(opened: Open, engine: Engine, way: str) -> None:
    """To plain and to sealed again: byte by byte the same JSON."""
    fill(opened())
    before = all_values(engine)
    assert rotate(opened(keys_of(NEW)), batch=7).sessions == len(USERS)
    assert '"clinic"' not in all_values(engine)
    if way == "to_plain":
        done = rotate(opened(keys_of(OLD, NEW)), to_plain=True)
    else:
        done = rotate(opened(f"plain,{keys_of(NEW)}"))
    assert done.sessions == len(USERS)
    assert sorted(all_values(engine).split("\n")) == sorted(before.split("\n"))
    check(opened())


def test_answers_go_on_beside_a_rotation(opened: Open, engine: Engine) -> None:
    """Two servers and a rotation in a third store: nothing is lost, doubled or left under the old key."""
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
            done = rotate(operator, batch=3)
        finally:
            is_over.set()
        counts = [one.result(60) for one in live]
    assert done.locked == done.broken == 0
    assert done.entries >= len(USERS) * ANSWERS
    assert rotate(operator).is_complete
    assert key_id(OLD) not in all_values(engine)
    store = opened(keys_of(NEW))
    check(store)
    for number, key in enumerate(USERS):
        drafted = {name for name in message_ids(store, key) if name.isdigit()}
        assert drafted == {str(count) for count in range(1, counts[number % 4] + 1)}


def is_held(engine: Engine, table: Table) -> bool:
    """Return whether somebody else holds the table's first row against those who write."""
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


def test_rows_are_held_while_they_are_sealed_anew(
    opened: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn in between would be overwritten by what was read before it."""
    fill(opened(keys_of(OLD)))
    store, held = opened(keys_of(NEW, OLD)), []
    real = key_rotation._made

    def made(kind: Any, row: Any, target: Any) -> Any:
        held.append(is_held(engine, kind.table))
        return real(kind, row, target)

    monkeypatch.setattr(key_rotation, "_made", made)
    rotate(store)
    assert len(held) > len(USERS)
    assert all(held)
    assert not is_held(engine, sessions)


def test_participant_of_two_surveys_is_rotated_in_both(opened: Open, engine: Engine) -> None:
    """Whatever the size of the batches: the order goes by both parts of the key."""
    old = opened(keys_of(OLD))
    keys = [SessionKey(survey, user) for survey in old.catalogue.surveys for user in ("a", "b")]
    assert len(keys) > 2
    old.turns.submit_many([(key, Begin(at=1)) for key in keys])
    assert rotate(opened(keys_of(NEW, OLD)), batch=1).sessions == len(keys)
    assert key_id(OLD) not in all_values(engine)


def test_batch_of_long_texts_is_a_small_one(opened: Open, engine: Engine) -> None:
    """It ends at 1 MiB, be it with few rows: neither memory nor the wait of turns grows with the drafts."""
    old = opened(keys_of(OLD))
    keys = [SessionKey("phq9", f"user{number:03}") for number in range(300)]
    old.turns.submit_many([(key, Begin(at=1)) for key in keys])
    for start in range(0, len(keys), 50):
        part = keys[start : start + 50]
        old.turns.submit_many([(key, Draft(at=2, step="Q1", value="x" * 60_000)) for key in part])
    store, seen = opened(keys_of(NEW, OLD)), []
    tracemalloc.start()
    done = rotate(store, progress=lambda at, _total: seen.append(at))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (done.sessions, done.locked, done.broken) == (len(keys), 0, 0)
    assert peak < 12 * key_rotation.BATCH_LENGTH < len(keys) * 60_000
    assert len(seen) > 2 * len(keys) * 60_000 // (2 * key_rotation.BATCH_LENGTH)
    assert key_id(OLD) not in all_values(engine)
    assert rotate(store).is_complete


KILLED = """
import sys
from app.operations.maintenance.key_rotation import rotate
from app.sessions.service import open_store
from app.settings import read_settings

def tell(done, total):
    print(done, flush=True)
    if done >= int(sys.argv[1]):
        sys.stdin.read()

rotate(open_store(read_settings()), batch=4, progress=tell)
"""


@pytest.mark.parametrize("at", [4, 40])
def test_run_that_was_killed_is_run_again(opened: Open, engine: Engine, settings: Settings, at: int) -> None:
    """Half of the rows have the new key, half the old one, all can be read; the second run does the rest only."""
    fill(opened(keys_of(OLD)))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(at)],
        cwd=ROOT,
        env={
            "PATH": "",
            "DATABASE_URL": settings.database_url,
            "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
            "STEPKEEP_ANSWERS_KEYS": keys_of(NEW, OLD),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any(int(line) >= at for line in iter(process.stdout.readline, ""))
    process.kill()
    process.communicate(timeout=30)
    values = all_values(engine)
    assert key_id(OLD) in values
    assert key_id(NEW) in values
    store = opened(keys_of(NEW, OLD))
    check(store)
    done = rotate(store)
    assert 0 < done.entries < len(USERS) * (3 + ANSWERS - 1) + 1
    assert done.sessions < len(USERS)
    assert rotate(store).is_complete
    check(opened(keys_of(NEW)))


def test_what_can_not_be_opened_is_named_and_stays(
    opened: Open, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing key and a broken value: the rest is done, these keep their bytes, and each is named."""
    store = opened(keys_of(NEW, OLD))
    fill(opened(keys_of(OLD)))
    locked = Cipher([OTHER]).encrypt("{}", ("sessions.answers", "phq9", "user03"))
    broken = f"enc:1:{key_id(OLD)}:AAAA"
    with engine.begin() as connection:
        connection.execute(update(sessions).where(sessions.c.user_id == "user03").values(answers=locked, drafts=broken))
        of = (session_history.c.user_id == "user05", session_history.c.version == 4)
        connection.execute(update(session_history).where(*of).values(data=broken))
    done = rotate(store)
    assert (done.locked, done.broken) == (1, 1)
    assert done.unopened == (
        Unopened(survey_id="phq9", user_id="user03", version=None, missing_key=key_id(OTHER)),
        Unopened(survey_id="phq9", user_id="user05", version=4, missing_key=None),
    )
    with engine.connect() as connection:
        assert connection.execute(select(sessions.c.answers).where(sessions.c.answers == locked)).all()
        assert connection.execute(select(session_history.c.answer).where(*of)).scalar_one().startswith("enc:1:")
    check(store, [key for key in USERS if key.user_id not in {"user03", "user05"}])
    monkeypatch.setattr(key_rotation, "NAMED", 1)
    again = rotate(store)
    assert (again.locked, again.broken, len(again.unopened), again.is_complete) == (1, 1, 1, False)


def test_sessions_that_were_set_aside_are_rotated_too(opened: Open, engine: Engine) -> None:
    """Their values are bound to the participant they were of: the old key is needed for them no more."""
    store = opened(keys_of(NEW, OLD))
    fill(opened(keys_of(OLD)), USERS[:1])
    with engine.begin() as connection:
        connection.execute(update(sessions).values(step_history="{oops"))
    assert store.turns.get_or_create(USERS[0], is_audio_mode=False)[1] is False
    done = rotate(store)
    assert (done.sessions, done.locked, done.broken) == (1, 0, 0)
    assert key_id(OLD) not in all_values(engine)


def test_old_rows_without_data_and_empty_databases_are_left_alone(opened: Open, engine: Engine) -> None:
    """An empty text is no JSON, and means that there is nothing."""
    store = opened(keys_of(NEW))
    assert rotate(store).is_complete
    fill(store, USERS[:1])
    with engine.begin() as connection:
        connection.execute(update(sessions).values(session_data=""))
    assert rotate(store).is_complete
    assert rotate(store, to_plain=True).sessions == 1
    with engine.connect() as connection:
        assert connection.execute(select(sessions.c.session_data)).scalar_one() == ""


def test_rotation_without_a_key_is_refused(opened: Open) -> None:
    """There is nothing to seal with."""
    with pytest.raises(ConfigurationError, match="STEPKEEP_ANSWERS_KEYS"):
        rotate(opened())
