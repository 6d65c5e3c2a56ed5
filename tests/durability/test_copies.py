"""Copies of a SQLite database made during writes, and after its writer was killed: every copy is consistent.

The guarantees and their reasons (sqlite.org/walformat.html, sqlite.org/wal.html):

- A plain copy of the database file and then of its WAL, without the -shm: a checkpoint writes to the database only
  frames of the WAL, and the WAL is copied later, so it has them all. This breaks if the WAL is restarted between the
  two copies; its header then has another salt, and the copy is repeated. Copying the WAL first, or missing a restart,
  can give a torn database.
- A truncated WAL, or one that ends in garbage, is a write torn by a power loss. Each commit was synced, so only
  unacknowledged commits can be torn. SQLite ignores the frames after the last complete commit, so the copy has a
  prefix of the commits. This holds for a WAL without a checkpoint; checkpointed pages are synced before.
- SQLite's own copies (a backup of all pages in one step, VACUUM INTO) read in one transaction: they have everything
  committed before.

The writer and the reader of its files are separate processes: closing a file drops all POSIX locks that the process
has on it, SQLite's too.
"""

import contextlib
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from sqlalchemy import URL

from app.catalogue import read_catalogue
from app.sessions.queries import SessionQueries, now_us
from app.settings import Settings
from app.store.drivers import sqlite
from app.store.encryption import PLAIN
from app.survey.events import from_record
from app.survey.snapshot import SessionKey
from app.survey.state import fold
from tests.conftest import SURVEYS
from tests.databases import create_sqlite
from tests.durability.exactly_once import NO_LIMIT
from tests.forked import start_module
from tests.waiting import wait_for

COPIES = 40
SEED = 20_261_124
PIECE = 4096
"""Bytes that a plain copy reads at a time."""

PAUSES = 2
"""How often, on average, the copy of a file waits for the writer's next turn; more in a larger file would never end."""

WAL_HEADER = 32
OFTEN = 90
"""Pages in the WAL at which a writer checkpoints, so that it does so constantly."""

SELDOM = 1_000_000

Acknowledged = dict[str, int]
"""The newest acknowledged version of each participant."""

needs_wal = pytest.mark.skipif(
    sqlite.has_wal_reset_bug(sqlite.driver().sqlite_version_info), reason="this SQLite is used without a WAL"
)


class WriterProcess:
    """A process that answers the first question of several sessions repeatedly and reports each acknowledgement."""

    def __init__(self, file: Path, checkpoint_pages: int, acknowledged: Acknowledged) -> None:
        self._changed = threading.Condition()
        self._acknowledged = acknowledged
        self._count = 0
        self._pipe = file.with_name("acknowledged.pipe")
        os.mkfifo(self._pipe)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        command = ["tests.durability.writer", str(file), str(checkpoint_pages)]
        self._process = start_module(command, os.environ, self._pipe, file.with_name("errors.log"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End the process with SIGKILL, and read the rest of its output."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._pipe.unlink()

    def wait_for_more(self, turns: int) -> Acknowledged:
        """Wait for this many further turns; return the acknowledged versions."""
        with self._changed:
            target = self._count + turns
            assert self._changed.wait_for(lambda: self._count >= target, 60), "the writer does not write"
            return dict(self._acknowledged)

    def _listen(self) -> None:
        with self._pipe.open() as acknowledgements:  # until the process has ended
            for line in acknowledgements:
                user, version = line.split()
                with self._changed:
                    self._acknowledged[user] = int(version)
                    self._count += 1
                    self._changed.notify_all()


class Copy:
    """A copy of the database, opened by SQLite."""

    def __init__(self, file: Path) -> None:
        self._url = URL.create("sqlite", database=str(file))
        with contextlib.closing(sqlite.driver().connect(file)) as connection:
            self.integrity = [row[0] for row in connection.execute("PRAGMA integrity_check")]
            self.events: list[tuple[Any, ...]] = connection.execute(
                "SELECT id, user_id, version, message_id, answer FROM session_history ORDER BY id"
            ).fetchall()

    def check(self, acknowledged: Acknowledged) -> None:
        """Check integrity, each history (no gap, replays to its row), and that each acknowledged turn exists once."""
        assert self.integrity == ["ok"]
        self._check_histories()
        ids = {(user, message) for _, user, _, message, _ in self.events if message is not None}
        assert len(ids) == sum(message is not None for _, _, _, message, _ in self.events)
        for user, version in acknowledged.items():
            assert {(user, f"m{number}") for number in range(2, version + 1)} <= ids

    def _check_histories(self) -> None:
        settings = Settings(surveys_dir=SURVEYS)
        queries = SessionQueries(settings, read_catalogue(settings), self._url, PLAIN, now_us)
        try:
            for user in sorted({user for _, user, *_ in self.events}):
                key = SessionKey("phq9", user)
                snapshot = queries.load(key)
                entries = queries.history(key, limit=NO_LIMIT)
                assert snapshot is not None
                assert [entry.version for entry in entries] == list(range(1, snapshot.state.version + 1))
                assert fold(from_record(entry.record) for entry in entries) == snapshot.state
        finally:
            queries.engine.dispose()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database at the newest schema, without a WAL because no connection is open."""
    path = tmp_path / "sessions.db"
    create_sqlite(path)
    return path


def copy_by_hand(file: Path, target: Path, pause: Callable[[int], object]) -> bool:
    """Copy the file, then its WAL; return whether the copy is usable: the WAL was not restarted meanwhile.

    Args:
        pause: called after each piece, with the number of the file's pieces.
    """
    wal = wal_of(file)
    before = _header(wal)
    _copy_in_pieces(file, target, pause)
    _copy_in_pieces(wal, wal_of(target), pause)
    return before == _header(wal) and len(before) == WAL_HEADER


def wal_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _header(wal: Path) -> bytes:
    with wal.open("rb") as source:
        return source.read(WAL_HEADER)


def _copy_in_pieces(file: Path, target: Path, pause: Callable[[int], object] = lambda _: None) -> None:
    pieces = 1 + file.stat().st_size // PIECE
    with file.open("rb", buffering=0) as source, target.open("wb") as written:
        while piece := source.read(PIECE):
            written.write(piece)
            pause(pieces)


@needs_wal
def test_copy_of_file_and_wal_is_consistent_when_made_during_writes(file: Path, tmp_path: Path) -> None:
    """The writer checkpoints constantly; each of 40 copies opens and has every turn acknowledged before it."""
    rng = random.Random(SEED)
    taken: list[tuple[Path, Acknowledged]] = []
    with WriterProcess(file, OFTEN, {}) as writer:

        def pause(pieces: int) -> None:
            if rng.random() < PAUSES / pieces:
                writer.wait_for_more(1)

        def copy() -> bool:
            before = writer.wait_for_more(rng.randint(1, 5))
            target = tmp_path / f"copy{len(taken)}.db"
            if copy_by_hand(file, target, pause):
                taken.append((target, before))
            return len(taken) == COPIES

        wait_for(copy, lambda: f"only {len(taken)} copies were made without a restart of the WAL", every_s=0)
    for target, before in taken:
        Copy(target).check(before)


@needs_wal
def test_files_have_every_acknowledged_turn_when_the_writer_was_killed(file: Path, tmp_path: Path) -> None:
    """SIGKILL at random points, four times; the file and its WAL may then be copied in any order."""
    rng = random.Random(SEED)
    acknowledged: Acknowledged = {}
    for number in range(4):
        with WriterProcess(file, rng.choice((OFTEN, SELDOM)), acknowledged) as writer:
            writer.wait_for_more(rng.randint(10, 60))
        target = tmp_path / f"left{number}.db"
        _copy_in_pieces(wal_of(file), wal_of(target))
        _copy_in_pieces(file, target)
        Copy(target).check(acknowledged)


def _cut(wal: bytes, at: int, _: random.Random) -> bytes:
    return wal[:at]


def _zero(wal: bytes, at: int, _: random.Random) -> bytes:
    return wal[:at] + bytes(len(wal) - at)


def _randomize(wal: bytes, at: int, rng: random.Random) -> bytes:
    return wal[:at] + rng.randbytes(len(wal) - at)


@needs_wal
@pytest.mark.parametrize("tear", [_cut, _zero, _randomize], ids=["cut", "zeros", "random"])
def test_copy_has_a_prefix_of_the_commits_when_the_wal_is_torn_at_any_byte(
    tear: Callable[[bytes, int, random.Random], bytes], file: Path, tmp_path: Path
) -> None:
    """As after a power loss during a write: each commit is complete, and all commits before it are present."""
    rng = random.Random(SEED)
    with WriterProcess(file, SELDOM, {}) as writer:
        writer.wait_for_more(80)
    database, wal = file.read_bytes(), wal_of(file).read_bytes()
    complete = _write_copy(tmp_path / "complete.db", database, wal).events
    event_counts: list[int] = []
    for at in _offsets(rng, len(wal)):
        copy = _write_copy(tmp_path / f"torn{at}.db", database, tear(wal, at, rng))
        copy.check({})
        assert copy.events == complete[: len(copy.events)]
        event_counts.append(len(copy.events))
    assert event_counts == sorted(event_counts)
    assert event_counts[0] == 0
    assert event_counts[-1] == len(complete)


def _offsets(rng: random.Random, size: int) -> Sequence[int]:
    near_a_frame = [WAL_HEADER + rng.randrange(size // (24 + PIECE)) * (24 + PIECE) + n for n in (-1, 0, 1, 24)]
    return sorted({0, 1, WAL_HEADER, *near_a_frame, *(rng.randrange(size) for _ in range(16)), size})


def _write_copy(file: Path, database: bytes, wal: bytes) -> Copy:
    file.write_bytes(database)
    wal_of(file).write_bytes(wal)
    return Copy(file)


def _back_up(connection: Any, target: Path) -> None:
    with contextlib.closing(sqlite.driver().connect(target)) as copy:
        connection.backup(copy, pages=-1)  # in smaller steps, each concurrent write restarts it: it may never end


def _vacuum_into(connection: Any, target: Path) -> None:
    connection.execute("VACUUM INTO ?", (str(target),))


@pytest.fixture
def live(file: Path) -> Iterator[Any]:
    """A second connection to the writer's database."""
    connection = sqlite.driver().connect(file, isolation_level=None, timeout=30)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    yield connection
    connection.close()


@pytest.mark.parametrize("make_copy", [_back_up, _vacuum_into], ids=["backup", "vacuum into"])
def test_copy_by_sqlite_has_every_turn_acknowledged_before_when_made_during_writes(
    make_copy: Callable[[Any, Path], None], file: Path, live: Any, tmp_path: Path
) -> None:
    """A backup needs no pause: the writer continues, and no acknowledged turn is missing."""
    rng = random.Random(SEED)
    taken: list[tuple[Path, Acknowledged]] = []
    with WriterProcess(file, OFTEN, {}) as writer:
        for number in range(COPIES // 4):
            before = writer.wait_for_more(rng.randint(1, 20))
            make_copy(live, tmp_path / f"copy{number}.db")
            taken.append((tmp_path / f"copy{number}.db", before))
        writer.wait_for_more(1)  # the copies did not block it
    for target, before in taken:
        Copy(target).check(before)
