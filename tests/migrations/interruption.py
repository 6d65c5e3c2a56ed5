"""Interrupt a migration at any statement; as a program (``-m tests.migrations.interruption``), the process dies there."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, event

from tests.migrations.sample import migrate

READ_ONLY = re.compile(r"\s*(SELECT|SHOW|DESCRIBE|PRAGMA|SET)\b", re.IGNORECASE)
KILLED = 9


class Interrupted(Exception):
    """Raised to interrupt a migration."""


@contextlib.contextmanager
def interrupted_at(number: int, interrupt: Callable[[], None]) -> Iterator[list[str]]:
    """Call ``interrupt`` before the statement with this number; yield the list of statements, the last one included.

    Statements that write, and each COMMIT, are numbered from 1.
    """
    statements: list[str] = []

    def count(statement: str) -> None:
        statements.append(statement)
        if len(statements) == number:
            interrupt()

    def before_execute(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not READ_ONLY.match(statement):
            count(statement)

    def before_commit(_connection: Connection) -> None:
        count("COMMIT")

    event.listen(Engine, "before_cursor_execute", before_execute)
    event.listen(Engine, "commit", before_commit)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", before_execute)
        event.remove(Engine, "commit", before_commit)


def fail() -> None:
    raise Interrupted


def die() -> None:
    os._exit(KILLED)


if __name__ == "__main__":
    with interrupted_at(int(sys.argv[3]), die):
        migrate(sys.argv[1], sys.argv[2])
