"""The list of erasures outside of the database: what a backup, restored, has to forget again.

One JSON object a line, in ASCII, the oldest first. It names nobody: a participant is the keyed hash of his id
(:func:`hash_of`); but who has the list and guesses an id can tell whether it is in it, so the list is to be kept as
the database is. A line is written, and on the disk, before its erasure is committed.
"""

import contextlib
import hashlib
import io
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson
from filelock import FileLock
from sqlalchemy import URL

from ..core.files import append_lines
from ..core.timestamps import format_timestamp, from_datetime
from ..errors import ConfigurationError, ErasureNotListed

log = logging.getLogger("stepkeep.store")

SALT_BYTES = 16
"""What BLAKE2b takes as salt, and as many as a UUID has."""

HASH_BYTES = 32

_HASH = re.compile(f"[0-9a-f]{{{HASH_BYTES * 2}}}")
_SALT = re.compile(f"[0-9a-f]{{{SALT_BYTES * 2}}}")
_SURVEY_ID = re.compile(r"[^\x00]{1,64}")

Identity = tuple[str, str, int]
"""A survey's id, a participant's hash, and when: no two erasures have the same."""


class ErasureRecord(NamedTuple):
    """One erasure.

    Attributes:
        user_hash: :func:`hash_of` the participant.
        salt: of the hash, in hex.
        sessions: how many were erased, those that had been set aside among them.
        erased_at: microseconds since 1970 UTC; no erased session began later.
    """

    survey_id: str
    user_hash: str
    salt: str
    sessions: int
    erased_at: int

    @property
    def identity(self) -> Identity:
        """What no other erasure has."""
        return self.survey_id, self.user_hash, self.erased_at


def hash_user_id(salt: str, survey_id: str, user_id: str) -> str:
    """Return the BLAKE2b hash (RFC 7693), 256 bits in hex, of the survey's id, NUL and the user id, with this salt."""
    return hashlib.blake2b(
        f"{survey_id}\0{user_id}".encode(), digest_size=HASH_BYTES, salt=bytes.fromhex(salt)
    ).hexdigest()


def format_line(erased: ErasureRecord) -> str:
    """Return an erasure as a line, without its end."""
    fields = {**erased._asdict(), "erased_at": format_timestamp(erased.erased_at)}
    return orjson.dumps(fields).decode()


def read_lines(lines: Iterable[str | bytes], name: str) -> Iterator[ErasureRecord]:
    """Yield the erasures in lines; those that can't be read are counted in one warning.

    Args:
        name: of the list, for the warning.
    """
    unreadable = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            yield _erased_of(line)
        except (ValueError, TypeError, KeyError, AttributeError):
            unreadable += 1
    if unreadable:
        log.warning("%s: %d lines are no erasures and were skipped; the last one may be half-written", name, unreadable)


def open_journal(erasures_file: Path | None, url: URL) -> "ErasureJournal | None":
    """Return the list that the setting STEPKEEP_ERASURES_FILE names (default with SQLite: beside the database)."""
    if erasures_file is None and url.get_backend_name() == "sqlite":
        erasures_file = Path(f"{url.database}.erasures")
    return None if erasures_file is None else ErasureJournal(erasures_file)


class ErasureJournal:
    """The list in a file. Safe from any thread and process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, erasures: Iterable[ErasureRecord]) -> None:
        """Add erasures; they are on the disk when it returns.

        Raises:
            ErasureNotListed: they are not, or only a part.
        """
        text = "".join(f"{format_line(erased)}\n" for erased in erasures)
        if not text:
            return
        try:
            append_lines(self.path, text.encode())
        except OSError as error:
            raise ErasureNotListed(str(self.path), error.strerror or type(error).__name__) from error

    def read(self) -> Iterator[ErasureRecord]:
        """Yield the erasures, the oldest first; none where there is no file.

        Raises:
            ErasureNotListed: the file can't be read.
        """
        with self._opened() as file:
            yield from read_lines(file, str(self.path))

    def check(self) -> None:
        """Return if the list can be kept.

        Raises:
            ConfigurationError: it can't.
        """
        folder = self.path.absolute().parent
        if not os.access(self.path if self.path.exists() else folder, os.R_OK | os.W_OK) or self.path.is_dir():
            raise ConfigurationError(
                f"the list of erasures {self.path} (STEPKEEP_ERASURES_FILE) can't be read and written"
            )

    def lock(self) -> FileLock:
        """Return the lock of those who compare the whole list with the database; who appends needs none."""
        return FileLock(f"{self.path}.lock")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Give the file to read; an empty one where there is none."""
        try:
            with self.path.open("rb") if self.path.exists() else io.BytesIO() as file:
                yield file
        except OSError as error:
            raise ErasureNotListed(str(self.path), error.strerror or type(error).__name__) from error


def _erased_of(line: str | bytes) -> ErasureRecord:
    given = orjson.loads(line)
    erased = ErasureRecord(
        survey_id=given["survey_id"],
        user_hash=given["user_hash"],
        salt=given["salt"],
        sessions=given["sessions"],
        erased_at=from_datetime(given["erased_at"].removesuffix("Z")),
    )
    is_right = (
        _SURVEY_ID.fullmatch(erased.survey_id)
        and _HASH.fullmatch(erased.user_hash)
        and _SALT.fullmatch(erased.salt)
        and type(erased.sessions) is int
        and 0 <= erased.sessions < 2**63
    )
    if not is_right:
        raise ValueError
    return erased
