"""Where the client keeps the commands that are not acknowledged yet: in memory, or in a file that survives it.

A command is its message of PROTOCOL.md: a dictionary with type and id. An outbox keeps the order in which
commands were added; it decides nothing. Imports nothing of the server; the client imports it.
"""

import errno
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from ..core.files import OWNER_ONLY, sync, write_all
from .errors import OutboxFailed, OutboxInUse, OutboxOfAnother

log = logging.getLogger("stepkeep.client")

_COMPACT_FROM_LINES = 128
"""A file shorter than this is not worth a rewrite, with its two flushes."""

_COMPACT_RATIO = 4
"""Rewritten when at most one line in so many still counts: a rewrite then costs each command a quarter line."""


class Outbox(Protocol):
    """What the client wants of an outbox. It calls one method at a time."""

    def load(self, owner: str) -> list[dict[str, Any]]:
        """Open it for the session that is named; return its commands, oldest first."""
        ...

    def add(self, command: dict[str, Any]) -> None:
        """Keep the command, as durably as this outbox can, before it returns."""
        ...

    def remove(self, command_id: str) -> None:
        """Forget the command; nothing happens where it is not there. Never raises."""
        ...

    def close(self) -> None:
        """Let others have it; what it holds stays."""
        ...


class MemoryOutbox:
    """Keeps commands as long as this object lives; another client may take it over."""

    def __init__(self) -> None:
        self._commands: dict[str, dict[str, Any]] = {}

    def load(self, owner: str) -> list[dict[str, Any]]:  # noqa: ARG002 - whose it is, its maker knows
        """Return its commands, oldest first."""
        return list(self._commands.values())

    def add(self, command: dict[str, Any]) -> None:
        """Keep the command."""
        self._commands[command["id"]] = command

    def remove(self, command_id: str) -> None:
        """Forget the command."""
        self._commands.pop(command_id, None)

    def close(self) -> None:
        """Do nothing: memory is nobody else's."""


class FileOutbox:
    """Keeps commands in a file of JSON lines, readable by its owner alone (0600), since answers are sensitive.

    Each line is ``{"owner": session}``, ``{"add": command}`` or ``{"remove": id}``. An addition is flushed to the
    disk (fsync) before :meth:`add` returns. A removal is not: if it gets lost, the command is sent once more, and
    the server knows its id. A kill at any moment leaves at most one torn line at the end, which was never
    promised to anybody and is cut off.

    Args:
        path: the file; made if it is not there, its folder is not. ``path.lock`` stands beside it.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._mutex = threading.Lock()
        # Not thread_local: the thread that closes need not be the one that opened.
        self._lock = FileLock(f"{self._path}.lock", thread_local=False, mode=OWNER_ONLY)
        self._file: int | None = None
        self._commands: dict[str, dict[str, Any]] = {}
        self._owner = ""
        self._size_bytes = 0
        self._lines = 0

    def load(self, owner: str) -> list[dict[str, Any]]:
        """Take the file's lock, open it and return its commands, oldest first.

        Raises:
            OutboxInUse: another client has it, here or in another process.
            OutboxOfAnother: it holds commands for another session.
            OutboxFailed: it can't be opened.
        """
        with self._mutex:
            self._acquire()
            try:
                self._open(owner)
            except BaseException:
                self._release()
                raise
            return list(self._commands.values())

    def add(self, command: dict[str, Any]) -> None:
        """Keep the command; it is on the disk when this returns.

        Raises:
            OutboxFailed: it could not be written (a full disk); the file is as it was.
        """
        with self._mutex:
            try:
                self._append({"add": command}, is_durable=True)
            except OSError as error:
                raise OutboxFailed(self._path, error.strerror or type(error).__name__) from error
            self._commands[command["id"]] = command

    def remove(self, command_id: str) -> None:
        """Forget the command; a failure is logged, since it only means that the command is sent once more."""
        with self._mutex:
            if self._file is None or self._commands.pop(command_id, None) is None:
                return
            try:
                self._append({"remove": command_id}, is_durable=False)
                if self._lines >= max(_COMPACT_FROM_LINES, _COMPACT_RATIO * len(self._commands)):
                    self._rewrite()
            except OSError as error:
                log.warning("the outbox could not be shortened: %s", error.strerror)

    def close(self) -> None:
        """Let other clients have the file."""
        with self._mutex:
            self._release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise OutboxInUse(self._path) from None
        except OSError as error:
            raise OutboxFailed(self._path, error.strerror or type(error).__name__) from error

    def _release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._lock.release()

    def _open(self, owner: str) -> None:
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, OWNER_ONLY)
            os.fchmod(self._file, OWNER_ONLY)
            self._read(self._path.read_bytes())
            if self._owner not in {"", owner} and self._commands:
                raise OutboxOfAnother(self._path, self._owner, owner)
            if self._owner != owner:
                self._owner = owner
                self._rewrite()
        except OSError as error:
            raise OutboxFailed(self._path, error.strerror or type(error).__name__) from error

    def _read(self, content: bytes) -> None:
        """Fold the lines; what stands after the last whole one is overwritten by the next."""
        self._owner, self._commands = "", {}
        whole, newline, _ = content.rpartition(b"\n")
        self._size_bytes = len(whole) + len(newline)
        lines = whole.split(b"\n") if newline else []
        self._lines = len(lines)
        unreadable = sum(not self._apply(line) for line in lines)
        if unreadable:
            log.warning("%d lines of an outbox are unreadable and left out: the disk changed them", unreadable)

    def _apply(self, line: bytes) -> bool:
        """Do what one line says; return False where it can't be read."""
        try:
            match json.loads(line):
                case {"add": {"id": str(command_id), "type": str()} as command}:
                    self._commands[command_id] = command
                case {"remove": str(command_id)}:
                    self._commands.pop(command_id, None)
                case {"owner": str(owner)}:
                    self._owner = owner
                case _:
                    return False
        except ValueError:
            return False
        return True

    def _append(self, entry: dict[str, Any], *, is_durable: bool) -> None:
        if self._file is None:
            raise OSError(errno.EBADF, "it is closed")
        line = _line(entry)
        try:
            write_all(self._file, line, self._size_bytes)
            if is_durable:
                os.fsync(self._file)
        except OSError:
            self._take_back()
            raise
        self._size_bytes += len(line)
        self._lines += 1

    def _take_back(self) -> None:
        """Remove what was refused, which must not be found later; where that fails too, take nothing any more."""
        if self._file is None:
            return
        try:
            os.ftruncate(self._file, self._size_bytes)
        except OSError:
            os.close(self._file)
            self._file = None

    def _rewrite(self) -> None:
        """Put a file in place that holds what counts and nothing else: the old or the new one, never half."""
        content = _line({"owner": self._owner}) + b"".join(_line({"add": each}) for each in self._commands.values())
        aside = self._path.with_name(f"{self._path.name}.new")
        fresh = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
        try:
            write_all(fresh, content, 0)
            os.fsync(fresh)
            aside.replace(self._path)
        except OSError:
            os.close(fresh)
            raise
        if self._file is not None:
            os.close(self._file)
        # From here on the old file has no name: what were added to it would be lost.
        self._file, self._size_bytes, self._lines = fresh, len(content), 1 + len(self._commands)
        sync(self._path.absolute().parent)


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"
