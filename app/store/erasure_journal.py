"""The erasure journal, outside of the database: what to erase again after restoring a backup.

Each line is on the disk before its erasure is committed. Guessed user ids can be checked against its hashes: protect it
like the database.
"""

import hashlib
import io
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
from filelock import FileLock
from sqlalchemy import URL

from ..core.files import OWNER_ONLY, append_lines
from ..core.timestamps import format_timestamp, from_datetime
from ..errors import ConfigurationError, ErasureJournalUnavailable

log = logging.getLogger("stepkeep.store")

SALT_BYTES = 16
HASH_BYTES = 32
_HASH = re.compile(f"[0-9a-f]{{{HASH_BYTES * 2}}}")
_SALT = re.compile(f"[0-9a-f]{{{SALT_BYTES * 2}}}")
_SURVEY_ID = re.compile(r"[^\x00]{1,64}")

Identity = tuple[str, str, int]


class ErasureRecord(NamedTuple):
    """One erasure; none of its ``sessions`` began after ``erased_at``."""

    survey_id: str
    user_hash: str
    salt: str
    sessions: int  # those set aside included
    erased_at: int

    @property
    def identity(self) -> Identity:
        return self.survey_id, self.user_hash, self.erased_at


def hash_user_id(salt: str, survey_id: str, user_id: str) -> str:
    """Return the BLAKE2b hash (RFC 7693)."""
    return hashlib.blake2b(
        f"{survey_id}\0{user_id}".encode(), digest_size=HASH_BYTES, salt=bytes.fromhex(salt)
    ).hexdigest()


def format_line(record: ErasureRecord) -> str:
    fields = {**record._asdict(), "erased_at": format_timestamp(record.erased_at)}
    return orjson.dumps(fields).decode()


def read_lines(lines: Iterable[str | bytes], name: str) -> Iterator[ErasureRecord]:
    unreadable = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            yield _parse_line(line)
        except (ValueError, TypeError, KeyError, AttributeError):
            unreadable += 1
    if unreadable:
        log.warning("%s: skipped %d unreadable lines; the last one may be incomplete", name, unreadable)


def open_journal(erasures_file: Path | None, url: URL) -> "ErasureJournal | None":
    """Return the journal, by default next to a SQLite database."""
    if erasures_file is None and url.get_backend_name() == "sqlite":
        erasures_file = Path(f"{url.database}.erasures")
    return None if erasures_file is None else ErasureJournal(erasures_file)


class ErasureJournal:
    """The journal file. Safe from any thread and process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, erasures: Iterable[ErasureRecord]) -> None:
        """Add erasures, flushed to disk; raise ErasureJournalUnavailable if perhaps only a part was written."""
        text = "".join(f"{format_line(record)}\n" for record in erasures)
        if not text:
            return
        try:
            append_lines(self.path, text.encode())
        except OSError as error:
            raise ErasureJournalUnavailable(str(self.path), error.strerror or type(error).__name__) from error

    def read(self) -> Iterator[ErasureRecord]:
        """Yield the erasures, oldest first; raises ErasureJournalUnavailable."""
        try:
            with self.path.open("rb") if self.path.exists() else io.BytesIO() as file:
                yield from read_lines(file, str(self.path))
        except OSError as error:
            raise ErasureJournalUnavailable(str(self.path), error.strerror or type(error).__name__) from error

    def check(self) -> None:
        folder = self.path.absolute().parent
        if not os.access(self.path if self.path.exists() else folder, os.R_OK | os.W_OK) or self.path.is_dir():
            raise ConfigurationError(
                f"the erasure journal {self.path} (STEPKEEP_ERASURES_FILE) can't be read and written"
            )

    def lock(self) -> FileLock:
        """Return the lock for comparing the journal with the database; appending needs none."""
        return FileLock(f"{self.path}.lock", mode=OWNER_ONLY)


def _parse_line(line: str | bytes) -> ErasureRecord:
    fields = orjson.loads(line)
    fields["erased_at"] = from_datetime(fields["erased_at"].removesuffix("Z"))
    record = ErasureRecord(*(fields[name] for name in ErasureRecord._fields))
    is_valid = (
        _SURVEY_ID.fullmatch(record.survey_id)
        and _HASH.fullmatch(record.user_hash)
        and _SALT.fullmatch(record.salt)
        and type(record.sessions) is int
        and 0 <= record.sessions < 2**63
    )
    if not is_valid:
        raise ValueError
    return record
