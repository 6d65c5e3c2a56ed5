"""Files that commands write: each has its name only when it is whole."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InvalidInput


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file for its owner alone, in place of one of that name; what fails leaves nothing of it.

    Raises:
        InvalidInput: it can't be written. What goes wrong where the pieces come from is not changed.
    """
    with _told(path):
        # A name that nobody can have put there before, in the same folder, so that it can be renamed.
        descriptor, name = tempfile.mkstemp(prefix=".stepkeep-", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for piece in pieces:
                _write(path, file.fileno(), piece)
        with _told(path):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write(path: Path, descriptor: int, piece: bytes) -> None:
    remaining = memoryview(piece)
    with _told(path):
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInput(f"{path} can't be written: {error.strerror}") from error
