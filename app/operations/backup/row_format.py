"""The portable form of rows: the same text for the same row, whichever database it lies in. Pure.

A row is a JSON array in the order of its table's columns, a line each: numbers, texts and null. A time is text,
``2026-11-24 10:00:00.123456``, UTC. Sealed values stay sealed, as they lie. Rows stand in the order of their keys,
byte by byte, which is the same on every database; so the hash of a table's lines says whether two hold the same.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
from sqlalchemy import Column, DateTime, Integer, Table

from ...core.timestamps import from_datetime, to_database_text
from ...errors import BackupBroken
from ...store.tables import leases, metadata, session_history

Row = tuple[Any, ...]
"""A row's values in the order of its table's columns, in the portable form."""

Progress = Callable[[int, int], None]
"""Told how many rows are done, and of how many."""

TABLES: tuple[Table, ...] = tuple(table for table in metadata.sorted_tables if table is not leases)
"""What is kept, parents before their children. Leases are of running processes only."""

KEYS: dict[str, tuple[str, ...]] = {
    **{table.name: tuple(column.name for column in table.primary_key) for table in TABLES},
    # By session and version, not by number: so that it is folded beside its sessions, without keeping any.
    session_history.name: ("user_id", "survey_id", "version"),
}
"""By table, the columns of the order in which its rows stand."""

TIME_LENGTH = 26
CHUNK_ROWS = 1000
CHUNK_BYTES = 1024 * 1024
"""Rows that are handled together, at most: a row can have some MiB, and a chunk is in memory."""


def no_progress(_done: int, _total: int) -> None:
    """Tell nobody."""


def columns_of(table: Table) -> list[str]:
    """Return the names of a table's columns, in the order in which a row has their values."""
    return [column.name for column in table.c]


def is_time(column: Column[Any]) -> bool:
    """Return whether the column holds times."""
    return isinstance(column.type, DateTime)


def time_text(value: object) -> object:
    """Return a time of SQLite's in the portable form; what is no time stays as it is, as text can in SQLite."""
    if value is None or (isinstance(value, str) and len(value) == TIME_LENGTH and value[10] == " "):
        return value
    try:
        return to_database_text(from_datetime(value))
    except (ValueError, TypeError, AttributeError):
        return value


def line_of(row: Row) -> bytes:
    """Return a row as a line, with its end."""
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def row_of(line: bytes) -> Row:
    """Return the row in a line.

    Raises:
        ValueError: it is no JSON array.
    """
    row = orjson.loads(line)
    if type(row) is not list:
        raise ValueError("no array")
    return tuple(row)


class Check:
    """Looks at every row of a table: as many values as columns, each of its column's kind, none missing."""

    def __init__(self, table: Table) -> None:
        self._name = table.name
        self._columns = columns_of(table)
        self._kinds = tuple(_kinds(column) for column in table.c)

    def __call__(self, row: Row, number: int) -> None:
        """Return if the row is right.

        Raises:
            BackupBroken: naming the row by its number from 1, and the column; never the value.
        """
        if len(row) != len(self._kinds):
            raise BackupBroken(f"row {number} of {self._name} has {len(row)} values for {len(self._kinds)} columns")
        for place, value in enumerate(row):
            if type(value) not in self._kinds[place]:
                kind = "a value" if value is not None else "no value"
                raise BackupBroken(
                    f"row {number} of {self._name} has {kind} in {self._columns[place]} that can't be there "
                    f"({type(value).__name__})"
                )


def _kinds(column: Column[Any]) -> frozenset[type]:
    kind = int if isinstance(column.type, Integer) else str
    return frozenset({kind, type(None)} if column.nullable else {kind})


class Summed:
    """Passes a table's rows on as they are, checked, and knows afterwards how many they were and their hash.

    Attributes:
        rows: how many have passed.
        length: bytes of their lines.
    """

    def __init__(self, table: Table, tell: Callable[[], None] = lambda: None) -> None:
        self.rows = 0
        self.length = 0
        self._name = table.name
        self._check = Check(table)
        self._hash = hashlib.sha256()
        self._tell = tell

    @property
    def sha256(self) -> str:
        """The hash of all lines that have passed, in hex."""
        return self._hash.hexdigest()

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows, the next ones of the table."""
        for row, _ in self.lines(rows):
            yield row

    def lines(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bytes]]:
        """Yield the rows, the next ones of the table, with their lines.

        Raises:
            BackupBroken: one can't be a row of this table.
        """
        for row in rows:
            self.rows += 1
            self._check(row, self.rows)
            try:
                line = line_of(row)
            except (TypeError, ValueError) as error:  # a number beyond 64 bits, half a character
                raise BackupBroken(f"row {self.rows} of {self._name} has a value that JSON does not hold") from error
            self._hash.update(line)
            self.length += len(line)
            self._tell()
            yield row, line


class Counter:
    """Adds up the rows of several tables for one progress bar; tells every CHUNK_ROWS of them."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def one(self) -> None:
        """One row more is done."""
        self._done += 1
        if self._done % CHUNK_ROWS == 0:
            self._progress(min(self._done, self._total), self._total)

    def add(self, rows: int) -> None:
        """So many rows more were done before."""
        self._done += rows

    def end(self) -> None:
        """All is done."""
        self._progress(self._total, self._total)


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows in lists of CHUNK_ROWS, or of about CHUNK_BYTES where they are long."""
    chunk: list[Row] = []
    length = 0
    for row in rows:
        chunk.append(row)
        length += sum([len(value) for value in row if type(value) is str])
        if len(chunk) == CHUNK_ROWS or length >= CHUNK_BYTES:
            yield chunk
            chunk, length = [], 0
    if chunk:
        yield chunk
