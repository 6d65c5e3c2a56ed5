"""Which failures are retried: each error class, with the drivers' own errors."""

import sqlite3

import psycopg
import pymysql
import pytest
from sqlalchemy.exc import DBAPIError

from app.errors import DatabaseRefused, DatabaseUnavailable
from app.settings import Settings, read_settings
from app.store.retry import is_transient, translate_error, with_retries


def postgresql_error(state: str) -> Exception:
    """Return psycopg's error for an SQLSTATE."""
    return psycopg.errors.lookup(state)("x")


TRANSIENT = [
    *(
        postgresql_error(state)
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
PERMANENT = [
    *(postgresql_error(state) for state in ("22001", "23502", "23503", "42601", "28000", "0A000", "53100")),
    *(pymysql.err.DataError(code, "x", sqlstate="22001") for code in (1366, 1406, 1153, 1292, 4025, 1064, 1021)),
    sqlite3.IntegrityError("NOT NULL constraint failed: sessions.answers"),
    sqlite3.OperationalError("database or disk is full"),
    sqlite3.OperationalError("disk I/O error"),
    sqlite3.DatabaseError("database disk image is malformed"),
]

REFUSED = [
    *(postgresql_error(state) for state in ("22001", "23502", "23503", "54000")),
    *(pymysql.err.DataError(code, "x", sqlstate="22001") for code in (1366, 1406, 1153, 1292, 4025)),
    sqlite3.IntegrityError("NOT NULL constraint failed: sessions.answers"),
    sqlite3.DataError("string or blob too big"),
]
UNAVAILABLE = [
    *(postgresql_error(state) for state in ("53100", "42P01", "28000", "57P01", "40001")),
    *(pymysql.err.OperationalError(code, "x", sqlstate="HY000") for code in (1021, 1064, 2006, 1205)),
    sqlite3.OperationalError("database or disk is full"),
    sqlite3.OperationalError("disk I/O error"),
    sqlite3.OperationalError("database is locked"),
    sqlite3.DatabaseError("database disk image is malformed"),
]

LOCKED = DBAPIError("", {}, sqlite3.OperationalError("database is locked"))


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_is_transient_when_a_retry_can_succeed(error: Exception) -> None:
    """Locks, deadlocks, lost connections, a starting server, another server's duplicate key."""
    assert is_transient(DBAPIError("", {}, error))


@pytest.mark.parametrize("error", PERMANENT, ids=repr)
def test_is_not_transient_when_a_retry_would_fail_again(error: Exception) -> None:
    """Constraints, data, syntax, a full disk, corruption."""
    assert not is_transient(DBAPIError("", {}, error))


@pytest.mark.parametrize("error", REFUSED, ids=repr)
def test_error_becomes_database_refused_when_caused_by_the_data(error: Exception) -> None:
    """Sending the answer again would fail again."""
    assert isinstance(translate_error(DBAPIError("", {}, error)), DatabaseRefused)


@pytest.mark.parametrize("error", UNAVAILABLE, ids=repr)
def test_error_becomes_database_unavailable_when_caused_by_the_database(error: Exception) -> None:
    """A full disk, a missing table, a wrong password: the sender keeps the answer until it is fixed."""
    assert isinstance(translate_error(DBAPIError("", {}, error)), DatabaseUnavailable)


def test_lost_connection_is_transient_without_an_error_code() -> None:
    """Psycopg has no SQLSTATE for a lost connection; SQLAlchemy marks it as invalidated."""
    assert is_transient(DBAPIError("", {}, psycopg.OperationalError("x"), connection_invalidated=True))
    assert not is_transient(ValueError("x"))


def test_failed_connection_attempt_is_transient() -> None:
    """As while a server starts; psycopg has no SQLSTATE for it, PyMySQL 2003."""
    assert is_transient(DBAPIError("", {}, psycopg.OperationalError("connection refused")))
    assert is_transient(DBAPIError("", {}, pymysql.err.OperationalError(2003, "Can't connect")))


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
def test_work_is_retried_with_the_configured_attempts_and_backoff(
    attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exponential backoff with jitter: the n-th wait is at most 2^n times the delay, and at most the limit."""
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    settings = Settings(retry_attempts=attempts, retry_delay_s=0.5, retry_delay_max_s=1.5)
    attempted: list[str] = []

    def fail(name: str) -> None:
        attempted.append(name)
        raise LOCKED

    with pytest.raises(DBAPIError) as last:
        with_retries(settings, fail, "x")
    assert last.value is LOCKED
    assert attempted == ["x"] * attempts
    assert len(waits) == attempts - 1
    assert all(wait <= min(0.5 * 2**number, 1.5) for number, wait in enumerate(waits))


def test_result_of_the_first_successful_attempt_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """No further attempt follows."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _s: None)
    outcomes = [LOCKED, 7, 8]

    def work() -> object:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert with_retries(Settings(), work) == 7
    assert outcomes == [8]


def test_permanent_failure_is_raised_without_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without a wait."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _s: pytest.fail("it waited"))
    attempted: list[int] = []

    def fail() -> None:
        attempted.append(1)
        raise DBAPIError("", {}, PERMANENT[0])

    with pytest.raises(DBAPIError):
        with_retries(Settings(), fail)
    assert attempted == [1]


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
