"""Where the client keeps the commands that are not acknowledged yet: in memory, or in a file that survives it.

A command is its message of PROTOCOL.md: a dictionary with type and id. An outbox keeps the order in which
commands were added; it decides nothing. Imports nothing of the server; the client imports it.
"""

import contextlib
import errno
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from app import exact_json
from app.errors import ConfigurationError, InvalidInput, InvalidJson, Unavailable

log = logging.getLogger("stepkeep.client")

MAX_COMMAND_BYTES = 64 * 1024
"""The server closes a connection with 1009 over a longer message (PROTOCOL.md)."""

_COMPACT_FROM_LINES = 128
"""A file shorter than this is not worth a rewrite, with its two flushes."""

_COMPACT_RATIO = 4
"""Rewritten when at most one line in so many still counts: a rewrite then costs each command a quarter line."""


class OutboxInUse(ConfigurationError):
    """Another client has the outbox file."""

    code = "outbox_in_use"

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is used by another client: one at a time; give each participant a file of his own")


class OutboxOfAnother(ConfigurationError):
    """The outbox file holds commands for another session: they must not become this one's answers."""

    code = "outbox_of_another"

    def __init__(self, path: Path, owner: str, wanted: str) -> None:
        self.path = path
        self.owner = owner
        self.wanted = wanted
        super().__init__(f"{path} holds commands for {owner}, not for {wanted}: give each session a file of its own")


class OutboxFailed(Unavailable):
    """The outbox file can't be read or written; the command was not taken."""

    code = "outbox_failed"

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"the outbox {path} does not work ({problem}): the command was not taken, give it again")


class CommandTooLarge(InvalidInput):
    """A command that the server would refuse for its size; it was not taken."""

    code = "too_large"

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"the command has {size_bytes} bytes as JSON; at most {MAX_COMMAND_BYTES} can be sent")


class NotSendable(InvalidInput):
    """A value that JSON, or one of the server's databases, can't hold; the command was not taken."""

    code = "not_sendable"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the value can't be sent: {problem}")


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
        self._lock = FileLock(f"{self._path}.lock", thread_local=False, mode=0o600)
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
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            os.fchmod(self._file, 0o600)
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
            _write_all(self._file, line, self._size_bytes)
            if is_durable:
                os.fsync(self._file)
        except OSError:
            # What was refused must not be found later; if this fails too, it is a torn line.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size_bytes)
            raise
        self._size_bytes += len(line)
        self._lines += 1

    def _rewrite(self) -> None:
        """Put a file in place that holds what counts and nothing else: the old or the new one, never half."""
        content = _line({"owner": self._owner}) + b"".join(_line({"add": each}) for each in self._commands.values())
        aside = self._path.with_name(f"{self._path.name}.new")
        fresh = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(fresh, content, 0)
            os.fsync(fresh)
            aside.replace(self._path)
        except OSError:
            os.close(fresh)
            raise
        if self._file is not None:
            os.close(self._file)
        # From here on the old file has no name: what were added to it would be lost.
        self._file, self._size_bytes, self._lines = fresh, len(content), 1 + len(self._commands)
        _sync_folder(self._path.parent)


def encode(command: dict[str, Any]) -> str:
    """Return the message's text, as it is sent.

    Raises:
        NotSendable: a value that the server would not take, whoever sent it.
        CommandTooLarge: more than 64 KiB.
    """
    try:
        exact_json.check(command, "the command", exact_json.MAX_DEPTH + 1)
    except InvalidJson as error:
        raise NotSendable(error.message) from error
    text = exact_json.encode(command)
    size_bytes = len(text.encode())
    if size_bytes > MAX_COMMAND_BYTES:
        raise CommandTooLarge(size_bytes)
    return text


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _write_all(file: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def _sync_folder(folder: Path) -> None:
    """Make a new name last (fsync(2): the file's own fsync does not)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
