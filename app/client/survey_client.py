"""SurveyClient: one thread connects and receives, another sends."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

from ..errors import StepkeepError
from .command import PendingCommand
from .errors import ClientClosed, PermanentlyRefused
from .messages import ServerMessage, StateMessage
from .outbox import MemoryOutbox, Outbox
from .protocol import ReceivedSession, answer_fields, new_command
from .timeouts import DEFAULT_TIMEOUTS, ClientTimeouts
from .transport import authorization_header, encode, open_connection, send, socket_url

log = logging.getLogger("stepkeep.client")


class SurveyClient(ReceivedSession):
    """One participant's connection to one survey. Thread-safe.

    Args:
        origin: ``https://host/prefix``.
        survey_id: None for the server's only or default survey.
        language: of a new session, such as de-AT; None for the survey's own.
        parameters: of a new session: those of the survey with ``from: url``.
        token: the part of the link after ``#``, or an API key with ``sessions:write``; use ``https://``, as it is sent.
        outbox: None keeps commands in memory.
        listener: gets every message, in order, in a client thread, before the command's result is set; must be quick.

    Raises:
        InvalidInput: the origin or the token is invalid.
    """

    def __init__(  # noqa: PLR0913 - keywords, most of them optional
        self,
        origin: str,
        user_id: str,
        *,
        survey_id: str | None = None,
        is_audio_mode: bool = False,
        language: str | None = None,
        parameters: Mapping[str, str] | None = None,
        token: str | None = None,
        outbox: Outbox | None = None,
        timeouts: ClientTimeouts = DEFAULT_TIMEOUTS,
        listener: Callable[[ServerMessage], None] | None = None,
    ) -> None:
        super().__init__(timeouts, listener)
        self._url = socket_url(
            origin, user_id, survey_id, is_audio_mode=is_audio_mode, language=language, parameters=parameters
        )
        self._headers = authorization_header(token)
        self._owner = f"{user_id} in {survey_id or 'the default survey'}"
        self._outbox = MemoryOutbox() if outbox is None else outbox
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._threads: tuple[threading.Thread, ...] = ()
        self._connection: ClientConnection | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Load the outbox and connect in the background; idempotent.

        Raises:
            OutboxInUse, OutboxOwnerMismatch, OutboxFailed: the client can be started later.
        """
        with self._changed:
            if self._closing.is_set():
                raise ClientClosed
            if self._threads:
                return
            for command_id in self._protocol.open(self._outbox.load(self._owner)):
                self._outbox.remove(command_id)
            self._threads = tuple(
                threading.Thread(target=work, name=name, daemon=True)
                for name, work in (("stepkeep-client", self._run), ("stepkeep-client-send", self._send_all))
            )
        for thread in self._threads:
            thread.start()

    def wait_until_online(self, timeout_s: float | None = None) -> StateMessage:
        """Return the newest ``state`` message once connected; after a TimeoutError, the client keeps trying."""
        with self._changed:
            protocol = self._protocol
            in_time = self._changed.wait_for(lambda: protocol.is_online or protocol.failure is not None, timeout_s)
            protocol.check_open()
            if not in_time or protocol.state is None:
                raise TimeoutError(f"not online within {timeout_s} s")
            return protocol.state

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

    def answer(self, step: str, value: object, *, confirmed: bool = False) -> PendingCommand:
        """Answer a step on the path; ``confirmed`` after a Rejected with the code ``confirm``.

        Raises, as all commands:
            NotSendable, CommandTooLarge, OutboxFailed: the command was not accepted.
            PermanentlyRefused, ClientClosed: the client has stopped.
        """
        return self._submit("answer", **answer_fields(step, value, confirmed=confirmed))

    def back(self) -> PendingCommand:
        return self._submit("back")

    def goto(self, step: str) -> PendingCommand:
        return self._submit("goto", step=step)

    def set_mode(self, *, audio: bool) -> PendingCommand:
        return self._submit("mode", audio=audio)

    def set_language(self, language: str) -> PendingCommand:
        return self._submit("language", language=language)

    def restart(self) -> PendingCommand:
        return self._submit("restart")

    def draft(self, step: str, value: object) -> None:
        """Send a draft, which the outbox does not keep; a newer one replaces it."""
        text = encode({"type": "draft", "step": step, "value": value})
        with self._changed:
            self._protocol.add_draft(text)
            self._changed.notify_all()

    def _submit(self, kind: str, **fields: object) -> PendingCommand:
        command, text = new_command(kind, fields)
        with self._changed:
            self._protocol.check_open()
            self._outbox.add(command.command)  # under the lock: outbox and queue have the same order
            self._protocol.add(command, text)
            self._changed.notify_all()
        return command

    # ------------------------------------------------------------------- the thread that connects and receives

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                delay_s = self._attempt()
                self._closing.wait(delay_s)
        except PermanentlyRefused as error:
            for command in self._stop(error):
                command.resolve(error)

    def _attempt(self) -> float:
        self._protocol.begin_attempt(time.monotonic())
        failure: Exception | None = None
        try:
            with open_connection(self._url, self._headers, self._timeouts) as connection:
                try:
                    self._receive_all(connection)
                finally:
                    self._lose(connection)
        except Exception as error:  # noqa: BLE001 - the protocol logs what is unexpected
            failure = error
        return self._protocol.end_attempt(failure, time.monotonic())

    def _receive_all(self, connection: ClientConnection) -> None:
        with self._changed:
            self._connection = connection
            self._protocol.connect()
        while not self._closing.is_set():
            message = json.loads(connection.recv(None if self.is_online else self._timeouts.state_timeout_s))
            if isinstance(message, dict):
                self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        with self._changed:
            answered = self._protocol.receive(message, time.monotonic())
            if answered is not None:
                self._outbox.remove(answered.command.id)
            self._changed.notify_all()
        self._call_listener(message)
        if answered is not None:
            answered.command.resolve(answered.result)

    def _lose(self, connection: ClientConnection) -> None:
        with self._changed:
            if self._connection is connection:
                self._connection = None
                self._protocol.disconnect()
                self._changed.notify_all()

    def _stop(self, failure: StepkeepError) -> list[PendingCommand]:
        """The caller must resolve the returned commands outside the lock."""
        with self._changed:
            unresolved = self._protocol.stop(failure)
            self._changed.notify_all()
        return unresolved

    # ------------------------------------------------------------------------------------ the thread that sends

    def _send_all(self) -> None:
        while (following := self._next()) is not None:
            connection, key, text = following
            try:
                send(connection, text, self._timeouts, self._closing)
            except (OSError, WebSocketException) as error:
                log.info("A message could not be sent (%s); reconnecting.", type(error).__name__)
                self._lose(connection)
                connection.close()
            else:
                with self._changed:
                    self._protocol.mark_sent(key)

    def _next(self) -> tuple[ClientConnection, str, str] | None:
        with self._changed:
            while self._protocol.failure is None:
                following = self._protocol.next_message(time.monotonic())
                if isinstance(following, tuple) and self._connection is not None:
                    return self._connection, *following
                self._changed.wait(following if isinstance(following, float) else None)
            return None  # the client has stopped
