"""Which failures are tried again: the table, row by row, with the drivers' own errors."""

import sqlite3

import psycopg
import pymysql
import pytest
from sqlalchemy.exc import DBAPIError

from app.errors import DatabaseRefused, DatabaseUnavailable
from app.settings import Settings, read_settings
from app.store.retry import is_transient, translate_error, with_retries


def of_postgresql(state: str) -> Exception:
    """Return psycopg's error of an SQLSTATE."""
    return psycopg.errors.lookup(state)("x")


RETRIED = [
    *(
        of_postgresql(state)
        for state in (
            "40001",
            "40P01",
            "55P03",
            "57P01",
            "57P02",
            "57P03",
            "40003",
            "25006",
            "53300",
            "08006",
            "08001",
            "23505",
        )
    ),
    *(
        pymysql.err.OperationalError(code, "x", sqlstate="HY000")
        for code in (1213, 1205, 1020, 2006, 2013, 2002, 2003, 1927, 4031, 1047, 1053, 1040, 1290, 1792, 1836, 1062)
    ),
    sqlite3.OperationalError("database is locked"),
    sqlite3.OperationalError("database table is locked: sessions"),
    sqlite3.IntegrityError("UNIQUE constraint failed: session_history.user_id"),
]
NEVER = [
    *(of_postgresql(state) for state in ("22001", "23502", "23503", "42601", "28000", "0A000", "53100")),
    *(pymysql.err.DataError(code, "x", sqlstate="22001") for code in (1366, 1406, 1153, 1292, 4025, 1064, 1021)),
    sqlite3.IntegrityError("NOT NULL constraint failed: sessions.answers"),
    sqlite3.OperationalError("database or disk is full"),
    sqlite3.OperationalError("disk I/O error"),
    sqlite3.DatabaseError("database disk image is malformed"),
]

OF_THE_DATA = [
    *(of_postgresql(state) for state in ("22001", "23502", "23503", "54000")),
    *(pymysql.err.DataError(code, "x", sqlstate="22001") for code in (1366, 1406, 1153, 1292, 4025)),
    sqlite3.IntegrityError("NOT NULL constraint failed: sessions.answers"),
    sqlite3.DataError("string or blob too big"),
]
OF_THE_DATABASE = [
    *(of_postgresql(state) for state in ("53100", "42P01", "28000", "57P01", "40001")),
    *(pymysql.err.OperationalError(code, "x", sqlstate="HY000") for code in (1021, 1064, 2006, 1205)),
    sqlite3.OperationalError("database or disk is full"),
    sqlite3.OperationalError("disk I/O error"),
    sqlite3.OperationalError("database is locked"),
    sqlite3.DatabaseError("database disk image is malformed"),
]

LOCKED = DBAPIError("", {}, sqlite3.OperationalError("database is locked"))


@pytest.mark.parametrize("error", RETRIED, ids=repr)
def test_failure_that_may_pass_is_tried_again(error: Exception) -> None:
    """Locked, deadlock, connection lost, starting up, a double key of another server's."""
    assert is_transient(DBAPIError("", {}, error))


@pytest.mark.parametrize("error", NEVER, ids=repr)
def test_failure_that_stays_is_not_tried_again(error: Exception) -> None:
    """Constraint, data, syntax, disk full, corrupt."""
    assert not is_transient(DBAPIError("", {}, error))


@pytest.mark.parametrize("error", OF_THE_DATA, ids=repr)
def test_answer_that_the_database_refuses_is_told_as_refused(error: Exception) -> None:
    """Sending it again can't help."""
    assert isinstance(translate_error(DBAPIError("", {}, error)), DatabaseRefused)


@pytest.mark.parametrize("error", OF_THE_DATABASE, ids=repr)
def test_answer_that_a_broken_database_can_not_take_is_told_as_unavailable(error: Exception) -> None:
    """A full disk, a lost table, a wrong password: the sender keeps his answer until it is mended."""
    assert isinstance(translate_error(DBAPIError("", {}, error)), DatabaseUnavailable)


def test_lost_connection_without_a_code_is_tried_again() -> None:
    """Psycopg gives no SQLSTATE where the connection broke; SQLAlchemy knows that it did."""
    assert is_transient(DBAPIError("", {}, psycopg.OperationalError("x"), connection_invalidated=True))
    assert not is_transient(ValueError("x"))


def test_connection_that_can_not_be_made_is_tried_again() -> None:
    """A server that starts up, or is not there for a moment: psycopg has no SQLSTATE for it, PyMySQL 2003."""
    assert is_transient(DBAPIError("", {}, psycopg.OperationalError("connection refused")))
    assert is_transient(DBAPIError("", {}, pymysql.err.OperationalError(2003, "Can't connect")))


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
def test_work_is_tried_as_often_as_the_settings_say_and_waits_as_they_say(
    attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 attempts, 0.5 s, doubling, with jitter: each wait is at most the delay doubled once more, and below the limit."""
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    settings = Settings(retry_attempts=attempts, retry_delay_s=0.5, retry_delay_max_s=1.5)
    tries: list[str] = []

    def fails(name: str) -> None:
        tries.append(name)
        raise LOCKED

    with pytest.raises(DBAPIError) as last:
        with_retries(settings, fails, "x")
    assert last.value is LOCKED
    assert tries == ["x"] * attempts
    assert len(waits) == attempts - 1
    assert all(wait <= min(0.5 * 2**number, 1.5) for number, wait in enumerate(waits))


def test_work_that_succeeds_in_the_end_is_done_once_more_and_no_oftener(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second attempt's value is returned; the failure before it is forgotten."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _s: None)
    outcomes = [LOCKED, 7, 8]

    def works() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert with_retries(Settings(), works) == 7
    assert outcomes == [8]


def test_failure_that_stays_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second try, no wait."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _s: pytest.fail("it waited"))
    tries: list[int] = []

    def refused() -> None:
        tries.append(1)
        raise DBAPIError("", {}, NEVER[0])

    with pytest.raises(DBAPIError):
        with_retries(Settings(), refused)
    assert tries == [1]


def test_retries_are_configured_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """STEPKEEP_RETRY_ATTEMPTS, STEPKEEP_RETRY_DELAY_S and STEPKEEP_RETRY_DELAY_MAX_S; without them 3, 0.5 and 30."""
    assert (Settings().retry_attempts, Settings().retry_delay_s, Settings().retry_delay_max_s) == (3, 0.5, 30)
    for name, value in (
        ("STEPKEEP_RETRY_ATTEMPTS", "7"),
        ("STEPKEEP_RETRY_DELAY_S", "0.1"),
        ("STEPKEEP_RETRY_DELAY_MAX_S", "2"),
    ):
        monkeypatch.setenv(name, value)
    read = read_settings()
    assert (read.retry_attempts, read.retry_delay_s, read.retry_delay_max_s) == (7, 0.1, 2)
