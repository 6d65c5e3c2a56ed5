"""Outboxes: unacknowledged commands, which are messages of docs/protocol.md, in order."""

import contextlib
import errno
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from ..core.files import OWNER_ONLY, replace_file, write_all
from ..errors import InvalidInput
from .errors import OutboxFailed, OutboxInUse, OutboxOwnerMismatch

log = logging.getLogger("stepkeep.client")

_COMPACT_FROM_LINES = 128
"""Compaction takes two flushes."""

_COMPACT_RATIO = 4
"""Compact at one needed line in so many: a quarter line per command, on average."""


class Outbox(Protocol):
    """What the client needs, which never calls two methods at once."""

    def load(self, owner: str) -> list[dict[str, Any]]:
        """Open a session's outbox; return its commands in order."""
        ...

    def add(self, command: dict[str, Any]) -> None:
        """Return once the command is durable."""
        ...

    def remove(self, command_id: str) -> None:
        """Remove the command if present; must not raise."""
        ...

    def close(self) -> None: ...


class MemoryOutbox:
    """Keeps commands in memory, also for a later client."""

    def __init__(self) -> None:
        self._commands: dict[str, dict[str, Any]] = {}

    def load(self, owner: str) -> list[dict[str, Any]]:  # noqa: ARG002 - the object belongs to its creator
        return list(self._commands.values())

    def add(self, command: dict[str, Any]) -> None:
        self._commands[command["id"]] = command

    def remove(self, command_id: str) -> None:
        self._commands.pop(command_id, None)

    def close(self) -> None:
        pass


class FileOutbox:
    """Keeps commands in a file of mode 0600, locked by ``path.lock``. Only additions are flushed."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._mutex = threading.Lock()
        # Another thread than the opening one may close.
        self._lock = FileLock(f"{self._path}.lock", thread_local=False, mode=OWNER_ONLY)
        self._file: int | None = None
        self._commands: dict[str, dict[str, Any]] = {}
        self._owner = ""
        self._lines = 0

    def load(self, owner: str) -> list[dict[str, Any]]:
        """Lock and read the file; raises OutboxInUse, OutboxOwnerMismatch or OutboxFailed."""
        with self._mutex, self._failures():
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                raise OutboxInUse(self._path) from None
            try:
                self._open(owner)
            except BaseException:
                self._release()
                raise
            return list(self._commands.values())

    def add(self, command: dict[str, Any]) -> None:
        """Write the command to the disk, or raise OutboxFailed."""
        with self._mutex, self._failures():
            self._append({"add": command}, is_durable=True)
            self._commands[command["id"]] = command

    def remove(self, command_id: str) -> None:
        with self._mutex:
            if self._file is None or self._commands.pop(command_id, None) is None:
                return
            try:
                self._append({"remove": command_id}, is_durable=False)  # if it is lost, the command is resent
                if self._lines >= max(_COMPACT_FROM_LINES, _COMPACT_RATIO * len(self._commands)):
                    self._rewrite()
            except (OSError, InvalidInput) as error:
                log.warning("A command could not be removed from the outbox: %s", error)

    def close(self) -> None:
        with self._mutex:
            self._release()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutboxFailed(self._path, error.strerror or type(error).__name__) from error
        except InvalidInput as error:
            raise OutboxFailed(self._path, str(error)) from error

    def _release(self) -> None:
        self._close_file()
        self._lock.release()

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open_file(self) -> None:
        self._close_file()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, OWNER_ONLY)
        os.fchmod(self._file, OWNER_ONLY)

    def _open(self, owner: str) -> None:
        self._open_file()
        self._read(self._path.read_bytes())
        if self._owner not in {"", owner} and self._commands:
            raise OutboxOwnerMismatch(self._path, self._owner, owner)
        if self._owner != owner:
            self._owner = owner
            self._rewrite()

    def _read(self, content: bytes) -> None:
        self._owner, self._commands = "", {}
        *lines, incomplete = content.split(b"\n")
        if incomplete:  # left by a crash; its command was not accepted
            os.truncate(self._path, len(content) - len(incomplete))
        self._lines = len(lines)
        unreadable = sum(not self._apply(line) for line in lines)
        if unreadable:
            log.warning("Skipped %d unreadable lines of an outbox; the file was damaged.", unreadable)

    def _apply(self, line: bytes) -> bool:
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
        size_bytes = os.fstat(self._file).st_size
        try:
            write_all(self._file, _line(entry))
            if is_durable:
                os.fsync(self._file)
        except OSError:
            self._undo_append(self._file, size_bytes)
            raise
        self._lines += 1

    def _undo_append(self, file: int, size_bytes: int) -> None:
        try:
            os.ftruncate(file, size_bytes)
        except OSError:  # accept no more, so that the refused command is never loaded
            self._close_file()

    def _rewrite(self) -> None:
        commands = [{"add": command} for command in self._commands.values()]
        try:
            replace_file(self._path, map(_line, [{"owner": self._owner}, *commands]))
            self._lines = 1 + len(commands)
        finally:  # additions to a replaced file would be lost
            self._open_file()


def _line(entry: object) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"
