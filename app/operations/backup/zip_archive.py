"""A backup's file: a zip of one member a table, ``<table>.jsonl``, and ``manifest.json``.

A zip, because every system has what opens one; deflated, because that is what every zip program knows. Its comment
ends with the SHA-256 of all bytes before it: so a byte that was changed anywhere is found, in headers that no member's
hash covers too, and a file that was cut has no comment. Nothing that is read is believed to be small: lines, the
manifest and the directory have a greatest length, and members give no more than the manifest says.
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
from .row_format import CHUNK_ROWS, TABLES, Row, Summed, columns_of, row_of

FORMAT = "stepkeep-backup"
FORMAT_VERSION = 1

MANIFEST = "manifest.json"
COMPRESS_LEVEL = 3
"""Of deflate: on history a tenth larger than level 6, in half the time."""

BLOCK_BYTES = 1024 * 1024
LONGEST_LINE = 256 * 1024 * 1024
"""Bytes of a row, at most: some ten times the longest that a door lets in, sealed."""

LARGEST_MANIFEST = 1024 * 1024
LARGEST_DIRECTORY = 1024 * 1024

_PREFIX = f"{FORMAT} {FORMAT_VERSION} sha256:".encode()
_HEX = re.compile(rb"[0-9a-f]{64}")
_COMMENT_BYTES = len(_PREFIX) + 64
_END = struct.Struct("<4s4H2LH")  # end of central directory record (APPNOTE.TXT, 4.3.16)


class TableEntry(BaseModel):
    """What the manifest says of a table.

    Attributes:
        bytes: of the member, opened.
        sha256: of the member, opened, in hex.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    columns: list[str]
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """What a backup says of itself.

    Attributes:
        schema_revision: Alembic's, of the database.
        made_at: of the snapshot, ISO 8601, UTC.
        database: its kind and version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["stepkeep-backup"] = "stepkeep-backup"
    format_version: Literal[1] = 1
    schema_revision: str
    made_at: str
    database: dict[str, str]
    tables: list[TableEntry]


class ArchiveWriter:
    """Writes a backup into a file, opened to write and read and to be sought in."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESS_LEVEL)
        self._entries: list[TableEntry] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()  # before the file is

    def write_table(self, table: Table, rows: Iterable[Row], tell: Callable[[], None]) -> TableEntry:
        """Write all rows of a table, which are in the order of their keys."""
        summed = Summed(table, tell)
        with self._zip.open(_member(table.name), "w", force_zip64=True) as member:
            block: list[bytes] = []
            length = 0
            for _, line in summed.lines(rows):
                block.append(line)
                length += len(line)
                if len(block) == CHUNK_ROWS or length >= BLOCK_BYTES:
                    member.write(b"".join(block))
                    block, length = [], 0
            member.write(b"".join(block))
        entry = TableEntry(
            name=table.name, columns=columns_of(table), rows=summed.rows, bytes=summed.length, sha256=summed.sha256
        )
        self._entries.append(entry)
        return entry

    def close(self, schema_revision: str, made_at: str, database: dict[str, str]) -> Manifest:
        """Write the manifest and the hash of the whole."""
        manifest = Manifest(
            schema_revision=schema_revision,
            made_at=made_at,
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
    """A backup's file, whole: its hash has been looked at.

    Raises:
        BackupBroken: it is none, or it was cut or changed, or it has another form than this program knows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        try:
            _check_whole(self._file)
            self._zip = zipfile.ZipFile(self._file)
            self.manifest = self._read_manifest()
        except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error) as error:
            self._file.close()
            raise BackupBroken("it is no zip that can be read") from error
        except BaseException:
            self._file.close()
            raise
        self._entries = {entry.name: entry for entry in self.manifest.tables}

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield a table's rows; at their end their number, length and hash are the manifest's.

        Raises:
            BackupBroken: they are not, or a line is no row.
        """
        entry = self._entries[table.name]
        summed = Summed(table)
        yield from summed.passing(self._parsed(entry))
        if (summed.rows, summed.sha256) != (entry.rows, entry.sha256):
            raise BackupBroken(f"{_member(entry.name)} is not what the manifest says")

    def _parsed(self, entry: TableEntry) -> Iterator[Row]:
        for number, line in enumerate(self._lines(entry), start=1):
            try:
                yield row_of(line)
            except ValueError as error:
                raise BackupBroken(f"line {number} of {_member(entry.name)} is no JSON array") from error

    def _lines(self, entry: TableEntry) -> Iterator[bytes]:
        rest = b""
        for block in self._blocks(entry):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
            if len(rest) > LONGEST_LINE:
                raise BackupBroken(f"{_member(entry.name)} has a line of more than {LONGEST_LINE} bytes")
        if rest:
            raise BackupBroken(f"{_member(entry.name)} ends within a line")

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
            raise BackupBroken(f"{_member(entry.name)} is not as long as the manifest says")

    def _read_manifest(self) -> Manifest:
        sizes = {info.filename: info.file_size for info in self._zip.infolist()}
        if not 0 < sizes.get(MANIFEST, 0) <= LARGEST_MANIFEST:
            raise BackupBroken(f"it has no {MANIFEST}, or one that is too large")
        with self._zip.open(MANIFEST) as member:
            text = member.read(LARGEST_MANIFEST + 1)
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            places = ", ".join(sorted({".".join(map(str, fault["loc"])) for fault in error.errors()}))
            raise BackupBroken(f"its {MANIFEST} has another form than this program knows ({places})") from error
        if sorted(sizes) != sorted([MANIFEST, *(_member(entry.name) for entry in manifest.tables)]):
            raise BackupBroken("it has other members than its manifest says")
        return manifest

    def check_tables(self) -> None:
        """Return if it has this program's tables, with their columns.

        Raises:
            BackupBroken: it has not.
        """
        found = {entry.name: entry.columns for entry in self.manifest.tables}
        if found != {table.name: columns_of(table) for table in TABLES}:
            raise BackupBroken(
                f"it has other tables or columns than this program's schema; its own is {self.manifest.schema_revision}"
            )


def is_archive(path: Path) -> bool:
    """Return whether a file begins as a zip does."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _member(name: str) -> str:
    return f"{name}.jsonl"


def _check_whole(file: BinaryIO) -> None:
    size = file.seek(0, 2)
    start = size - _COMMENT_BYTES - _END.size
    if start < 0:
        raise BackupBroken("it is cut")
    file.seek(start)
    tail = file.read()
    comment = tail[_END.size :]
    if not (comment.startswith(_PREFIX) and _HEX.fullmatch(comment[len(_PREFIX) :])):
        raise BackupBroken("its end is not that of a backup: it is cut, changed, or of another program")
    if _digest(file, size - 64) != comment[len(_PREFIX) :]:
        raise BackupBroken("its SHA-256 is not the one it was written with: it was changed or damaged")
    signature, *_, directory_bytes, _, comment_bytes = _END.unpack(tail[: _END.size])
    if signature != b"PK\x05\x06" or comment_bytes != _COMMENT_BYTES or directory_bytes > LARGEST_DIRECTORY:
        raise BackupBroken("its directory is not that of a backup")
    file.seek(0)


def _digest(file: BinaryIO, length: int) -> bytes:
    file.seek(0)
    found = hashlib.sha256()
    while length and (block := file.read(min(BLOCK_BYTES, length))):
        found.update(block)
        length -= len(block)
    return found.hexdigest().encode()
