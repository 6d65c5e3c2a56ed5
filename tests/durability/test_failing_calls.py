"""Each call of the database's driver fails once, in turn: whatever was done by then, every command counts once.

SQLite's own way to find what nobody thinks of (sqlite.org/testing.html, "I/O error testing"): the first call of a walk
fails, then in a new walk the second, and so on until a walk meets no failure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from types import ModuleType
from typing import Any, Literal

import pymysql
import pytest
from psycopg import errors as psycopg_errors
from sqlalchemy import make_url

from app.errors import Unavailable
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import engine as engines
from app.store.drivers import sqlite
from app.survey.commands import Answer, AnyCommand, Draft, Restart
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.durability.exactly_once import NO_LIMIT, check_fold, message_ids

When = Literal["before", "after"]
MakeError = Callable[[Any], Exception]
"""Makes the error of a driver for its connection; for a lost connection, of one that is really closed."""

CALLS = frozenset({"execute", "executemany", "commit", "begin"})
"""What a gateway does with its driver that reaches the database."""

WALKS = [
    ("lost", "before", 1),
    ("lost", "after", 1),
    ("lost", "before", 4),
    ("full", "before", 1),
    ("full", "after", 1),
]
"""How a call fails, and how many in a row: 4 are more than the store's own retries."""

COMMANDS: tuple[AnyCommand, ...] = (
    Answer(at=2, message_id="a1", step="Q1", value=1),
    Answer(at=3, message_id="a2", step="Q2", value=2),
    Answer(at=4, message_id="a3", step="Q3", value=3),
    Answer(at=5, message_id="e1", step="Q1", value=0),
    Draft(at=6, step="Q4", value="half"),
    Restart(at=7, message_id="r1"),
)
ACTIONS = ["started", "answered", "answered", "answered", "answered", "drafted", "restarted"]


@dataclass
class Faults:
    """Which of the driver's calls fails next, and how.

    Attributes:
        left: calls that are made before.
        when: ``before`` the call is made, or ``after``: it was done, and is reported as failed.
        times: how many calls in a row fail.
    """

    left: int = -1_000
    when: When = "before"
    make_error: MakeError = field(default=lambda _: AssertionError("no fault was asked for"))
    times: int = 1
    happened: int = 0

    def is_due(self) -> bool:
        self.left -= 1
        return -self.times <= self.left < 0


class Faulty:
    """A driver's connection or cursor whose calls can fail."""

    def __init__(self, real: Any, connection: Any, faults: Faults) -> None:
        self._real = real
        self._connection = connection
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name == "cursor":
            return lambda: Faulty(found(), self._connection, self._faults)
        return self._counted(found) if name in CALLS else found

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **options: Any) -> Any:
            faults = self._faults
            if not faults.is_due():
                return call(*args, **options)
            if faults.when == "after":
                call(*args, **options)
            faults.happened += 1
            raise faults.make_error(self._connection)

        return made


def _sqlite_lost(connection: Any) -> Exception:
    connection.close()
    return _of_driver(sqlite.driver(), "ProgrammingError", "Cannot operate on a closed database.")


def _sqlite_full(_: Any) -> Exception:
    return _of_driver(sqlite.driver(), "OperationalError", "database or disk is full")


def _of_driver(driver: ModuleType, kind: str, *arguments: object) -> Exception:
    error = getattr(driver, kind)(*arguments)
    assert isinstance(error, Exception)
    return error


def _postgresql_lost(connection: Any) -> Exception:
    connection.pgconn.finish()
    return psycopg_errors.OperationalError("server closed the connection unexpectedly")


def _postgresql_full(_: Any) -> Exception:
    return psycopg_errors.DiskFull("could not extend file: No space left on device")


def _mysql_lost(connection: Any) -> Exception:
    connection._force_close()
    return _of_driver(pymysql, "OperationalError", 2013, "Lost connection to MySQL server during query")


def _mysql_full(_: Any) -> Exception:
    return _of_driver(pymysql, "OperationalError", 1021, "Disk full")


ERRORS: dict[tuple[str, str], MakeError] = {
    ("sqlite", "lost"): _sqlite_lost,
    ("sqlite", "full"): _sqlite_full,
    ("postgresql", "lost"): _postgresql_lost,
    ("postgresql", "full"): _postgresql_full,
    ("mysql", "lost"): _mysql_lost,
    ("mysql", "full"): _mysql_full,
}


@pytest.fixture
def faults() -> Faults:
    """None as yet."""
    return Faults()


@pytest.fixture
def faulty(settings: Settings, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionStore]:
    """A store whose every turn and load goes through a driver that can fail."""
    real = engines.turn_statements

    def turn_statements(url: Any) -> Callable[[Any], Any]:
        make = real(url)
        return lambda connection: make(Faulty(connection, connection, faults))

    monkeypatch.setattr(engines, "turn_statements", turn_statements)
    opened = open_store(settings.model_copy(update={"retry_delay_s": 0.0}))
    yield opened
    opened.close()


def until_acknowledged(act: Callable[[], Any]) -> Any:
    for _ in range(20):
        try:
            return act()
        except Unavailable:
            continue
    raise AssertionError("never acknowledged")


def walk(store: SessionStore, key: SessionKey) -> None:
    """Begin, and submit each command until it is acknowledged: with its version, whatever failed on the way."""
    until_acknowledged(lambda: store.turns.get_or_create(key, is_audio_mode=False))
    for version, command in enumerate(COMMANDS, start=2):
        result = until_acknowledged(lambda: store.turns.submit(key, command))  # noqa: B023 - called at once
        if command.message_id is not None:
            assert isinstance(result, Committed)
            assert result.version == version


def check(store: SessionStore, key: SessionKey) -> None:
    """Each command is in history once, in its order, and the fold is the row."""
    check_fold(store, key)
    assert [entry.record.action for entry in store.queries.history(key, limit=NO_LIMIT)] == ACTIONS
    assert message_ids(store, key) == {command.message_id: 1 for command in COMMANDS if command.message_id is not None}


@pytest.mark.parametrize(("fault", "when", "times"), WALKS)
def test_walk_counts_once_whichever_call_of_the_driver_fails(
    faulty: SessionStore, faults: Faults, fault: str, when: When, times: int
) -> None:
    """The n-th call fails for each n: not made at all, or done and reported as failed; a commit's outcome is unknown."""
    kind = make_url(faulty.settings.database_url).get_backend_name()
    faults.make_error, faults.when, faults.times = ERRORS[kind, fault], when, times
    for number in count():
        faults.left, faults.happened = number, 0
        key = SessionKey("phq9", f"call{number}")
        walk(faulty, key)
        faults.left = -times  # the calls of the check itself are no part of the walk
        check(faulty, key)
        if faults.happened == 0:
            assert number > 2 * len(COMMANDS)
            return
