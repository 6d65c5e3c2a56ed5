"""Each call of the database driver fails in turn, and yet each command is applied exactly once.

As SQLite tests itself (sqlite.org/testing.html, "I/O error testing"): the first call of a walk fails, then in a new
walk the second, and so on until a walk meets no failure.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from types import ModuleType
from typing import Any, Literal

import pymysql
import pytest
from psycopg import errors as psycopg_errors
from sqlalchemy import make_url

from app.errors import Unavailable
from app.sessions import queries, service
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import engine as engines
from app.store.drivers import sqlite
from app.survey.commands import Answer, AnyCommand, Draft, Restart
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.conftest import NewStore
from tests.durability.exactly_once import NO_LIMIT, check_fold, message_ids

When = Literal["before", "after"]
MakeError = Callable[[Any], Exception]
"""Makes a driver's error; for a lost connection, closes the connection too."""

CALLS = frozenset({"execute", "executemany", "commit", "begin"})
"""The driver's methods through which a gateway reaches the database."""

WALKS = [
    ("lost", "before", 1),
    ("lost", "after", 1),
    ("lost", "before", 4),
    ("full", "before", 1),
    ("full", "after", 1),
]
"""How a call fails, and how many calls in a row: 4 are more than the store's retries."""

COMMANDS: tuple[AnyCommand, ...] = (
    Answer(at=2, message_id="a1", step="Q1", value=1),
    Answer(at=3, message_id="e1", step="Q1", value=0),
    Draft(at=4, step="Q2", value="half"),
    Restart(at=5, message_id="r1"),
)
"""One of each kind: the number of the driver's calls grows with the square of their number."""

ACTIONS = ["started", "answered", "answered", "drafted", "restarted"]


@dataclass
class Faults:
    """Which of the driver's calls fail next, and how.

    Attributes:
        left: successful calls before the first failure.
        when: ``before``: the call is not executed; ``after``: it is executed and reported as failed.
        times: how many calls in a row fail.
    """

    left: int = -1_000
    when: When = "before"
    make_error: MakeError = field(default=lambda _: AssertionError("no fault is configured"))
    times: int = 1
    happened: int = 0

    def is_due(self) -> bool:
        self.left -= 1
        return -self.times <= self.left < 0


class FaultyProxy:
    """A driver's connection or cursor whose calls can fail."""

    def __init__(self, real: Any, connection: Any, faults: Faults) -> None:
        self._real = real
        self._connection = connection
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._real, name)
        if name == "cursor":
            return lambda: FaultyProxy(attribute(), self._connection, self._faults)
        return self._with_faults(attribute) if name in CALLS else attribute

    def _with_faults(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def call_or_fail(*args: Any, **options: Any) -> Any:
            faults = self._faults
            if not faults.is_due():
                return call(*args, **options)
            if faults.when == "after":
                call(*args, **options)
            faults.happened += 1
            raise faults.make_error(self._connection)

        return call_or_fail


def _sqlite_lost(connection: Any) -> Exception:
    connection.close()
    return _driver_error(sqlite.driver(), "ProgrammingError", "Cannot operate on a closed database.")


def _sqlite_full(_: Any) -> Exception:
    return _driver_error(sqlite.driver(), "OperationalError", "database or disk is full")


def _driver_error(driver: ModuleType, kind: str, *arguments: object) -> Exception:
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
    return _driver_error(pymysql, "OperationalError", 2013, "Lost connection to MySQL server during query")


def _mysql_full(_: Any) -> Exception:
    return _driver_error(pymysql, "OperationalError", 1021, "Disk full")


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
    """No faults until the test configures them."""
    return Faults()


@pytest.fixture
def faulty_store(
    settings: Settings, faults: Faults, monkeypatch: pytest.MonkeyPatch, new_store: NewStore
) -> SessionStore:
    """A store whose driver can fail at each turn and load."""
    real = engines.turn_statements

    def turn_statements(url: Any) -> Callable[[Any], Any]:
        make = real(url)
        return lambda connection: make(FaultyProxy(connection, connection, faults))

    for module in (queries, service):
        monkeypatch.setattr(module, "turn_statements", turn_statements)
    return new_store(settings, retry_delay_s=0.0)


def until_acknowledged(act: Callable[[], Any]) -> Any:
    for _ in range(20):
        try:
            return act()
        except Unavailable:
            continue
    raise AssertionError("never acknowledged")


def walk(store: SessionStore, key: SessionKey) -> None:
    """Start a session and submit each command until it is acknowledged with its version."""
    until_acknowledged(lambda: store.turns.get_or_create(key, is_audio_mode=False))
    for version, command in enumerate(COMMANDS, start=2):
        result = until_acknowledged(lambda: store.turns.submit(key, command))  # noqa: B023 - called at once
        if command.message_id is not None:
            assert isinstance(result, Committed)
            assert result.version == version


def check(store: SessionStore, key: SessionKey) -> None:
    """Check that history has each command once, in order, and replays to the row."""
    check_fold(store, key)
    assert [entry.record.action for entry in store.queries.history(key, limit=NO_LIMIT)] == ACTIONS
    assert message_ids(store, key) == {command.message_id: 1 for command in COMMANDS if command.message_id is not None}


@pytest.mark.parametrize(("fault", "when", "times"), WALKS)
def test_each_command_is_applied_once_whichever_driver_call_fails(
    faulty_store: SessionStore, faults: Faults, fault: str, when: When, times: int
) -> None:
    """For each n, the n-th call fails, before or after its execution; a commit's outcome is then unknown."""
    kind = make_url(faulty_store.settings.database_url).get_backend_name()
    faults.make_error, faults.when, faults.times = ERRORS[kind, fault], when, times
    for number in count(step=1 if kind == "sqlite" else times):  # on a server, each call fails in one walk
        faults.left, faults.happened = number, 0
        key = SessionKey("phq9", f"call{number}")
        walk(faulty_store, key)
        faults.left = -times  # the calls of the check do not fail
        check(faulty_store, key)
        if faults.happened == 0:
            assert number > 2 * len(COMMANDS)
            return
