"""Archives: what was kept of sessions, written down before a purge erases it.

JSON Lines; gzip where the file's name ends in ``.gz``. For each session its row, its events, and an end::

    {"type": "archive", "format": "stepkeep-archive-1", "made_at"}
    {"type": "session", every column of the session's row}
    {"type": "event", every column of the event's row}                                     its events, in their order
    {"type": "end", "survey_id", "user_id", "version", "events", "sha256"}
    {"type": "erased", "sessions": [[survey_id, user_id, version], ...]}        after a few sessions, once they are gone

``sha256`` is of the session's lines and its events', each with its newline; a session without an end that fits was cut
off by a crash, and it was not erased. Values are opened, as in an export of a participant; only one whose key is
missing stays sealed. A session of which no ``erased`` line tells may be there still: somebody answered at the last
moment, or the program ended before it could say. If the database has it, it is the truth; and of several archives the
one that says ``erased``, or else the highest version.

A file holds personal data that no later erasure reaches; only its owner may read it (mode 0600).
"""

import gzip
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import orjson

from ...core.files import open_new
from ...core.timestamps import format_timestamp
from ...errors import InvalidInput, MissingKey
from ...sessions import SessionStore
from ...store import Cipher, encryption, raw_rows, retention
from ...survey import SessionKey

FORMAT = "stepkeep-archive-1"

EVENTS_A_PAGE = 200
"""Events that are held in memory at once: each can be a whole state of 1 MiB."""


class Archived(NamedTuple):
    """A session that is whole in an archive; whether the archive says that it was erased."""

    key: SessionKey
    version: int
    events: int
    is_erased: bool


class Archive:
    """Writes sessions into a new file, which is made when the first one comes. For one thread.

    Args:
        path: of the file; ``.gz`` compresses it.

    Raises:
        InvalidInput: the file already exists, or its folder does not.
    """

    def __init__(self, store: SessionStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._file: BinaryIO | None = None
        if path.exists():
            raise InvalidInput(f"{path} already exists and may be the only copy of erased sessions; choose another")
        if not path.absolute().parent.is_dir():
            raise InvalidInput(f"{path} can't be written: the folder {path.absolute().parent} does not exist")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def keep(self, aged: Sequence[retention.StaleSession]) -> list[retention.StaleSession]:
        """Write sessions down; they are on the disk afterwards. Return those that were there.

        One whose erasure has begun was written down before that, if it was to be, and is not again.

        Raises:
            InvalidInput: the file can't be written.
            Unavailable: the database is away.
        """
        there = [one for one in aged if one.is_blanked]
        lines = self._lines_of([one for one in aged if not one.is_blanked], there)
        self._write(lines)
        return there

    def note_erased(self, aged: Iterable[retention.StaleSession]) -> None:
        """Write down that these have been erased.

        Raises:
            InvalidInput: the file can't be written; they are erased, and the file does not say so.
        """
        erased = [[*one.key, one.version] for one in aged if not one.is_blanked]
        if erased:
            problem = "which would say of the last sessions that they are erased; they are, and lie in it"
            self._write([_line("erased", {"sessions": erased})], problem)

    def _write(self, lines: Iterable[bytes], problem: str = "and so nothing more is erased") -> None:
        """Append lines; a part of a gzip file of their own, so that a crash cuts none before them."""
        try:
            first = next(iter(lines := iter(lines)), None)
            if first is None:
                return
            file = self._opened()
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) if self._is_gzip else _Plain(file) as out:
                out.write(first)
                for line in lines:
                    out.write(line)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise InvalidInput(f"{self._path} can't be written, {problem}: {error.strerror}") from error

    @property
    def _is_gzip(self) -> bool:
        return self._path.suffix == ".gz"

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = open_new(self._path)
            self._write([_line("archive", {"format": FORMAT, "made_at": format_timestamp(self._store.clock())})])
        return self._file

    def _lines_of(self, aged: Sequence[retention.StaleSession], there: list[retention.StaleSession]) -> Iterator[bytes]:
        """Yield the lines of sessions, and note those that were there in ``there``."""
        for one in aged:
            row = self._store.run_read(partial(raw_rows.read_session, key=one.key, cipher=_Opening(self._store.cipher)))
            if row is None or row["version"] != one.version:
                continue  # it was erased, or somebody answered
            digest, events = hashlib.sha256(), 0
            for kind, values in self._rows(one, row):
                line = _line(kind, values)
                digest.update(line)
                events += kind == "event"
                yield line
            key = one.key
            end = {"survey_id": key.survey_id, "user_id": key.user_id, "version": one.version, "events": events}
            yield _line("end", {**end, "sha256": digest.hexdigest()})
            there.append(one)

    def _rows(self, one: retention.StaleSession, row: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "session", row
        cipher, after = _Opening(self._store.cipher), -1
        while True:
            read = partial(raw_rows.read_history, key=one.key, after_version=after, limit=EVENTS_A_PAGE, cipher=cipher)
            page = self._store.run_read(read)
            for event in page:
                yield "event", event
            if len(page) < EVENTS_A_PAGE:
                return
            after = page[-1]["version"]


def read_archive(path: Path) -> Iterator[Archived]:
    """Yield the sessions that are whole in an archive, once all of it was read; what a crash cut off is left out."""
    whole: dict[tuple[str, str, int], int] = {}
    erased: set[tuple[str, str, int]] = set()
    digest = hashlib.sha256()
    for line in _lines_in(path):
        value = orjson.loads(line)
        match value["type"]:
            case "session":
                digest = hashlib.sha256(line)
            case "event":
                digest.update(line)
            case "end" if value["sha256"] == digest.hexdigest():
                whole[value["survey_id"], value["user_id"], value["version"]] = value["events"]
            case "erased":
                erased.update((survey_id, user_id, version) for survey_id, user_id, version in value["sessions"])
            case _:
                pass
    for identity, events in whole.items():
        yield Archived(SessionKey(*identity[:2]), identity[2], events, identity in erased)


def _lines_in(path: Path) -> Iterator[bytes]:
    """Yield the lines that are whole."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        try:
            for line in lines:
                if line.endswith(b"\n"):
                    yield line
        except EOFError:  # the last part of a gzip file was cut off
            return


def _line(kind: str, values: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": kind, **values}, option=orjson.OPT_APPEND_NEWLINE)


class _Plain(io.BufferedIOBase):
    """Writes into a file that stays open."""

    def __init__(self, file: BinaryIO) -> None:
        self._to = file

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - bytes of any kind
        return self._to.write(data)


class _Opening(Cipher):
    """Opens what it can; a value whose key is missing stays as it is."""

    def __init__(self, cipher: Cipher) -> None:
        super().__init__()
        self._of = cipher

    def open(self, text: str, place: encryption.ValueLocation) -> str:
        try:
            return self._of.decrypt(text, place)
        except MissingKey:
            return text
