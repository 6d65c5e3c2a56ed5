"""Outboxes: the client's unacknowledged commands, in order, in memory or in a file that outlives the process.

A command is a message of docs/protocol.md: a dictionary with type and id.
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
from .errors import OutboxFailed, OutboxInUse, OutboxOwnerMismatch

log = logging.getLogger("stepkeep.client")

_COMPACT_FROM_LINES = 128
"""Shorter files are not compacted, which takes two flushes."""

_COMPACT_RATIO = 4
"""A file is compacted when at most one line in so many is still needed: a quarter line per command, on average."""


class Outbox(Protocol):
    """What the client needs of an outbox. It never calls two methods at once."""

    def load(self, owner: str) -> list[dict[str, Any]]:
        """Open the outbox of the session ``owner``; return its commands, oldest first."""
        ...

    def add(self, command: dict[str, Any]) -> None:
        """Store the command as durably as the outbox can before returning."""
        ...

    def remove(self, command_id: str) -> None:
        """Remove the command if it is there; never raises."""
        ...

    def close(self) -> None:
        """Release the outbox for other clients; its commands stay."""
        ...


class MemoryOutbox:
    """Keeps commands for the life of this object, which a later client can use."""

    def __init__(self) -> None:
        self._commands: dict[str, dict[str, Any]] = {}

    def load(self, owner: str) -> list[dict[str, Any]]:  # noqa: ARG002 - the object belongs to its creator
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
    """Keeps commands in a file of JSON lines that only its owner can read (mode 0600).

    Each line is ``{"owner": session}``, ``{"add": command}`` or ``{"remove": id}``. An addition is on the disk (fsync)
    before :meth:`add` returns. A removal need not be: if it is lost, the command is sent again, and the server knows
    its id. A crash leaves at most one incomplete last line, of a command that was not accepted; it is overwritten.

    Args:
        path: the file, which is created if missing; its folder is not. Its lock is ``path.lock``.
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
        """Lock and open the file; return its commands, oldest first.

        Raises:
            OutboxInUse: another client has the file open, in this or another process.
            OutboxOwnerMismatch: the file has commands of another session.
            OutboxFailed: the file can't be opened.
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
        """Write the command to the disk.

        Raises:
            OutboxFailed: it could not be written, e.g. to a full disk; the file is unchanged.
        """
        with self._mutex:
            try:
                self._append({"add": command}, is_durable=True)
            except OSError as error:
                raise OutboxFailed(self._path, error.strerror or type(error).__name__) from error
            self._commands[command["id"]] = command

    def remove(self, command_id: str) -> None:
        """Remove the command; a failure is only logged, since it means just that the command is sent again."""
        with self._mutex:
            if self._file is None or self._commands.pop(command_id, None) is None:
                return
            try:
                self._append({"remove": command_id}, is_durable=False)
                if self._lines >= max(_COMPACT_FROM_LINES, _COMPACT_RATIO * len(self._commands)):
                    self._rewrite()
            except OSError as error:
                log.warning("A command could not be removed from the outbox: %s", error.strerror)

    def close(self) -> None:
        """Release the file for other clients."""
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
                raise OutboxOwnerMismatch(self._path, self._owner, owner)
            if self._owner != owner:
                self._owner = owner
                self._rewrite()
        except OSError as error:
            raise OutboxFailed(self._path, error.strerror or type(error).__name__) from error

    def _read(self, content: bytes) -> None:
        """Apply the lines; an incomplete last one is overwritten by the next."""
        self._owner, self._commands = "", {}
        whole, newline, _ = content.rpartition(b"\n")
        self._size_bytes = len(whole) + len(newline)
        lines = whole.split(b"\n") if newline else []
        self._lines = len(lines)
        unreadable = sum(not self._apply(line) for line in lines)
        if unreadable:
            log.warning("Skipped %d unreadable lines of an outbox; the file was damaged.", unreadable)

    def _apply(self, line: bytes) -> bool:
        """Apply a line; return False if it is unreadable."""
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
            raise OSError(errno.EBADF, "closed")
        line = _line(entry)
        try:
            write_all(self._file, line, self._size_bytes)
            if is_durable:
                os.fsync(self._file)
        except OSError:
            self._undo_append()
            raise
        self._size_bytes += len(line)
        self._lines += 1

    def _undo_append(self) -> None:
        """Cut off a refused command, or else accept no more commands, so that it is never loaded."""
        if self._file is None:
            return
        try:
            os.ftruncate(self._file, self._size_bytes)
        except OSError:
            os.close(self._file)
            self._file = None

    def _rewrite(self) -> None:
        """Replace the file by one with the remaining commands only, atomically."""
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
        # The old file has lost its name, and further additions to it would be lost.
        self._file, self._size_bytes, self._lines = fresh, len(content), 1 + len(self._commands)
        sync(self._path.absolute().parent)


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"
