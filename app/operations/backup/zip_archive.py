"""A zip with ``<table>.jsonl`` members and ``manifest.json``; its comment ends with the SHA-256 of all bytes before."""

import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Literal, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Table

from ...errors import BackupBroken
from .row_format import TABLES, ChecksummedRows, Digest, Row, column_names

FORMAT = "stepkeep-backup"
FORMAT_VERSION = 1

MANIFEST = "manifest.json"
COMPRESS_LEVEL = 3  # a tenth larger than level 6, in half the time
BLOCK_BYTES = 1024 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024
"""A row with a state as large as a session's whole history may be (STEPKEEP_SESSION_MIB), encrypted."""

MAX_MANIFEST_BYTES = 1024 * 1024
MAX_DIRECTORY_BYTES = 1024 * 1024

_PREFIX = f"{FORMAT} {FORMAT_VERSION} sha256:".encode()
_HEX = re.compile(rb"[0-9a-f]{64}")
_COMMENT_BYTES = len(_PREFIX) + 64
_END = struct.Struct("<4s4H2LH")  # end of central directory record (APPNOTE.TXT, 4.3.16)


class TableEntry(BaseModel):
    """``bytes`` and ``sha256`` are of the uncompressed member."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    columns: list[str]
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """The description of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["stepkeep-backup"] = "stepkeep-backup"
    format_version: Literal[1] = 1
    schema_revision: str
    created_at: str
    database: dict[str, str]
    tables: list[TableEntry]

    @property
    def rows_by_table(self) -> dict[str, int]:
        return {entry.name: entry.rows for entry in self.tables}


def write_archive(
    file: BinaryIO,
    rows: Callable[[Table], Iterable[Row]],
    on_row: Callable[[], None],
    *,
    schema_revision: str,
    created_at: str,
    database: dict[str, str],
) -> Manifest:
    entries = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESS_LEVEL) as archive:
        for table in TABLES:
            stream = ChecksummedRows(table, on_row)
            member = archive.open(_member(table.name), "w", force_zip64=True)
            with member, io.BufferedWriter(member, BLOCK_BYTES) as lines:
                for _, line in stream.encode(rows(table)):
                    lines.write(line)
            count, size, sha256 = stream.digest
            entries.append(
                TableEntry(name=table.name, columns=column_names(table), rows=count, bytes=size, sha256=sha256)
            )
        manifest = Manifest(schema_revision=schema_revision, created_at=created_at, database=database, tables=entries)
        archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        archive.comment = _PREFIX + b"0" * 64
    file.flush()
    end = file.seek(0, 2) - 64
    digest = _digest(file, end)
    file.seek(end)
    file.write(digest)
    return manifest


class Archive:
    """A backup with the right hash; raises BackupBroken otherwise."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            _require_intact(file)
            self._zip = zipfile.ZipFile(file)
            self.manifest = self._read_manifest()
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, struct.error) as error:
            raise BackupBroken("it is not a readable zip file") from error
        self._entries = {entry.name: entry for entry in self.manifest.tables}

    @property
    def total_rows(self) -> int:
        return sum(self.manifest.rows_by_table.values())

    def digest(self, table: Table) -> Digest:
        entry = self._entries[table.name]
        return Digest(entry.rows, entry.bytes, entry.sha256)

    def rows(self, table: Table, on_row: Callable[[], None]) -> Iterator[Row]:
        """Yield rows; raise BackupBroken at the end if the digest differs."""
        stream = ChecksummedRows(table, on_row)
        yield from stream.pass_through(self._decode(_member(table.name)))
        if stream.digest != self.digest(table):
            raise BackupBroken(f"{_member(table.name)} differs from the manifest")

    def _decode(self, name: str) -> Iterator[Row]:
        number = 0
        try:
            with io.BufferedReader(cast("io.RawIOBase", self._zip.open(name)), BLOCK_BYTES) as lines:
                while line := lines.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    if len(line) > MAX_LINE_BYTES:
                        raise BackupBroken(f"{name} has a line of more than {MAX_LINE_BYTES} bytes")
                    yield _parse_row(line)
        except ValueError as error:
            raise BackupBroken(f"line {number} of {name} is not a JSON array") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise BackupBroken(f"{name} can't be read") from error

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
        expected = {_member(entry.name): entry.bytes for entry in manifest.tables}
        if sizes.keys() != {MANIFEST, *expected}:
            raise BackupBroken("its members are not those of the manifest")
        for name, size_bytes in expected.items():  # no more is read
            if sizes[name] != size_bytes:
                raise BackupBroken(f"the length of {name} differs from the manifest")
        return manifest

    def require_tables(self) -> None:
        columns = {entry.name: entry.columns for entry in self.manifest.tables}
        if columns != {table.name: column_names(table) for table in TABLES}:
            raise BackupBroken(
                f"its tables or columns are not those of schema revision {self.manifest.schema_revision}"
            )


def _member(name: str) -> str:
    return f"{name}.jsonl"


def _parse_row(line: bytes) -> Row:
    row = orjson.loads(line)
    if type(row) is not list:
        raise ValueError("not an array")
    return tuple(row)


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
