"""What a client did and saw: every command that was given to it, every message that it received, in order.

In memory for the checker, and as JSON lines on disk for whoever has to find out what happened.
"""

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import orjson

FINAL = frozenset({"ack", "reject"})


@dataclass(frozen=True, slots=True)
class Given:
    """A command that a participant gave.

    Attributes:
        at_s: by the monotonic clock, before it was handed to the client.
        id: None for a draft, which has none.
        command: as docs/protocol.md writes it, without its id.
        is_wrong: the survey's rules refuse it whatever the session is.
    """

    at_s: float
    id: str | None
    command: Mapping[str, Any]
    is_wrong: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A server's message; of the session that it shows, a hash of it with and without its draft."""

    at_s: float
    type: str
    id: str | None = None
    version: int | None = None
    duplicate: bool = False
    resumed: bool | None = None
    code: str | None = None
    shown: bytes | None = None
    shown_without_draft: bytes | None = None

    @classmethod
    def of(cls, message: Mapping[str, Any], at_s: float) -> "Received":
        """Return what is kept of a message."""
        session = message.get("session")
        kept = {name: message[name] for name in ("id", "version", "duplicate", "resumed", "code") if name in message}
        if session is not None:
            kept["shown"], kept["shown_without_draft"] = hashes_of(session)
        return cls(at_s=at_s, type=message["type"], **kept)


@dataclass
class ClientLog:
    """The log of one client of one session; one that comes back with the outbox it left goes on with it."""

    client: str
    survey_id: str
    user_id: str
    file: TextIO | None = None
    given: list[Given] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    answered: dict[str, Received] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    newest: Mapping[str, Any] | None = None
    acknowledged_s: float = 0.0

    @property
    def participant(self) -> str:
        """Whose it is: ``p3v7`` is the seventh visit of p3."""
        return self.client.split("v")[0]

    def give(self, at_s: float, command_id: str | None, command: Mapping[str, Any], *, is_wrong: bool = False) -> None:
        """Keep a command that was given."""
        self.given.append(Given(at_s, command_id, command, is_wrong))
        self._write({"at": at_s, "given": command_id, "command": command, "is_wrong": is_wrong})

    def receive(self, message: Mapping[str, Any]) -> Received:
        """Keep a message that arrived; return what is kept of it."""
        at_s = time.monotonic()
        kept = Received.of(message, at_s)
        with self.changed:
            self.received.append(kept)
            if kept.id is not None and kept.type in FINAL:
                self.answered.setdefault(kept.id, kept)
            if kept.type == "ack":
                self.acknowledged_s = at_s
            self.newest = message.get("session", self.newest)
            self.changed.notify_all()
        self._write({"at": at_s, "received": message})
        return kept

    def note(self, what: str) -> None:
        """Keep what else happened to the client: it left, came back."""
        self._write({"at": time.monotonic(), "note": what})

    def unanswered(self) -> list[Given]:
        """Return the commands that have no final answer yet."""
        return [given for given in list(self.given) if given.id is not None and given.id not in self.answered]

    def wait_for_answer(self, command_id: str, timeout_s: float) -> bool:
        """Return whether the command was answered in time."""
        with self.changed:
            return self.changed.wait_for(lambda: command_id in self.answered, timeout_s)

    def wait_for_session(self, timeout_s: float) -> Mapping[str, Any] | None:
        """Return the session as it was shown last; None if none was in time."""
        with self.changed:
            self.changed.wait_for(lambda: self.newest is not None, timeout_s)
            return self.newest

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.file is not None:
            self.file.write(json.dumps({"client": self.client, "user": self.user_id, **line}) + "\n")


def open_file(folder: Path, name: str) -> TextIO:
    """Return a file of JSON lines that is written line by line."""
    return (folder / f"{name}.jsonl").open("w", buffering=1)


def hashes_of(session: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return a hash of a session as it is shown, and one without its draft."""
    without = {name: value for name, value in session.items() if name != "draft"}
    bare = orjson.dumps(without, option=orjson.OPT_SORT_KEYS)
    draft = orjson.dumps(session.get("draft"), option=orjson.OPT_SORT_KEYS)
    return _hash(bare + draft), _hash(bare)


def _hash(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=12).digest()
