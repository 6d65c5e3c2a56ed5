"""A file that is there whole or not at all, and that only its owner can read."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import InvalidInput


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the path of an empty file, mode 0600; what is in it at the end is at ``path``, on the disk.

    Raises:
        InvalidInput: there is such a file already, or it can't be made.
    """
    if path.exists():
        raise InvalidInput(f"{path} is there already: name another file, or move that one away")
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".unfinished", dir=path.absolute().parent)
    except OSError as error:
        raise InvalidInput(f"{path} can't be made: {error.strerror}") from error
    os.close(number)
    unfinished = Path(name)
    try:
        yield unfinished
        _sync(unfinished)
        _name(unfinished, path)
        _sync(path.absolute().parent)
    except FileExistsError as error:
        raise InvalidInput(f"{path} is there by now, made by another program: name another file") from error
    except OSError as error:
        raise InvalidInput(f"{path} can't be written: {error.strerror or type(error).__name__}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _name(unfinished: Path, path: Path) -> None:
    """Let the file be at ``path``, if no other one was made there meanwhile, which a rename alone would replace."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        unfinished.rename(path)


def _sync(path: Path) -> None:
    """Let a file's bytes, or a folder's names, be on the disk (fsync(2))."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
