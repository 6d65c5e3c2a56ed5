"""What both clients share: the protocol without I/O, threads or clock, and the session as received."""

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

from websockets.exceptions import WebSocketException

from ..core.message_ids import new_message_id
from ..core.session_dicts import SessionFields
from ..errors import InvalidInput, StepkeepError
from .command import DRAFT, PendingCommand, SendQueue
from .errors import ClientClosed, CommandRefused, Rejected
from .messages import AckMessage, ServerMessage, StateMessage
from .timeouts import ABNORMAL_CLOSURE, INTERNAL_ERROR, ClientTimeouts
from .transport import close_code, encode

log = logging.getLogger("stepkeep.client")

TRANSIENT_ERRORS = frozenset({"unavailable", "rate_limited"})
"""Codes after which a command stays in the outbox."""

MAX_UNANSWERED = 32
"""So that a long outbox is sent no faster than the server works."""


class Answered(NamedTuple):
    """A command with its final answer."""

    command: PendingCommand
    result: AckMessage | StepkeepError


def new_command(kind: str, fields: dict[str, object]) -> tuple[PendingCommand, str]:
    text = encode({"type": kind, "id": new_message_id(), **fields})
    return PendingCommand(json.loads(text)), text  # the caller may change the value


class ClientProtocol:
    """A client's state; ``failure`` is why it is not open. Not thread-safe; times are monotonic."""

    def __init__(self, timeouts: ClientTimeouts) -> None:
        self._timeouts = timeouts
        self._queue = SendQueue()
        self._commands: dict[str, PendingCommand] = {}
        self.failure: StepkeepError | None = ClientClosed()
        self.is_online = False
        self.state: StateMessage | None = None
        self.session: SessionFields | None = None
        self.version = 0
        self._is_connected = False
        self._began_at = 0.0
        self._was_online = False
        self._has_resolved = False
        self._failures = 0
        self._paused_until = 0.0
        self._pauses = 0

    @property
    def unacknowledged(self) -> int:
        return len(self._commands)

    # --------------------------------------------------------------------------------------------- commands

    def open(self, stored: Iterable[dict[str, Any]]) -> list[str]:
        """Queue an outbox's commands; return the ids of those that no server accepts."""
        refused = []
        for command in stored:
            try:
                self.add(PendingCommand(command), encode(command))
            except InvalidInput as error:
                log.error("Removed the command %s from the outbox: %s", command["id"], error.message)  # noqa: TRY400 - no traceback: it may hold the answer
                refused.append(command["id"])
        self.failure = None
        return refused

    def check_open(self) -> None:
        if self.failure is not None:
            raise self.failure

    def add(self, command: PendingCommand, text: str) -> None:
        self._commands[command.id] = command
        self._queue.add(command.id, text)

    def add_draft(self, text: str) -> None:
        self.check_open()
        self._queue.add(DRAFT, text)

    def next_message(self, now: float) -> tuple[str, str] | float | None:
        """Return the key and text to send, the seconds to wait, or None: until something changes."""
        pause_s = self._paused_until - now
        if pause_s > 0:
            return pause_s
        return self._queue.take(MAX_UNANSWERED) if self.is_online else None

    def mark_sent(self, key: str) -> None:
        if key == DRAFT:
            self._queue.remove_sent_draft()

    def stop(self, failure: StepkeepError) -> list[PendingCommand]:
        """Stop; the caller resolves the returned commands."""
        self.failure = failure
        self.is_online = False
        return list(self._commands.values())

    # ------------------------------------------------------------------------------------------- connections

    def begin_attempt(self, now: float) -> None:
        self._was_online = self._has_resolved = False
        self._began_at = now

    def connect(self) -> None:
        self._is_connected = True

    def disconnect(self) -> None:
        self.is_online = self._is_connected = False
        self._paused_until = 0.0
        self._queue.rewind()

    def end_attempt(self, error: Exception | None, now: float) -> float:
        """Return the seconds until the next attempt; may raise PermanentlyRefused."""
        code, problem = ABNORMAL_CLOSURE, "unexpected error"
        if error is None or isinstance(error, OSError | WebSocketException | ValueError):  # not JSON: not this server
            code, reason = (code, "") if error is None else close_code(error)
            is_short = now - self._began_at < self._timeouts.connect_delay_max_s
            is_useless = not self._has_resolved and (code == INTERNAL_ERROR or is_short)
            problem = (reason or "closed") if is_useless or not self._was_online else ""
        else:
            log.error("Unexpected error in connection attempt %d.", self._failures + 1, exc_info=error)
        self._failures = self._failures + 1 if problem else 0
        if problem:
            log.info("Connection attempt %d failed: %d %s.", self._failures, code, problem)
        return self._timeouts.reconnect_after_s(code, self._failures)

    # --------------------------------------------------------------------------------------------- messages

    def receive(self, message: dict[str, Any], now: float) -> Answered | None:
        self._update_session(message)
        return self._apply_answer(message, now)

    def _update_session(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "state", "version": int(version)}:
                self.version = version  # even if lower: the session was erased or restored
                self.state = cast("StateMessage", message)
                self._was_online = True
                self.is_online = self._is_connected and self.failure is None
            case {"type": "ack" | "sync", "version": int(version)}:
                self.version = max(self.version, version)
            case _:
                pass
        if isinstance(message.get("session"), dict):
            self.session = cast("SessionFields", message["session"])

    def _apply_answer(self, message: dict[str, Any], now: float) -> Answered | None:
        command = self._commands.get(message["id"]) if isinstance(message.get("id"), str) else None
        if command is None:
            return None
        match message:
            case {"type": "pending"}:
                command.is_pending = True
                self._queue.mark_answered(command.id)
                return None
            case {"type": "error", "code": code} if code in TRANSIENT_ERRORS:
                self._pause(now)
                return None
            case {"type": "ack"}:
                result: AckMessage | StepkeepError = cast("AckMessage", message)
            case {"type": "reject"}:
                result = Rejected(str(message.get("code")), str(message.get("message")), message.get("fields"))
            case {"type": "error"}:
                result = CommandRefused(str(message.get("code")), str(message.get("message")))
            case _:
                return None
        self._pauses = 0
        self._has_resolved = True
        self._queue.remove(command.id)
        del self._commands[command.id]
        return Answered(command, result)

    def _pause(self, now: float) -> None:
        self._paused_until = now + self._timeouts.resend_after_s(self._pauses)
        self._pauses += 1
        self._queue.rewind()  # to send again from the oldest command, so that the order is kept


class ReceivedSession:
    """The session as a client has received it, and the client's listener."""

    def __init__(self, timeouts: ClientTimeouts, listener: Callable[[ServerMessage], None] | None) -> None:
        self._timeouts = timeouts
        self._listener = listener
        self._protocol = ClientProtocol(timeouts)

    @property
    def is_online(self) -> bool:
        """Whether the open connection has received the session's state."""
        return self._protocol.is_online

    @property
    def unacknowledged(self) -> int:
        return self._protocol.unacknowledged

    @property
    def session(self) -> SessionFields | None:
        """As last received, pending commands included; None before."""
        return self._protocol.session

    @property
    def version(self) -> int:
        """The newest one received that is committed, or 0."""
        return self._protocol.version

    def _call_listener(self, message: dict[str, Any]) -> None:
        if self._listener is None:
            return
        try:
            self._listener(cast("ServerMessage", message))
        except Exception:
            log.exception("The listener failed; the client continues.")


def answer_fields(step: str, value: object, *, confirmed: bool) -> dict[str, object]:
    return {"step": step, "value": value, **({"confirmed": True} if confirmed else {})}
