"""The file of a backup: a zip with ``<table>.jsonl`` members and ``manifest.json``.

Every zip program supports deflate. The zip's comment ends with the SHA-256 of all bytes before it, headers too.
"""

import hashlib
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Table

from ...errors import BackupBroken
from .row_format import CHUNK_ROWS, TABLES, ChecksummedRows, Row, column_names, decode_row

FORMAT = "stepkeep-backup"
FORMAT_VERSION = 1

MANIFEST = "manifest.json"
COMPRESS_LEVEL = 3
"""A tenth larger than level 6, in half the time."""

BLOCK_BYTES = 1024 * 1024
MAX_LINE_BYTES = 256 * 1024 * 1024
"""About ten times the longest accepted row, encrypted."""

MAX_MANIFEST_BYTES = 1024 * 1024
MAX_DIRECTORY_BYTES = 1024 * 1024

_PREFIX = f"{FORMAT} {FORMAT_VERSION} sha256:".encode()
_HEX = re.compile(rb"[0-9a-f]{64}")
_COMMENT_BYTES = len(_PREFIX) + 64
_END = struct.Struct("<4s4H2LH")  # end of central directory record (APPNOTE.TXT, 4.3.16)


class TableEntry(BaseModel):
    """A table in the manifest; ``bytes`` and ``sha256`` (hex) are of the uncompressed member."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    columns: list[str]
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """The description of a backup.

    Attributes:
        schema_revision: Alembic revision of the database.
        created_at: time of the snapshot, RFC 3339 in UTC.
        database: ``kind`` and ``version``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["stepkeep-backup"] = "stepkeep-backup"
    format_version: Literal[1] = 1
    schema_revision: str
    created_at: str
    database: dict[str, str]
    tables: list[TableEntry]


class ArchiveWriter:
    """Writes a backup into a file open for reading and writing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESS_LEVEL)
        self._entries: list[TableEntry] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()  # before the caller closes the file

    def write_table(self, table: Table, rows: Iterable[Row], on_row: Callable[[], None]) -> TableEntry:
        """Write a table; ``rows`` are in key order."""
        stream = ChecksummedRows(table, on_row)
        with self._zip.open(_member(table.name), "w", force_zip64=True) as member:
            block: list[bytes] = []
            length = 0
            for _, line in stream.encode(rows):
                block.append(line)
                length += len(line)
                if len(block) == CHUNK_ROWS or length >= BLOCK_BYTES:
                    member.write(b"".join(block))
                    block, length = [], 0
            member.write(b"".join(block))
        entry = TableEntry(
            name=table.name,
            columns=column_names(table),
            rows=stream.rows,
            bytes=stream.size_bytes,
            sha256=stream.sha256,
        )
        self._entries.append(entry)
        return entry

    def close(self, schema_revision: str, created_at: str, database: dict[str, str]) -> Manifest:
        manifest = Manifest(
            schema_revision=schema_revision,
            created_at=created_at,
            database=database,
            tables=self._entries,
        )
        self._zip.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        self._zip.comment = _PREFIX + b"0" * 64
        self._zip.close()
        self._file.flush()
        size = self._file.seek(0, 2)
        digest = _digest(self._file, size - 64)
        self._file.seek(size - 64)
        self._file.write(digest)
        return manifest


class Archive:
    """An open backup with the right hash.

    Raises:
        BackupBroken: no backup, changed, or of an unknown format.
        OSError: the file can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        try:
            _require_intact(self._file)
            self._zip = zipfile.ZipFile(self._file)
            self.manifest = self._read_manifest()
        except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error) as error:
            self._file.close()
            raise BackupBroken("it is not a readable zip file") from error
        except BaseException:
            self._file.close()
            raise
        self._entries = {entry.name: entry for entry in self.manifest.tables}

    @property
    def total_rows(self) -> int:
        return sum(entry.rows for entry in self.manifest.tables)

    def close(self) -> None:
        self._zip.close()
        self._file.close()

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield a table's rows.

        Raises:
            BackupBroken: a line is no row; or, at the end, the hash differs.
        """
        entry = self._entries[table.name]
        stream = ChecksummedRows(table)
        yield from stream.pass_through(self._decode(entry))
        if (stream.rows, stream.sha256) != (entry.rows, entry.sha256):
            raise BackupBroken(f"{_member(entry.name)} differs from the manifest")

    def _decode(self, entry: TableEntry) -> Iterator[Row]:
        for number, line in enumerate(self._lines(entry), start=1):
            try:
                yield decode_row(line)
            except ValueError as error:
                raise BackupBroken(f"line {number} of {_member(entry.name)} is not a JSON array") from error

    def _lines(self, entry: TableEntry) -> Iterator[bytes]:
        rest = b""
        for block in self._blocks(entry):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
            if len(rest) > MAX_LINE_BYTES:
                raise BackupBroken(f"{_member(entry.name)} has a line of more than {MAX_LINE_BYTES} bytes")
        if rest:
            raise BackupBroken(f"{_member(entry.name)} ends in the middle of a line")

    def _blocks(self, entry: TableEntry) -> Iterator[bytes]:
        left = entry.bytes
        try:
            with self._zip.open(_member(entry.name)) as member:
                while block := member.read(BLOCK_BYTES):
                    left -= len(block)
                    if left < 0:
                        break
                    yield block
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise BackupBroken(f"{_member(entry.name)} can't be read") from error
        if left:
            raise BackupBroken(f"the length of {_member(entry.name)} differs from the manifest")

    def _read_manifest(self) -> Manifest:
        sizes = {info.filename: info.file_size for info in self._zip.infolist()}
        if not 0 < sizes.get(MANIFEST, 0) <= MAX_MANIFEST_BYTES:
            raise BackupBroken(f"{MANIFEST} is missing or too large")
        with self._zip.open(MANIFEST) as member:
            text = member.read(MAX_MANIFEST_BYTES + 1)
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            places = ", ".join(sorted({".".join(map(str, fault["loc"])) for fault in error.errors()}))
            raise BackupBroken(f"{MANIFEST} has an unknown format ({places})") from error
        if sorted(sizes) != sorted([MANIFEST, *(_member(entry.name) for entry in manifest.tables)]):
            raise BackupBroken("its members are not those of the manifest")
        return manifest

    def require_tables(self) -> None:
        """Raise BackupBroken unless it has this release's tables and columns."""
        columns = {entry.name: entry.columns for entry in self.manifest.tables}
        if columns != {table.name: column_names(table) for table in TABLES}:
            raise BackupBroken(
                f"its tables or columns are not those of schema revision {self.manifest.schema_revision}"
            )


def _member(name: str) -> str:
    return f"{name}.jsonl"


def _require_intact(file: BinaryIO) -> None:
    size = file.seek(0, 2)
    start = size - _COMMENT_BYTES - _END.size
    if start < 0:
        raise BackupBroken("it is truncated")
    file.seek(start)
    tail = file.read()
    comment = tail[_END.size :]
    if not (comment.startswith(_PREFIX) and _HEX.fullmatch(comment[len(_PREFIX) :])):
        raise BackupBroken("it is not a Stepkeep backup, or it was truncated or changed")
    if _digest(file, size - 64) != comment[len(_PREFIX) :]:
        raise BackupBroken("its SHA-256 is wrong: it was changed or damaged")
    signature, *_, directory_bytes, _, comment_bytes = _END.unpack(tail[: _END.size])
    if signature != b"PK\x05\x06" or comment_bytes != _COMMENT_BYTES or directory_bytes > MAX_DIRECTORY_BYTES:
        raise BackupBroken("its zip directory is invalid")
    file.seek(0)


def _digest(file: BinaryIO, length: int) -> bytes:
    file.seek(0)
    digest = hashlib.sha256()
    while length and (block := file.read(min(BLOCK_BYTES, length))):
        digest.update(block)
        length -= len(block)
    return digest.hexdigest().encode()
