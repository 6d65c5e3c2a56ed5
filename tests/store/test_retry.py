"""Which failures are tried again: the table, row by row, with the drivers' own errors."""

import sqlite3

import psycopg
import pymysql
import pytest
from sqlalchemy.exc import DBAPIError

from app.store.retry import may_pass


def of_postgresql(state: str) -> Exception:
    """Return psycopg's error of an SQLSTATE."""
    return psycopg.errors.lookup(state)("x")


RETRIED = [
    *(of_postgresql(state) for state in ("40001", "40P01", "55P03", "57P01", "57P03", "53300", "08006", "23505")),
    *(
        pymysql.err.OperationalError(code, "x", sqlstate="HY000")
        for code in (1213, 1205, 1020, 2006, 2013, 2002, 2003, 1062)
    ),
    sqlite3.OperationalError("database is locked"),
    sqlite3.OperationalError("database table is locked: sessions"),
    sqlite3.IntegrityError("UNIQUE constraint failed: session_history.user_id"),
]
NEVER = [
    *(of_postgresql(state) for state in ("22001", "23502", "23503", "42601", "28000", "0A000")),
    *(pymysql.err.DataError(code, "x", sqlstate="22001") for code in (1366, 1406, 1153, 1292, 4025, 1064)),
    sqlite3.IntegrityError("NOT NULL constraint failed: sessions.answers"),
    sqlite3.OperationalError("database or disk is full"),
    sqlite3.OperationalError("disk I/O error"),
    sqlite3.DatabaseError("database disk image is malformed"),
]


@pytest.mark.parametrize("error", RETRIED, ids=repr)
def test_failure_that_may_pass_is_tried_again(error: Exception) -> None:
    """Locked, deadlock, connection lost, starting up, a double key of another server's."""
    assert may_pass(DBAPIError("", {}, error))


@pytest.mark.parametrize("error", NEVER, ids=repr)
def test_failure_that_stays_is_not_tried_again(error: Exception) -> None:
    """Constraint, data, syntax, disk full, corrupt."""
    assert not may_pass(DBAPIError("", {}, error))


def test_lost_connection_without_a_code_is_tried_again() -> None:
    """Psycopg gives no SQLSTATE where the connection broke; SQLAlchemy knows that it did."""
    assert may_pass(DBAPIError("", {}, psycopg.OperationalError("x"), connection_invalidated=True))
    assert not may_pass(ValueError("x"))
