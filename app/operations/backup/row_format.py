"""The portable format: rows are lines with a JSON array, the same bytes in every database. Pure.

Times are UTC text such as ``2026-11-24 10:00:00.123456``. Rows are sorted bytewise by key, so equal hashes mean equal
tables.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Boolean, Column, Integer, Table

from ...core.progress import Progress
from ...core.timestamps import from_datetime, to_database_text
from ...errors import BackupBroken
from ...store import tables

Row = tuple[Any, ...]  # values in the order of the columns


class Digest(NamedTuple):
    """Number, size as lines, and SHA-256 (hex) of rows."""

    rows: int
    size_bytes: int
    sha256: str


TABLES: tuple[Table, ...] = tuple(table for table in tables.metadata.sorted_tables if table is not tables.leases)
"""Parents before children. Leases belong to running processes."""

TIME_LENGTH = 26
CHUNK_ROWS = 1000
CHUNK_BYTES = 1024 * 1024  # chunks are in memory, and a row can have several MiB


def column_names(table: Table) -> list[str]:
    return [column.name for column in table.c]


def key_columns(table: Table) -> list[Column[Any]]:
    if table is tables.session_history:  # not the id: so that it is replayed with its session in constant memory
        return [table.c.user_id, table.c.survey_id, table.c.version]
    return list(table.primary_key)


def kind_of(column: Column[Any]) -> type[bool | int | str]:
    if isinstance(column.type, Boolean):
        return bool
    return int if isinstance(column.type, Integer) else str


def portable_time(value: object) -> object:
    """Convert a SQLite time; other values, which SQLite allows, stay."""
    if value is None or (isinstance(value, str) and len(value) == TIME_LENGTH and value[10] == " "):
        return value
    try:
        return to_database_text(from_datetime(value))
    except (ValueError, TypeError, AttributeError):
        return value


class ChecksummedRows:
    """Validates, counts and hashes rows; messages of BackupBroken contain no values."""

    def __init__(self, table: Table, on_row: Callable[[], None] = lambda: None) -> None:
        self._name = table.name
        self._columns = [
            (column.name, {kind_of(column), type(None)} if column.nullable else {kind_of(column)}) for column in table.c
        ]
        self._hash = hashlib.sha256()
        self._rows = self._size_bytes = 0
        self._on_row = on_row

    @property
    def digest(self) -> Digest:
        return Digest(self._rows, self._size_bytes, self._hash.hexdigest())

    def pass_through(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row, _ in self.encode(rows):
            yield row

    def encode(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bytes]]:
        for row in rows:
            self._rows += 1
            self._validate(row)
            try:
                line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
            except (TypeError, ValueError) as error:  # a number beyond 64 bits, half of a surrogate pair
                raise BackupBroken(f"row {self._rows} of {self._name} has a value that JSON can't hold") from error
            self._hash.update(line)
            self._size_bytes += len(line)
            self._on_row()
            yield row, line

    def _validate(self, row: Row) -> None:
        place, columns = f"row {self._rows} of {self._name}", self._columns
        if len(row) != len(columns):
            raise BackupBroken(f"{place} has {len(row)} values for {len(columns)} columns")
        for value, (name, kinds) in zip(row, columns, strict=True):
            if type(value) not in kinds:
                raise BackupBroken(f"{place} has an invalid value in {name} ({type(value).__name__})")


class RowCounter:
    """Adds up rows for one progress bar."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def increment(self) -> None:
        self._done += 1
        if self._done % CHUNK_ROWS == 0:
            self._progress(min(self._done, self._total), self._total)

    def add(self, rows: int) -> None:
        self._done += rows

    def finish(self) -> None:
        self._progress(self._total, self._total)


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
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
