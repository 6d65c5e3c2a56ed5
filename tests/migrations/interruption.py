"""Breaks a migration at any of its statements; as a program it dies there: ``-m tests.migrations.interruption``."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, event

from tests.migrations.sample import migrate

ASKS_ONLY = re.compile(r"\s*(SELECT|SHOW|DESCRIBE|PRAGMA|SET)\b", re.IGNORECASE)
KILLED = 9


class Interrupted(Exception):
    """The migration was broken on purpose."""


@contextlib.contextmanager
def interrupted_at(number: int, how: Callable[[], None]) -> Iterator[list[str]]:
    """Call ``how`` instead of the statement of this number, counted from 1; gives the statements so far.

    Counted are those that change something, and each COMMIT.
    """
    done: list[str] = []

    def count(statement: str) -> None:
        done.append(statement)
        if len(done) == number:
            how()

    def before_execute(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not ASKS_ONLY.match(statement):
            count(statement)

    def before_commit(_connection: Connection) -> None:
        count("COMMIT")

    event.listen(Engine, "before_cursor_execute", before_execute)
    event.listen(Engine, "commit", before_commit)
    try:
        yield done
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
