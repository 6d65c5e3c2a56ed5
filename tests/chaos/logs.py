"""A client's log: every command that it sent and every message that it received, in order.

In memory for the checker, and on disk as JSON lines for debugging.
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

from app.survey.snapshot import SessionKey

FINAL = frozenset({"ack", "reject"})


@dataclass(frozen=True, slots=True)
class SentCommand:
    """A command that a participant sent.

    Attributes:
        at_s: monotonic time before the command was passed to the client.
        id: None for a draft.
        command: as in docs/protocol.md, without its id.
        is_invalid: rejected by the survey in any state.
    """

    at_s: float
    id: str | None
    command: Mapping[str, Any]
    is_invalid: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the server, with hashes of its session with and without the draft."""

    at_s: float
    type: str
    id: str | None = None
    version: int | None = None
    duplicate: bool = False
    resumed: bool | None = None
    code: str | None = None
    session_hash: bytes | None = None
    hash_without_draft: bytes | None = None

    @classmethod
    def from_message(cls, message: Mapping[str, Any], at_s: float) -> "Received":
        """Return the logged part of a message."""
        session = message.get("session")
        fields = {name: message[name] for name in ("id", "version", "duplicate", "resumed", "code") if name in message}
        if session is not None:
            fields["session_hash"], fields["hash_without_draft"] = session_hashes(session)
        return cls(at_s=at_s, type=message["type"], **fields)


@dataclass
class ClientLog:
    """The log of one client of one session, continued by its next connection with the same outbox.

    Attributes:
        is_refused: whether the server refused the token.
    """

    client: str
    survey_id: str
    user_id: str
    file: TextIO | None = None
    sent: list[SentCommand] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    answered: dict[str, Received] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    newest: Mapping[str, Any] | None = None
    acknowledged_s: float = 0.0
    is_refused: bool = False

    @property
    def key(self) -> SessionKey:
        """The session."""
        return SessionKey(self.survey_id, self.user_id)

    @property
    def participant(self) -> str:
        """The participant: the client ``p3v7`` is the seventh visit of p3."""
        return self.client.split("v")[0]

    def record_sent(
        self, at_s: float, command_id: str | None, command: Mapping[str, Any], *, is_invalid: bool = False
    ) -> None:
        """Record a command that was sent."""
        self.sent.append(SentCommand(at_s, command_id, command, is_invalid))
        self._write({"at": at_s, "sent": command_id, "command": command, "is_invalid": is_invalid})

    def record_received(self, message: Mapping[str, Any]) -> Received:
        """Record and return a message that was received."""
        at_s = time.monotonic()
        received = Received.from_message(message, at_s)
        with self.changed:
            self.received.append(received)
            if received.id is not None and received.type in FINAL:
                self.answered.setdefault(received.id, received)
            if received.type == "ack":
                self.acknowledged_s = at_s
            self.newest = message.get("session", self.newest)
            self.changed.notify_all()
        self._write({"at": at_s, "received": message})
        return received

    def note(self, text: str) -> None:
        """Record another event, such as a reconnection."""
        self._write({"at": time.monotonic(), "note": text})

    def unanswered(self) -> list[SentCommand]:
        """Return the commands without a final answer."""
        return [sent for sent in list(self.sent) if sent.id is not None and sent.id not in self.answered]

    def wait_for_answer(self, command_id: str, timeout_s: float) -> bool:
        """Return whether the command was answered before the timeout."""
        with self.changed:
            return self.changed.wait_for(lambda: command_id in self.answered, timeout_s)

    def wait_for_session(self, timeout_s: float) -> Mapping[str, Any] | None:
        """Return the newest session received; None after the timeout."""
        with self.changed:
            self.changed.wait_for(lambda: self.newest is not None, timeout_s)
            return self.newest

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.file is not None:
            self.file.write(json.dumps({"client": self.client, "user": self.user_id, **line}) + "\n")


def open_file(folder: Path, name: str) -> TextIO:
    """Return a new, line-buffered file of JSON lines."""
    return (folder / f"{name}.jsonl").open("w", buffering=1)


def session_hashes(session: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return a hash of a message's session, and one without its draft."""
    without = {name: value for name, value in session.items() if name != "draft"}
    bare = orjson.dumps(without, option=orjson.OPT_SORT_KEYS)
    draft = orjson.dumps(session.get("draft"), option=orjson.OPT_SORT_KEYS)
    return _hash(bare + draft), _hash(bare)


def _hash(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=12).digest()
