"""Sessions are erased only after they are complete and synced in the archive."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.errors import InvalidInput
from app.operations.maintenance import sweep
from app.operations.maintenance.purge_archive import PurgeArchive
from app.operations.maintenance.retention import purge
from app.operations.maintenance.sweep import TransactionPacer
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.retention import BLANKED_ANSWERS, trim_history
from app.survey.commands import Answer, Begin, Expire, Restart, SetMode
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS, NewStore
from tests.forked import run_module
from tests.operations.maintenance.archives import ArchivedSession, read_archive
from tests.store.contents import dump
from tests.store.test_erasures import Connection, begin

DAY_US = 86_400 * 1_000_000
ANN = SessionKey("phq9", "ann")
BOB = SessionKey("phq9", "bob")


@pytest.fixture
def keeping(settings: Settings, new_store: NewStore) -> SessionStore:
    """Yield a store with STEPKEEP_RETENTION of thirty days."""
    return new_store(settings, retry_delay_s=0, retention="30d")


def old(store: SessionStore, days: float = 31) -> int:
    return store.clock() - int(days * DAY_US)


def long_session(store: SessionStore, key: SessionKey, events: int, at: int) -> None:
    """Start a session and switch its mode until it has that many events."""
    modes = [(key, SetMode(at=at, message_id=f"m{n}", is_audio_mode=n % 2 == 0)) for n in range(events - 1)]
    store.turns.submit_many([(key, Begin(at=at)), *modes])


@pytest.mark.parametrize("name", ["old.jsonl", pytest.param("old.jsonl.gz", marks=pytest.mark.one_database)])
def test_archive_has_every_row_of_erased_sessions(keeping: SessionStore, tmp_path: Path, name: str) -> None:
    """Decrypted, readable by the owner only, and without sessions that stay."""
    begin(keeping, ANN, at=old(keeping))
    long_session(keeping, BOB, 450, old(keeping))
    begin(keeping, SessionKey("phq9", "zoe"))
    events = keeping.queries.history(ANN)
    file = tmp_path / name
    with PurgeArchive(keeping, file) as archive:
        assert purge(keeping, archive=archive)["phq9"] == 2
    assert list(read_archive(file)) == [
        ArchivedSession(ANN, len(events), len(events), True),
        ArchivedSession(BOB, 450, 450, True),
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    if name.endswith("l"):
        lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
        mine = [line for line in lines if line["type"] == "event" and line["user_id"] == "ann"]
        assert [line["answer"] for line in mine] == [entry.record.answer for entry in events]
        assert next(line for line in lines if line["type"] == "session")["user_id"] == "ann"


@pytest.mark.one_database
def test_archive_is_created_with_the_first_session_and_never_overwritten(keeping: SessionStore, tmp_path: Path) -> None:
    """An existing file may be the only copy of erased sessions."""
    file = tmp_path / "old.jsonl"
    with PurgeArchive(keeping, file) as archive:
        purge(keeping, archive=archive)
    assert not file.exists()
    file.write_text("kept")
    with pytest.raises(InvalidInput, match="already exists"):
        PurgeArchive(keeping, file)
    with pytest.raises(InvalidInput, match="does not exist"):
        PurgeArchive(keeping, tmp_path / "nowhere" / "old.jsonl")


@pytest.mark.one_database
def test_nothing_is_erased_when_the_archive_can_not_be_written(
    keeping: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk ends the purge with an error."""
    begin(keeping, ANN, at=old(keeping))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with PurgeArchive(keeping, tmp_path / "old.jsonl") as archive, pytest.raises(InvalidInput, match="No space left"):
        purge(keeping, archive=archive)
    assert keeping.queries.load(ANN) is not None


def test_session_stays_when_it_changes_after_it_was_archived(
    keeping: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive does not record its erasure."""
    begin(keeping, ANN, at=old(keeping))
    begin(keeping, BOB, at=old(keeping))
    real = PurgeArchive.write

    def then_answered(archive: PurgeArchive, aged: Any) -> Any:
        kept = real(archive, aged)
        keeping.turns.submit(BOB, Restart(at=keeping.clock()))
        return kept

    monkeypatch.setattr(PurgeArchive, "write", then_answered)
    file = tmp_path / "old.jsonl"
    with PurgeArchive(keeping, file) as archive:
        assert purge(keeping, archive=archive)["phq9"] == 1
    assert keeping.queries.load(BOB) is not None
    assert {one.key: one.is_erased for one in read_archive(file)} == {ANN: True, BOB: False}


@pytest.mark.one_database
def test_expiry_does_not_count_as_a_change(keeping: SessionStore) -> None:
    """The age of an expired session is that of its last answer."""
    begin(keeping, ANN, at=old(keeping))
    begin(keeping, BOB, at=old(keeping, 15))
    keeping.turns.submit_many([(key, Expire(at=keeping.clock())) for key in (ANN, BOB)])
    assert purge(keeping)["phq9"] == 1
    assert keeping.queries.load(ANN) is None
    assert keeping.queries.load(BOB) is not None


@pytest.fixture
def _little_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MIN_EVENTS", 5)
    monkeypatch.setattr(sweep, "MAX_EVENTS", 10)


@pytest.mark.usefixtures("_little_at_once")
def test_session_with_many_events_is_erased_in_several_transactions(
    keeping: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each erases at most its limit of events; the session counts once and is complete in the archive."""
    long_session(keeping, ANN, 100, old(keeping))
    sizes: list[int] = []
    real = keeping._connection.run

    def counting(work: Any) -> Any:
        before = len(dump_history(keeping))
        result = real(work)
        sizes.append(before - len(dump_history(keeping)))
        return result

    monkeypatch.setattr(keeping._connection, "run", counting)
    with PurgeArchive(keeping, tmp_path / "old.jsonl") as archive:
        assert purge(keeping, archive=archive)["phq9"] == 1
    assert max(sizes) <= 20
    assert sum(sizes) == 100
    assert list(read_archive(tmp_path / "old.jsonl")) == [ArchivedSession(ANN, 100, 100, True)]
    assert [row["sessions"] for row in dump(keeping)["erasures"]] == [1]


def dump_history(store: SessionStore) -> list[Any]:
    return store.run_read(lambda connection: list(connection.exec_driver_sql("SELECT id FROM session_history")))


@pytest.mark.usefixtures("_little_at_once")
def test_participant_starts_again_when_the_session_is_being_erased(
    keeping: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new session has a complete history; the next purge erases the rest of the old one."""
    long_session(keeping, ANN, 60, old(keeping))
    told = Connection()
    keeping.subscribers.subscribe(ANN, told)
    run = TransactionPacer.run
    calls: list[Any] = []

    def run_and_begin_again(pacer: TransactionPacer, store: SessionStore, work: Any) -> Any:
        result = run(pacer, store, work)
        if getattr(work, "func", None) is trim_history and not calls:
            calls.append(work)
            assert not keeping.turns.get_or_create(ANN, is_audio_mode=False)[1]
            keeping.turns.submit(ANN, Answer(at=keeping.clock(), step="Q1", value=2))
        return result

    monkeypatch.setattr(TransactionPacer, "run", run_and_begin_again)
    purge(keeping)
    purge(keeping)
    snapshot = keeping.queries.load(ANN)
    assert snapshot is not None
    assert (snapshot.state.answers, snapshot.state.version) == ({"Q1": 2}, 2)
    assert [row["user_id"] for row in dump(keeping)["sessions"]] == ["ann"]
    assert {row["user_id"] for row in dump(keeping)["session_history"]} == {"ann"}
    assert told.times


def test_blanked_session_is_erased_and_not_archived_again_after_a_crash(keeping: SessionStore, tmp_path: Path) -> None:
    """It was archived before it was blanked."""
    begin(keeping, ANN, at=old(keeping))
    keeping.run_transaction(lambda c: c.exec_driver_sql(f"UPDATE sessions SET answers = '{BLANKED_ANSWERS}'"))  # noqa: S608 - no input
    with PurgeArchive(keeping, tmp_path / "old.jsonl") as archive:
        assert purge(keeping, archive=archive)["phq9"] == 1
    assert not (tmp_path / "old.jsonl").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from app.operations.maintenance import sweep
from app.operations.maintenance.purge_archive import PurgeArchive
from app.operations.maintenance.retention import purge
from app.sessions.service import open_store
from app.settings import Settings
sweep.MAX_SESSIONS = 5
calls = []

def die(done, total):
    calls.append(done)
    if len(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

store = open_store(Settings(database_url=sys.argv[1], surveys_dir=Path(sys.argv[2]), retention="30d"))
with PurgeArchive(store, Path(sys.argv[3])) as archive:
    purge(store, archive=archive, progress=die)
"""


@pytest.mark.parametrize("parts", [1, pytest.param(3, marks=pytest.mark.long)])
def test_purge_can_be_killed_and_run_again(
    keeping: SessionStore, database_url: str, tmp_path: Path, parts: int
) -> None:
    """Recent sessions stay; erased ones are complete in one of the archives."""
    aged = {SessionKey("phq9", f"old{number:03}") for number in range(60)}
    young = {SessionKey("phq9", f"young{number}") for number in range(5)}
    at = old(keeping)
    modes = [SetMode(at=at, message_id=f"m{n}", is_audio_mode=n % 2 == 0) for n in range(11)]
    keeping.turns.submit_many([(key, command) for key in sorted(aged) for command in (Begin(at=at), *modes)])
    keeping.turns.submit_many([(key, Begin(at=keeping.clock())) for key in young])
    first, second = tmp_path / "first.jsonl.gz", tmp_path / "second.jsonl.gz"
    killed = run_module(["-c", KILLED, database_url, str(SURVEYS), str(first), str(parts)], os.environ)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = {key for key in aged if keeping.queries.load(key) is not None}
    assert left
    archived = {one.key: one.events for one in read_archive(first)}
    assert aged - left <= archived.keys()
    with PurgeArchive(keeping, second) as archive:
        assert purge(keeping, archive=archive)["phq9"] == len(left)
    again = {one.key: one.events for one in read_archive(second)}
    assert set(again) == left
    assert {**archived, **again} == dict.fromkeys(aged, 12)
    rows = dump(keeping)
    assert {row["user_id"] for row in rows["sessions"]} == {key.user_id for key in young}
    assert {row["user_id"] for row in rows["session_history"]} == {key.user_id for key in young}


@pytest.mark.one_database
def test_truncated_archive_yields_its_complete_sessions(keeping: SessionStore, tmp_path: Path) -> None:
    """Wherever it was cut off."""
    begin(keeping, ANN, at=old(keeping))
    file = tmp_path / "old.jsonl"
    with PurgeArchive(keeping, file) as archive:
        purge(keeping, archive=archive)
    whole = file.read_bytes()
    end = whole.index(b'{"type":"end"')
    cut = tmp_path / "cut.jsonl"
    for length in (0, end - 1, end, end + 20, len(whole)):
        cut.write_bytes(whole[:length])
        assert [one.key for one in read_archive(cut)] == ([ANN] if length == len(whole) else [])
    cut.write_bytes(re.sub(rb'"action":"started"', b'"action":"begun!!"', whole))
    assert list(read_archive(cut)) == []
