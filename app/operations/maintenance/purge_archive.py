"""Archives of erased sessions, as docs/operations.md describes them."""

import gzip
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson

from ...core.files import open_new
from ...core.timestamps import format_timestamp
from ...errors import InvalidInput, MissingKey
from ...sessions import SessionStore
from ...store import Cipher, encryption, retention
from ..integrity import read_stored_history, read_stored_session

FORMAT = "stepkeep-archive-1"


class PurgeArchive:
    """Writes into a file that is created with the first session. Not thread-safe."""

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

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, stale: Sequence[retention.StaleSession]) -> list[retention.StaleSession]:
        """Write and sync sessions, unless their erasure has begun; return those that still exist."""
        existing = [session for session in stale if session.is_blanked]
        self._append(self._lines([session for session in stale if not session.is_blanked], existing))
        return existing

    def record_erased(self, stale: Iterable[retention.StaleSession]) -> None:
        erased = [[*session.key, session.version] for session in stale if not session.is_blanked]
        if erased:
            problem = "the last sessions in it were erased, but it does not say so"
            self._append([_line("erased", {"sessions": erased})], problem)

    def _append(self, lines: Iterable[bytes], problem: str = "nothing more is erased") -> None:
        """Append a gzip member, so that a crash does not damage earlier ones."""
        try:
            first = next(iter(lines := iter(lines)), None)
            if first is None:
                return
            file = self._open()
            is_gzip = self._path.suffix == ".gz"
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) if is_gzip else nullcontext(file) as out:
                out.write(first)
                for line in lines:
                    out.write(line)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise InvalidInput(f"{self._path} can't be written ({error.strerror}): {problem}") from error

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._file = open_new(self._path)
            self._append([_line("archive", {"format": FORMAT, "created_at": format_timestamp(self._store.clock())})])
        return self._file

    def _lines(
        self, stale: Sequence[retention.StaleSession], existing: list[retention.StaleSession]
    ) -> Iterator[bytes]:
        cipher = _LenientCipher(self._store.cipher)
        for session in stale:
            row = read_stored_session(self._store, session.key, cipher)
            if row is None or row["version"] != session.version:
                continue  # it was erased, or the participant answered
            digest, events = hashlib.sha256(), 0
            history = (("event", event) for event in read_stored_history(self._store, session.key, -1, cipher))
            for kind, values in chain([("session", row)], history):
                line = _line(kind, values)
                digest.update(line)
                events += kind == "event"
                yield line
            key = session.key
            end = {"survey_id": key.survey_id, "user_id": key.user_id, "version": session.version, "events": events}
            yield _line("end", {**end, "sha256": digest.hexdigest()})
            existing.append(session)


def _line(kind: str, values: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": kind, **values}, option=orjson.OPT_APPEND_NEWLINE)


class _LenientCipher(Cipher):
    def __init__(self, cipher: Cipher) -> None:
        super().__init__()
        self._cipher = cipher

    def decrypt(self, text: str, location: encryption.ValueLocation) -> str:
        try:
            return self._cipher.decrypt(text, location)
        except MissingKey:
            return text
