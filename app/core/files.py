"""Files of answers: atomic, durable, and readable by their owner only."""

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import InvalidInput

OWNER_ONLY = 0o600


def replace_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write or replace a file, or raise InvalidInput."""
    with _partial_file(path) as part:
        with part.open("wb", buffering=0) as file:
            for piece in pieces:
                with write_errors(path):
                    write_all(file.fileno(), piece)
        with write_errors(path):
            sync(part)
            part.replace(path)
            sync(path.absolute().parent)


@contextmanager
def create_file(path: Path) -> Iterator[Path]:
    """Give an empty file, which becomes ``path`` after the block; raise InvalidInput if that exists."""
    if path.exists():
        raise InvalidInput(f"{path} already exists; choose another file name")
    with _partial_file(path) as part, write_errors(path):
        yield part
        sync(part)
        _link(part, path)
        sync(path.absolute().parent)


def open_new(path: Path) -> BinaryIO:
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY), "wb")
    try:
        sync(path.absolute().parent)
    except OSError:
        file.close()
        raise
    return file


def append_lines(path: Path, lines: bytes) -> None:
    """Append whole lines; safe between threads and processes."""
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # released if the process dies
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = b"\n" + lines  # end a line that a crash cut off
        write_all(descriptor, lines)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync(path.absolute().parent)


def write_all(descriptor: int, data: bytes, offset: int | None = None) -> None:
    rest = memoryview(data)
    while rest:
        written = os.write(descriptor, rest) if offset is None else os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], None if offset is None else offset + written


def sync(path: Path) -> None:
    """Flush a file, or a folder: fsync(2) of a file does not save its name."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise InvalidInput(f"{path} was created by another program; choose another file name") from error
    except OSError as error:
        raise InvalidInput(f"{path} can't be written: {error.strerror or type(error).__name__}") from error


@contextmanager
def _partial_file(path: Path) -> Iterator[Path]:
    with write_errors(path):
        descriptor, name = tempfile.mkstemp(prefix=".stepkeep-", suffix=".part", dir=path.absolute().parent)
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _link(part: Path, path: Path) -> None:
    try:
        os.link(part, path)  # a rename would replace an existing file
    except FileExistsError:
        raise
    except OSError:  # no hard links here
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, OWNER_ONLY))
        part.rename(path)
