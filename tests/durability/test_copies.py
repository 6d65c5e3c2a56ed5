"""SQLite's file copied while turns are being written, and after its writer was killed: every copy is whole.

What holds, and why (sqlite.org/walformat.html, sqlite.org/wal.html):

- A plain copy, the file first and its WAL after it, without the -shm: a checkpoint changes the file only by what
  stands in the WAL, which was copied later and so has it all. That ends where the WAL is begun anew in between;
  its header tells that (another salt), and then the copy is made again. The WAL first and the file after it, or a
  WAL that was begun anew unnoticed, can give a file that is torn.
- A WAL without its end, or with rubbish for an end, is a write that was torn by a power loss: each commit was synced,
  so only what was not yet acknowledged can be torn. Frames after the last whole commit are left out: what is there
  is a beginning of the commits. This holds for a WAL of which nothing was checkpointed; what was, is synced before.
- SQLite's own copies (backup of all pages at once, VACUUM INTO) read in one transaction: all that was committed
  before.

The writer is a process of its own, and so is whoever reads its files by hand: closing a file gives up all POSIX
locks that the process has on it, SQLite's too.
"""

import contextlib
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest
from sqlalchemy import URL

from app.catalogue import read_catalogue
from app.sessions.queries import SessionQueries, now_us
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import history
from app.store.drivers import sqlite
from app.store.encryption import PLAIN
from app.survey.commands import Answer
from app.survey.snapshot import SessionKey
from app.survey.state import fold
from tests.conftest import ROOT, SURVEYS
from tests.databases import create_sqlite
from tests.durability.exactly_once import NO_LIMIT
from tests.waiting import wait_for

COPIES = 40
SEED = 20_261_124
PIECE = 4096
"""Bytes that a plain copy reads at once, as slow tools do."""

PAUSES = 0.03
"""Share of its pieces after which a copy waits until the writer has gone on."""

WAL_HEADER = 32
SESSIONS = 4
OFTEN = 90
"""Pages in the WAL at which a writer checkpoints that is to do it all the time."""

SELDOM = 1_000_000

Acknowledged = dict[str, int]
"""The newest version that each participant was told."""

needs_wal = pytest.mark.skipif(
    sqlite.has_wal_reset_bug(sqlite.driver().sqlite_version_info), reason="this SQLite is used without a WAL"
)


class WriterProcess:
    """A process that answers the first question of some sessions again and again, and tells each acknowledgement."""

    def __init__(self, file: Path, checkpoint_pages: int, acknowledged: Acknowledged) -> None:
        self._changed = threading.Condition()
        self._acknowledged = acknowledged
        self._count = 0
        command = [sys.executable, "-m", "tests.durability.test_copies", str(file), str(checkpoint_pages)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, and hear what it still said."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait_for_more(self, turns: int) -> Acknowledged:
        """Return what is acknowledged when so many further turns are."""
        with self._changed:
            wanted = self._count + turns
            assert self._changed.wait_for(lambda: self._count >= wanted, 60), "the writer does not write"
            return dict(self._acknowledged)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            user, version = line.split()
            with self._changed:
                self._acknowledged[user] = int(version)
                self._count += 1
                self._changed.notify_all()


def write(file: str, checkpoint_pages: int) -> None:
    """Write turns until killed: each session in a thread of its own, one line for each acknowledgement."""
    checkpoints = f"wal_autocheckpoint={checkpoint_pages}"
    sqlite._WRITER_PRAGMAS = (*sqlite._WRITER_PRAGMAS, checkpoints)  # type: ignore[assignment]  # one more; the last holds
    store = open_store(Settings(database_url=f"sqlite:///{file}", surveys_dir=SURVEYS))
    for number in range(SESSIONS):
        threading.Thread(target=_answer_on, args=(store, SessionKey("phq9", f"u{number}"))).start()


def _answer_on(store: SessionStore, key: SessionKey) -> None:
    snapshot, _ = store.turns.get_or_create(key, is_audio_mode=False)
    for version in count(snapshot.state.version + 1):
        answer = Answer(at=version, message_id=f"m{version}", step="Q1", value=version % 4)
        result = store.turns.submit_or_raise(key, answer)
        assert result.version == version
        sys.stdout.write(f"{key.user_id} {version}\n")
        sys.stdout.flush()


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
        """It is whole; each session is the fold of its history, without a gap; what was acknowledged is there once."""
        assert self.integrity == ["ok"]
        self._check_folds()
        ids = {(user, message) for _, user, _, message, _ in self.events if message is not None}
        assert len(ids) == sum(message is not None for _, _, _, message, _ in self.events)
        for user, version in acknowledged.items():
            assert {(user, f"m{number}") for number in range(2, version + 1)} <= ids

    def _check_folds(self) -> None:
        settings = Settings(surveys_dir=SURVEYS)
        queries = SessionQueries(settings, read_catalogue(settings), self._url, PLAIN, now_us)
        try:
            for user in sorted({user for _, user, *_ in self.events}):
                key = SessionKey("phq9", user)
                snapshot = queries.load(key)
                entries = queries.history(key, limit=NO_LIMIT)
                assert snapshot is not None
                assert [entry.version for entry in entries] == list(range(1, snapshot.state.version + 1))
                assert fold(history.parse_events(entries)) == snapshot.state
        finally:
            queries.engine.dispose()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database at the newest schema, whose WAL is gone because nobody has it open."""
    made = tmp_path / "sessions.db"
    create_sqlite(made)
    return made


def copy_by_hand(file: Path, to: Path, pause: Callable[[], object]) -> bool:
    """Copy the file, then its WAL; return whether that holds: the WAL was not begun anew meanwhile.

    Args:
        pause: called after each piece.
    """
    wal = wal_of(file)
    before = _header(wal)
    _copy_in_pieces(file, to, pause)
    _copy_in_pieces(wal, wal_of(to), pause)
    return before == _header(wal) and len(before) == WAL_HEADER


def wal_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _header(wal: Path) -> bytes:
    with wal.open("rb") as read:
        return read.read(WAL_HEADER)


def _copy_in_pieces(file: Path, to: Path, pause: Callable[[], object] = lambda: None) -> None:
    with file.open("rb", buffering=0) as read, to.open("wb") as written:
        while piece := read.read(PIECE):
            written.write(piece)
            pause()


@needs_wal
def test_file_and_wal_copied_by_hand_at_arbitrary_points_are_whole(file: Path, tmp_path: Path) -> None:
    """Forty copies beside a writer that checkpoints all the time: each opens and holds what was acknowledged before."""
    chance = random.Random(SEED)
    taken: list[tuple[Path, Acknowledged]] = []
    with WriterProcess(file, OFTEN, {}) as writer:

        def pause() -> None:
            if chance.random() < PAUSES:
                writer.wait_for_more(1)

        def copy() -> bool:
            before = writer.wait_for_more(chance.randint(1, 5))
            to = tmp_path / f"copy{len(taken)}.db"
            if copy_by_hand(file, to, pause):
                taken.append((to, before))
            return len(taken) == COPIES

        wait_for(copy, lambda: f"only {len(taken)} copies were made without a new WAL in between", every_s=0)
    for to, before in taken:
        Copy(to).check(before)


@needs_wal
def test_what_a_killed_writer_leaves_holds_every_acknowledged_turn(file: Path, tmp_path: Path) -> None:
    """SIGKILL at arbitrary points, again and again; the file and its WAL as they lie there, copied in any order."""
    chance = random.Random(SEED)
    acknowledged: Acknowledged = {}
    for number in range(4):
        with WriterProcess(file, chance.choice((OFTEN, SELDOM)), acknowledged) as writer:
            writer.wait_for_more(chance.randint(10, 60))
        to = tmp_path / f"left{number}.db"
        _copy_in_pieces(wal_of(file), wal_of(to))
        _copy_in_pieces(file, to)
        Copy(to).check(acknowledged)


def _cut(wal: bytes, at: int, _: random.Random) -> bytes:
    return wal[:at]


def _zeros(wal: bytes, at: int, _: random.Random) -> bytes:
    return wal[:at] + bytes(len(wal) - at)


def _rubbish(wal: bytes, at: int, chance: random.Random) -> bytes:
    return wal[:at] + chance.randbytes(len(wal) - at)


@needs_wal
@pytest.mark.parametrize("tear", [_cut, _zeros, _rubbish], ids=["cut", "zeros", "rubbish"])
def test_wal_torn_at_any_byte_holds_the_beginning_of_the_commits(
    tear: Callable[[bytes, int, random.Random], bytes], file: Path, tmp_path: Path
) -> None:
    """As after a power loss in the middle of a write: no commit is there without all before it, and none by half."""
    chance = random.Random(SEED)
    with WriterProcess(file, SELDOM, {}) as writer:
        writer.wait_for_more(80)
    database, wal = file.read_bytes(), wal_of(file).read_bytes()
    whole = _made(tmp_path / "whole.db", database, wal).events
    shown: list[int] = []
    for at in _places(chance, len(wal)):
        copy = _made(tmp_path / f"torn{at}.db", database, tear(wal, at, chance))
        copy.check({})
        assert copy.events == whole[: len(copy.events)]
        shown.append(len(copy.events))
    assert shown == sorted(shown)
    assert shown[0] == 0
    assert shown[-1] == len(whole)


def _places(chance: random.Random, size: int) -> Sequence[int]:
    near_a_frame = [WAL_HEADER + chance.randrange(size // (24 + PIECE)) * (24 + PIECE) + n for n in (-1, 0, 1, 24)]
    return sorted({0, 1, WAL_HEADER, *near_a_frame, *(chance.randrange(size) for _ in range(16)), size})


def _made(file: Path, database: bytes, wal: bytes) -> Copy:
    file.write_bytes(database)
    wal_of(file).write_bytes(wal)
    return Copy(file)


def _by_backup(connection: Any, to: Path) -> None:
    with contextlib.closing(sqlite.driver().connect(to)) as target:
        connection.backup(target, pages=-1)  # fewer begin anew at each write beside them, and may never end


def _by_vacuum(connection: Any, to: Path) -> None:
    connection.execute("VACUUM INTO ?", (str(to),))


@pytest.fixture
def live(file: Path) -> Iterator[Any]:
    """A connection of ours beside the writer's."""
    connection = sqlite.driver().connect(file, isolation_level=None, timeout=30)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    yield connection
    connection.close()


@pytest.mark.parametrize("copied", [_by_backup, _by_vacuum], ids=["backup", "vacuum into"])
def test_copy_by_sqlite_itself_beside_writes_holds_every_turn_acknowledged_before_it_began(
    copied: Callable[[Any, Path], None], file: Path, live: Any, tmp_path: Path
) -> None:
    """An operator's backup needs no pause: the writer goes on, and nothing that was acknowledged is missing."""
    chance = random.Random(SEED)
    taken: list[tuple[Path, Acknowledged]] = []
    with WriterProcess(file, OFTEN, {}) as writer:
        for number in range(COPIES // 4):
            before = writer.wait_for_more(chance.randint(1, 20))
            copied(live, tmp_path / f"copy{number}.db")
            taken.append((tmp_path / f"copy{number}.db", before))
        writer.wait_for_more(1)  # it was not stopped by them
    for to, before in taken:
        Copy(to).check(before)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]))
