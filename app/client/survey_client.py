"""SurveyClient: one thread connects and receives, another sends; both from what the outbox holds."""

import json
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from ..core.message_ids import new_message_id
from ..errors import StepkeepError
from .attempts import BUSY_CODES, NotConnected, attempts, busy_delay_s, jittered
from .command import Sent, settle
from .credentials import WIRE_LOG, credentials, refusal
from .errors import ClientClosed, CommandRefused, RefusedForGood, Rejected
from .outbox import MemoryOutbox, Outbox
from .send_queue import DRAFT, SendQueue
from .timeouts import DEFAULT_TIMES, ClientTimes
from .transport import bound_unsent, encode, send, socket_url

log = logging.getLogger("stepkeep.client")

FAULT_CODE = 1011
NO_CODE = 1006
"""What RFC 6455 (7.1.5) calls a connection that ended without a close frame."""

KEPT_ERRORS = frozenset({"unavailable", "rate_limited"})
"""Errors that pass: their command stays in the outbox."""

MAX_UNANSWERED = 32
"""Commands on the wire without any answer. A long outbox is then sent no faster than the server works."""

MAX_SERVER_MESSAGE_BYTES = 64 * 1024 * 1024
"""A session of 1,000 answers of 64 KiB each; more is no survey."""


class SurveyClient:
    """One participant's connection to one survey, for as long as it is open. Every method is thread-safe.

    Args:
        origin: the server's, as in a browser, with the path prefix it is served under: ``https://host/prefix``.
        user_id: the participant.
        survey_id: None where the server has one survey, or a default.
        is_audio_mode: the mode that a new session begins in.
        token: the participant's, as a link has it behind the ``#``; or an API key with the scope ``sessions:write``.
            A server in development wants none. It is sent in the handshake: use ``https://``.
        outbox: None keeps commands in memory; a :class:`FileOutbox` keeps them over the end of this process.
        times: attempts and waits.
        listener: is given every message of the server, in order, in a thread of the client's, before what it
            answers is settled. It should return soon: the next message waits for it.

    Raises:
        InvalidInput: the origin is no address of a server, or the token none (BadToken).
    """

    def __init__(  # noqa: PLR0913 - by keyword, and most are left out
        self,
        origin: str,
        user_id: str,
        *,
        survey_id: str | None = None,
        is_audio_mode: bool = False,
        token: str | None = None,
        outbox: Outbox | None = None,
        times: ClientTimes = DEFAULT_TIMES,
        listener: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._url = socket_url(origin, user_id, survey_id, is_audio_mode=is_audio_mode)
        self._credentials = credentials(token)
        self._owner = f"{user_id} in {survey_id or 'the default survey'}"
        self._outbox = MemoryOutbox() if outbox is None else outbox
        self._times = times
        self._listener = listener
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._queue = SendQueue()
        self._sents: dict[str, Sent] = {}
        self._threads: tuple[threading.Thread, ...] = ()
        self._connection: ClientConnection | None = None
        self._is_online = False
        self._was_online = False
        self._has_settled = False
        self._failure: StepkeepError | None = ClientClosed()
        self._state: dict[str, Any] | None = None
        self._session: dict[str, Any] | None = None
        self._version = 0
        self._paused_until = 0.0
        self._pauses = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_online(self) -> bool:
        """Whether there is a connection over which the server has told the session's state."""
        return self._is_online

    @property
    def unacknowledged(self) -> int:
        """How many commands the outbox holds."""
        with self._changed:
            return len(self._sents)

    @property
    def session(self) -> dict[str, Any] | None:
        """The session as the server told of it last, pending commands included; None before the first time."""
        return self._session

    @property
    def version(self) -> int:
        """The newest committed version that the server told of; 0 before the first time."""
        return self._version

    def start(self) -> None:
        """Load the outbox and connect in the background. Returns at once; nothing happens the second time.

        Raises:
            OutboxInUse, OutboxOfAnother, OutboxFailed: as the outbox's ``load``.
            ClientClosed: it was closed; make a new one.
        """
        with self._changed:
            if self._closing.is_set():
                raise ClientClosed
            if self._threads:
                return
            for command in self._outbox.load(self._owner):
                self._keep(Sent(command), encode(command))
            self._failure = None
            self._threads = tuple(
                threading.Thread(target=work, name=name, daemon=True)
                for name, work in (("stepkeep-client", self._run), ("stepkeep-client-send", self._send_all))
            )
        for thread in self._threads:
            thread.start()

    def wait_until_online(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the newest ``state`` message when there is a connection.

        Raises:
            TimeoutError: there is none yet; the client goes on trying.
            RefusedForGood, ClientClosed: there will be none.
        """
        with self._changed:
            in_time = self._changed.wait_for(lambda: self._is_online or self._failure is not None, timeout_s)
            if self._failure is not None:
                raise self._failure
            if not in_time or self._state is None:
                raise TimeoutError(f"not online within {timeout_s} s")
            return self._state

    def close(self, timeout_s: float = 5) -> None:
        """Close the connection and the outbox, which keeps what is not acknowledged; who waits gets ClientClosed."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            if self._closing.is_set():
                return
            self._closing.set()
            connection = self._connection
        waiting = self._stop(ClientClosed())
        if connection is not None:
            connection.close_timeout = min(timeout_s, self._times.close_timeout_s)
            connection.close()
        for thread in self._threads:
            # One that does not run yet has nothing to end: the listener may close before all have begun.
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        self._outbox.close()
        for sent in waiting:
            settle(sent, ClientClosed())

    def answer(self, step: str, value: object) -> Sent:
        """Answer a step: the current one, or another on the route.

        Raises, as each command does, before anything is kept:
            NotSendable, CommandTooLarge: it could never be sent.
            OutboxFailed: the outbox does not take it.
            RefusedForGood, ClientClosed: the client has stopped.
        """
        return self._give("answer", step=step, value=value)

    def back(self) -> Sent:
        """Return to the step before."""
        return self._give("back")

    def goto(self, step: str) -> Sent:
        """Go to a step on the route."""
        return self._give("goto", step=step)

    def set_mode(self, *, audio: bool) -> Sent:
        """Switch to audio or text mode."""
        return self._give("mode", audio=audio)

    def restart(self) -> Sent:
        """Begin a new walk."""
        return self._give("restart")

    def draft(self, step: str, value: object) -> None:
        """Keep the half-typed answer, in memory, until it is sent; the newest replaces one that is not sent yet."""
        text = encode({"type": "draft", "step": step, "value": value})
        with self._changed:
            self._check_open()
            self._queue.add(DRAFT, text)
            self._changed.notify_all()

    def _give(self, kind: str, **fields: object) -> Sent:
        text = encode({"type": kind, "id": new_message_id(), **fields})
        sent = Sent(json.loads(text))  # a copy: the caller may change his value
        with self._changed:
            self._check_open()
            self._outbox.add(sent.command)  # under the lock: the outbox's order is the queue's
            self._keep(sent, text)
            self._changed.notify_all()
        return sent

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _keep(self, sent: Sent, text: str) -> None:
        self._sents[sent.id] = sent
        self._queue.add(sent.id, text)

    # ------------------------------------------------------------------- the thread that connects and receives

    def _run(self) -> None:
        policy = attempts(self._times, self._closing)
        while not self._closing.is_set():
            try:
                close_code = policy(self._live)
            except RefusedForGood as error:
                for sent in self._stop(error):
                    settle(sent, error)
                return
            except Exception:  # noqa: BLE001 - closing ends the attempts; why the last one failed is of no use
                return
            # At once after a mere cut; but clients that lost the same server spread over the first delay.
            busy = close_code in BUSY_CODES
            self._closing.wait(busy_delay_s(self._times) if busy else jittered(self._times.connect_delay_s, 0, 1))

    def _live(self) -> int:
        """Connect and receive until the connection ends; return the close code of one that was of use.

        Raises:
            RefusedForGood: it makes no sense to try again.
            NotConnected: there was no connection, or none that got as far as the session's state.
        """
        times = self._times
        self._was_online = self._has_settled = False
        began_at = time.monotonic()
        if self._closing.is_set():
            raise ClientClosed
        try:
            with connect(
                self._url,
                additional_headers=self._credentials,
                logger=WIRE_LOG,
                compression=None,  # a commands' few bytes don't shrink; the server has it off too
                open_timeout=times.open_timeout_s,
                ping_interval=times.ping_interval_s,
                ping_timeout=times.ping_timeout_s,
                close_timeout=times.close_timeout_s,
                max_size=MAX_SERVER_MESSAGE_BYTES,
            ) as connection:
                bound_unsent(connection, times.ping_timeout_s)
                try:
                    self._receive_all(connection)
                finally:
                    self._lose(connection)
        except ConnectionClosed as closed:
            code, reason = (NO_CODE, "") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)
        except (OSError, WebSocketException, ValueError) as error:  # ValueError: no JSON, so no server of ours
            code, reason = NO_CODE, f"{type(error).__name__}: {error}"
        else:
            code, reason = NO_CODE, "closed"
        refused = refusal(code, reason)
        if refused is not None:
            raise refused
        lived_s = time.monotonic() - began_at
        is_of_no_use = not self._has_settled and (code == FAULT_CODE or lived_s < times.connect_delay_max_s)
        if not self._was_online or is_of_no_use:
            raise NotConnected(code, f"{code} {reason}")
        return code

    def _receive_all(self, connection: ClientConnection) -> None:
        with self._changed:
            self._connection = connection
        while not self._closing.is_set():
            timeout_s = None if self._is_online else self._times.state_timeout_s
            message = json.loads(connection.recv(timeout_s))
            if isinstance(message, dict):
                self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        with self._changed:
            self._note(message)
            settled = self._answered(message)
            self._changed.notify_all()
        self._tell(message)
        if settled is not None:
            sent, answer = settled
            settle(sent, answer)

    def _note(self, message: dict[str, Any]) -> None:
        """Take over what the message says of the session."""
        match message:
            case {"type": "state", "version": int(version)}:
                self._version = version  # also where it is lower: the session was erased, or restored
                self._state = message
                self._was_online = True
                self._is_online = self._connection is not None and self._failure is None
            case {"type": "ack" | "sync", "version": int(version)}:
                self._version = max(self._version, version)
            case _:
                pass
        if isinstance(message.get("session"), dict):
            self._session = message["session"]

    def _answered(self, message: dict[str, Any]) -> tuple[Sent, dict[str, Any] | StepkeepError] | None:
        """Take note of an answer; return whom it settles, and how."""
        sent = self._sents.get(message["id"]) if isinstance(message.get("id"), str) else None
        if sent is None:
            return None
        match message:
            case {"type": "pending"}:
                sent.is_pending = True
                self._queue.answer(sent.id)
                return None
            case {"type": "error", "code": code} if code in KEPT_ERRORS:
                self._pause()
                return None
            case {"type": "ack"}:
                answer: dict[str, Any] | StepkeepError = message
            case {"type": "reject"}:
                answer = Rejected(str(message.get("code")), str(message.get("message")))
            case {"type": "error"}:
                answer = CommandRefused(str(message.get("code")), str(message.get("message")))
            case _:
                return None
        self._pauses = 0
        self._has_settled = True
        self._queue.drop(sent.id)
        self._outbox.remove(sent.id)
        del self._sents[sent.id]
        return sent, answer

    def _pause(self) -> None:
        """Wait, then send again from the oldest command on: so the order on the wire stays the order given."""
        longest_s = min(self._times.unavailable_delay_s * 2**self._pauses, self._times.slow_delay_s)
        self._pauses += 1
        self._paused_until = time.monotonic() + jittered(longest_s, 0.5, 1)
        self._queue.rewind()

    def _tell(self, message: dict[str, Any]) -> None:
        if self._listener is None:
            return
        try:
            self._listener(message)
        except Exception:
            log.exception("the listener failed; the client goes on")

    def _lose(self, connection: ClientConnection) -> None:
        """Begin the queue anew for the next connection; nothing happens the second time."""
        with self._changed:
            if self._connection is connection:
                self._is_online, self._connection = False, None
                self._paused_until = 0.0
                self._queue.rewind()
                self._changed.notify_all()

    def _stop(self, failure: StepkeepError) -> list[Sent]:
        """Take no more commands; return those that wait, for their owner to be told outside of the lock."""
        with self._changed:
            self._failure = failure
            self._is_online = False
            waiting = list(self._sents.values())
            self._changed.notify_all()
        return waiting

    # ------------------------------------------------------------------------------------ the thread that sends

    def _send_all(self) -> None:
        while (taken := self._next()) is not None:
            connection, key, text = taken
            try:
                send(connection, text, self._times, self._closing)
            except (OSError, WebSocketException) as error:
                log.info("a message could not be sent (%s); connecting again", type(error).__name__)
                self._lose(connection)
                connection.close()
            else:
                if key == DRAFT:
                    with self._changed:
                        self._queue.forget_sent_draft()

    def _next(self) -> tuple[ClientConnection, str, str] | None:
        """Return what to send next, and where, when there is something; None when the client has stopped."""
        with self._changed:
            while self._failure is None:
                pause_s = self._paused_until - time.monotonic()
                if self._is_online and self._connection is not None and pause_s <= 0:
                    taken = self._queue.take(MAX_UNANSWERED)
                    if taken is not None:
                        return self._connection, *taken
                self._changed.wait(pause_s if pause_s > 0 else None)
            return None
