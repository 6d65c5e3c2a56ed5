"""Stepkeep in databases of a thousand to a million sessions: append, load, list.

A few real sessions are multiplied through the raw driver, under other user ids.
"""

import functools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from app.sessions.service import SessionStore
from app.store.drivers import sqlite
from app.store.sessions import Cursor
from app.survey.snapshot import SessionKey
from benchmarks import crowd
from benchmarks.crowd import Measured
from benchmarks.raw_growth import RawAppends
from benchmarks.raw_rows import insert
from benchmarks.stepkeep import OnStore, Work, accepted, answer
from benchmarks.workload import NOT_BEGUN, SURVEY_ID, after

PATTERNS = 5
"""Number of real sessions, with 0 to 4 answers, that are repeated in turn."""

PAGE = 100

Table = tuple[Sequence[str], dict[str, list[tuple[Any, ...]]]]
"""A table's columns, and its rows by user id."""


class Growth(OnStore):
    """One caller on random sessions: ``append``, ``groups``, ``load``, ``list``.

    On SQLite also ``raw groups``: the raw driver's appends to every other session, which Stepkeep can't continue then.
    """

    def __init__(self, url: str, sessions: int) -> None:
        self._url = url
        self._sessions = sessions
        super().__init__(url)
        starts = _walk_patterns(self.store)
        if url.startswith("sqlite"):
            _fill_sqlite(url.removeprefix("sqlite:///"), sessions)
        else:
            _fill_postgresql(url, sessions)
        self._starts = starts
        self._moved: dict[int, str] = {}
        self._random = random.Random(sessions)

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure one caller; ``groups`` are of ``callers`` turns."""
        if what in {"groups", "raw groups"}:
            group = self._group if what == "groups" else self._raw.group
            return crowd.in_groups(lambda: group(callers), seconds)
        operation = {"append": self._append, "load": self._load, "list": self._list}[what]
        return crowd.in_threads([operation], seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the database and its size."""
        return {**super().facts(), "sessions": str(self._sessions)}

    @functools.cached_property
    def _raw(self) -> RawAppends:
        user_ids = [_key(number).user_id for number in range(1, self._sessions, 2)]
        return RawAppends(self._url, user_ids, _pattern_key(PATTERNS - 1).user_id)

    def _work(self, number: int) -> Work:
        step = self._moved.get(number, self._starts[number % PATTERNS])
        self._moved[number] = after(step)
        return _key(number), answer(step)

    def _append(self) -> None:
        accepted(self.store.turns.submit(*self._work(self._random.randrange(0, self._sessions, 2))))

    def _group(self, size: int) -> int:
        numbers = self._random.sample(range(0, self._sessions, 2), size)
        for result in self.store.turns.submit_many([self._work(number) for number in numbers]):
            accepted(result)
        return size

    def _load(self) -> None:
        assert self.store.queries.load(_key(self._random.randrange(self._sessions))) is not None

    def _list(self) -> None:
        number = self._random.randrange(self._sessions - PAGE)
        page, _ = self.store.queries.list(after=_cursor(number), limit=PAGE)
        assert page[0].key == _key(number + 1)
        assert len(page) == PAGE


def _key(number: int) -> SessionKey:
    return SessionKey(SURVEY_ID, f"participant-{number:08d}")


def _cursor(number: int) -> Cursor:
    return Cursor(_key(number).user_id, SURVEY_ID)


def _pattern_key(number: int) -> SessionKey:
    return SessionKey(SURVEY_ID, f"a-pattern-{number}")  # sorts before all participants


def _walk_patterns(store: SessionStore) -> list[str]:
    """Create the real sessions; return the current step of each."""
    steps = []
    for number in range(PATTERNS):
        step = NOT_BEGUN
        for _ in range(number + 1):
            accepted(store.turns.submit(_pattern_key(number), answer(step)))
            step = after(step)
        steps.append(step)
    return steps


def _pattern_rows(execute: Any, table: str, skipped: frozenset[str]) -> Table:
    """Return the rows of the real sessions, without the columns that the database fills."""
    cursor = execute(f"SELECT * FROM {table} WHERE user_id LIKE 'a-pattern-%' ORDER BY version")  # noqa: S608 - our names
    names = [column[0] for column in cursor.description]
    columns = [name for name in names if name not in skipped]
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        rows.setdefault(row["user_id"], []).append(tuple(row[name] for name in columns))
    return columns, rows


def _multiplied(table: Table, sessions: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of this many sessions, in key order."""
    names, rows = table
    at = names.index("user_id")
    patterns = [[(row[:at], row[at + 1 :]) for row in rows[_pattern_key(number).user_id]] for number in range(PATTERNS)]
    for number in range(sessions):
        user_id = (_key(number).user_id,)
        for before, after_id in patterns[number % PATTERNS]:
            yield before + user_id + after_id


def _fill_sqlite(path: str, sessions: int) -> None:
    connection = sqlite.driver().connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")  # the filled rows need not be durable
    connection.execute("PRAGMA cache_size=-200000")
    connection.execute("BEGIN IMMEDIATE")
    for name in ("sessions", "session_history"):
        table = _pattern_rows(connection.execute, name, frozenset({"id"}))
        connection.executemany(insert(name, table[0], "?"), _multiplied(table, sessions))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _fill_postgresql(url: str, sessions: int) -> None:
    with psycopg.connect(url) as connection:
        for name in ("sessions", "session_history"):
            table = _pattern_rows(connection.execute, name, frozenset({"id"}))
            query = f"COPY {name} ({', '.join(table[0])}) FROM STDIN"
            with connection.cursor().copy(query) as copy:
                for row in _multiplied(table, sessions):
                    copy.write_row(row)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def enter(spec: Mapping[str, Any]) -> Growth:
    """Return the contestant on the database of the spec; ``sessions`` is its size."""
    return Growth(spec["url"], spec["sessions"])
