"""SurveyClient: one thread connects and receives, another sends."""

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

from ..core.message_ids import new_message_id
from ..errors import InvalidInput, StepkeepError
from .command import DRAFT, PendingCommand, SendQueue
from .errors import ClientClosed, CommandRefused, PermanentlyRefused, Rejected
from .outbox import MemoryOutbox, Outbox
from .timeouts import ABNORMAL_CLOSURE, DEFAULT_TIMEOUTS, INTERNAL_ERROR, ClientTimeouts
from .transport import authorization_header, close_code, encode, open_connection, send, socket_url

log = logging.getLogger("stepkeep.client")

TRANSIENT_ERRORS = frozenset({"unavailable", "rate_limited"})
"""Codes after which a command stays in the outbox."""

MAX_UNANSWERED = 32
"""So that a long outbox is sent no faster than the server works."""


class SurveyClient:
    """One participant's connection to one survey. Thread-safe.

    Args:
        origin: ``https://host/prefix``; the prefix is a proxy's.
        survey_id: None for the server's only or default survey.
        is_audio_mode: of a new session.
        token: the part of the link after ``#``, or an API key with ``sessions:write``; unnecessary in development. Use
            ``https://``: it is sent.
        outbox: None keeps commands in memory.
        listener: gets every message, in order, in a client thread, before the command's result is set; must be quick.

    Raises:
        InvalidInput: the origin is invalid, or the token (BadToken).
    """

    def __init__(  # noqa: PLR0913 - keywords, most of them optional
        self,
        origin: str,
        user_id: str,
        *,
        survey_id: str | None = None,
        is_audio_mode: bool = False,
        token: str | None = None,
        outbox: Outbox | None = None,
        timeouts: ClientTimeouts = DEFAULT_TIMEOUTS,
        listener: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._url = socket_url(origin, user_id, survey_id, is_audio_mode=is_audio_mode)
        self._headers = authorization_header(token)
        self._owner = f"{user_id} in {survey_id or 'the default survey'}"
        self._outbox = MemoryOutbox() if outbox is None else outbox
        self._timeouts = timeouts
        self._listener = listener
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._queue = SendQueue()
        self._commands: dict[str, PendingCommand] = {}
        self._threads: tuple[threading.Thread, ...] = ()
        self._connection: ClientConnection | None = None
        self._is_online = False
        self._was_online = False
        self._has_resolved = False
        self._failure: StepkeepError | None = ClientClosed()
        self._state: dict[str, Any] | None = None
        self._session: dict[str, Any] | None = None
        self._version = 0
        self._paused_until = 0.0
        self._pauses = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_online(self) -> bool:
        """Whether the session's state has arrived on an open connection."""
        return self._is_online

    @property
    def unacknowledged(self) -> int:
        with self._changed:
            return len(self._commands)

    @property
    def session(self) -> dict[str, Any] | None:
        """As last received, pending commands included; None before."""
        return self._session

    @property
    def version(self) -> int:
        """The newest committed version received, or 0."""
        return self._version

    def start(self) -> None:
        """Load the outbox and connect in the background; idempotent.

        Raises:
            OutboxInUse, OutboxOwnerMismatch, OutboxFailed: see there.
            ClientClosed: create a new client.
        """
        with self._changed:
            if self._closing.is_set():
                raise ClientClosed
            if self._threads:
                return
            for command in self._outbox.load(self._owner):
                self._enqueue_stored(command)
            self._failure = None
            self._threads = tuple(
                threading.Thread(target=work, name=name, daemon=True)
                for name, work in (("stepkeep-client", self._run), ("stepkeep-client-send", self._send_all))
            )
        for thread in self._threads:
            thread.start()

    def wait_until_online(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait for a connection; return the newest ``state`` message.

        Raises:
            TimeoutError: not yet; the client keeps trying.
            PermanentlyRefused, ClientClosed: the client has stopped.
        """
        with self._changed:
            in_time = self._changed.wait_for(lambda: self._is_online or self._failure is not None, timeout_s)
            if self._failure is not None:
                raise self._failure
            if not in_time or self._state is None:
                raise TimeoutError(f"not online within {timeout_s} s")
            return self._state

    def close(self, timeout_s: float = 5) -> None:
        """Close; unacknowledged commands stay in the outbox and raise ClientClosed."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            if self._closing.is_set():
                return
            self._closing.set()
            connection = self._connection
        unresolved = self._stop(ClientClosed())
        if connection is not None:
            connection.close_timeout = min(timeout_s, self._timeouts.close_timeout_s)
            connection.close()
        for thread in self._threads:
            # The listener may close the client before all threads run.
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        self._outbox.close()
        for command in unresolved:
            command.resolve(ClientClosed())

    def answer(self, step: str, value: object) -> PendingCommand:
        """Answer a step: the current one, or another on the path.

        Raises, like all commands, before the outbox has it:
            NotSendable, CommandTooLarge: it could never be sent.
            OutboxFailed: the outbox can't be written.
            PermanentlyRefused, ClientClosed: the client has stopped.
        """
        return self._submit("answer", step=step, value=value)

    def back(self) -> PendingCommand:
        return self._submit("back")

    def goto(self, step: str) -> PendingCommand:
        return self._submit("goto", step=step)

    def set_mode(self, *, audio: bool) -> PendingCommand:
        return self._submit("mode", audio=audio)

    def restart(self) -> PendingCommand:
        return self._submit("restart")

    def draft(self, step: str, value: object) -> None:
        """Send a draft, kept in memory only; a newer one replaces it."""
        text = encode({"type": "draft", "step": step, "value": value})
        with self._changed:
            self._check_open()
            self._queue.add(DRAFT, text)
            self._changed.notify_all()

    def _submit(self, kind: str, **fields: object) -> PendingCommand:
        text = encode({"type": kind, "id": new_message_id(), **fields})
        command = PendingCommand(json.loads(text))  # the caller may change the value
        with self._changed:
            self._check_open()
            self._outbox.add(command.command)  # under the lock: outbox and queue have the same order
            self._enqueue(command, text)
            self._changed.notify_all()
        return command

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _enqueue(self, command: PendingCommand, text: str) -> None:
        self._commands[command.id] = command
        self._queue.add(command.id, text)

    def _enqueue_stored(self, command: dict[str, Any]) -> None:
        """Queue a command, or remove what the server would refuse at every connection."""
        try:
            self._enqueue(PendingCommand(command), encode(command))
        except InvalidInput as error:
            log.error("Removed the command %s from the outbox: %s", command["id"], error.message)  # noqa: TRY400 - no traceback: it may hold the answer
            self._outbox.remove(command["id"])

    # ------------------------------------------------------------------- the thread that connects and receives

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            code, problem = ABNORMAL_CLOSURE, "unexpected error"
            try:
                code, problem = self._connect_and_receive()
            except PermanentlyRefused as error:
                for command in self._stop(error):
                    command.resolve(error)
                return
            except Exception:
                log.exception("Unexpected error in connection attempt %d.", failures + 1)
            failures = failures + 1 if problem else 0
            if problem:
                log.info("Connection attempt %d failed: %d %s.", failures, code, problem)
            self._closing.wait(self._timeouts.reconnect_after_s(code, failures))

    def _connect_and_receive(self) -> tuple[int, str]:
        """Receive until the connection ends; return its close code, and the problem unless it was useful.

        Raises:
            PermanentlyRefused: further attempts would be refused, too.
        """
        self._was_online = self._has_resolved = False
        began_at = time.monotonic()
        code, reason = ABNORMAL_CLOSURE, "closed"
        try:
            with open_connection(self._url, self._headers, self._timeouts) as connection:
                try:
                    self._receive_all(connection)
                finally:
                    self._lose(connection)
        except (OSError, WebSocketException, ValueError) as error:  # ValueError: not JSON, so not this server
            code, reason = close_code(error)
        is_short = time.monotonic() - began_at < self._timeouts.connect_delay_max_s
        is_useless = not self._has_resolved and (code == INTERNAL_ERROR or is_short)
        return code, (reason or "closed") if is_useless or not self._was_online else ""

    def _receive_all(self, connection: ClientConnection) -> None:
        with self._changed:
            self._connection = connection
        while not self._closing.is_set():
            timeout_s = None if self._is_online else self._timeouts.state_timeout_s
            message = json.loads(connection.recv(timeout_s))
            if isinstance(message, dict):
                self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        with self._changed:
            self._update_session(message)
            answered = self._apply_answer(message)
            self._changed.notify_all()
        self._call_listener(message)
        if answered is not None:
            command, result = answered
            command.resolve(result)

    def _update_session(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "state", "version": int(version)}:
                self._version = version  # even if lower: the session was erased or restored
                self._state = message
                self._was_online = True
                self._is_online = self._connection is not None and self._failure is None
            case {"type": "ack" | "sync", "version": int(version)}:
                self._version = max(self._version, version)
            case _:
                pass
        if isinstance(message.get("session"), dict):
            self._session = message["session"]

    def _apply_answer(self, message: dict[str, Any]) -> tuple[PendingCommand, dict[str, Any] | StepkeepError] | None:
        """Return the command and its result if the answer is final."""
        command = self._commands.get(message["id"]) if isinstance(message.get("id"), str) else None
        if command is None:
            return None
        match message:
            case {"type": "pending"}:
                command.is_pending = True
                self._queue.mark_answered(command.id)
                return None
            case {"type": "error", "code": code} if code in TRANSIENT_ERRORS:
                self._pause()
                return None
            case {"type": "ack"}:
                result: dict[str, Any] | StepkeepError = message
            case {"type": "reject"}:
                result = Rejected(str(message.get("code")), str(message.get("message")))
            case {"type": "error"}:
                result = CommandRefused(str(message.get("code")), str(message.get("message")))
            case _:
                return None
        self._pauses = 0
        self._has_resolved = True
        self._queue.remove(command.id)
        self._outbox.remove(command.id)
        del self._commands[command.id]
        return command, result

    def _pause(self) -> None:
        """Then send again from the oldest command, so that the order is kept."""
        self._paused_until = time.monotonic() + self._timeouts.resend_after_s(self._pauses)
        self._pauses += 1
        self._queue.rewind()

    def _call_listener(self, message: dict[str, Any]) -> None:
        if self._listener is None:
            return
        try:
            self._listener(message)
        except Exception:
            log.exception("The listener failed; the client continues.")

    def _lose(self, connection: ClientConnection) -> None:
        with self._changed:
            if self._connection is connection:
                self._is_online, self._connection = False, None
                self._paused_until = 0.0
                self._queue.rewind()
                self._changed.notify_all()

    def _stop(self, failure: StepkeepError) -> list[PendingCommand]:
        """The caller must resolve the returned commands outside the lock."""
        with self._changed:
            self._failure = failure
            self._is_online = False
            unresolved = list(self._commands.values())
            self._changed.notify_all()
        return unresolved

    # ------------------------------------------------------------------------------------ the thread that sends

    def _send_all(self) -> None:
        while (message := self._next()) is not None:
            connection, key, text = message
            try:
                send(connection, text, self._timeouts, self._closing)
            except (OSError, WebSocketException) as error:
                log.info("A message could not be sent (%s); reconnecting.", type(error).__name__)
                self._lose(connection)
                connection.close()
            else:
                if key == DRAFT:
                    with self._changed:
                        self._queue.remove_sent_draft()

    def _next(self) -> tuple[ClientConnection, str, str] | None:
        """None when the client has stopped."""
        with self._changed:
            while self._failure is None:
                pause_s = self._paused_until - time.monotonic()
                if self._is_online and self._connection is not None and pause_s <= 0:
                    message = self._queue.take(MAX_UNANSWERED)
                    if message is not None:
                        return self._connection, *message
                self._changed.wait(pause_s if pause_s > 0 else None)
            return None
