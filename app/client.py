"""The Python client of the survey WebSocket (PROTOCOL.md): it reconnects, sends again, and loses no answer.

::

    with SurveyClient("https://surveys.example", "ada", outbox=FileOutbox("ada.outbox")) as client:
        client.wait_until_online(10)
        ack = client.answer("Q1", 2).result(30)

A command goes into the outbox first and leaves it when the server has answered it for good. So whatever ends in
between, the connection, the server or this process, it is sent again under the same id, and the server does it
once. Commands go out in the order in which they were given, always: one thread sends, from one queue, and a new
connection begins that queue again with the oldest unanswered one. (A command that gets a passing error on a
connection that stays open is sent again before all that follow it, but some of those may have gone out already, and
be done first. Our server closes the connection with such an error.)

Imports nothing of the server. Needs the extra ``client`` (websockets).
"""

import contextlib
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_not_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_incrementing,
    wait_random_exponential,
)
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from app.errors import InvalidInput, StepkeepError, Unavailable
from app.message_ids import new_message_id
from app.outbox import CommandTooLarge, FileOutbox, MemoryOutbox, NotSendable, Outbox, OutboxFailed, OutboxInUse, encode

__all__ = [
    "ClientClosed",
    "ClientTimes",
    "CommandRefused",
    "CommandTooLarge",
    "FileOutbox",
    "MemoryOutbox",
    "NotSendable",
    "Outbox",
    "OutboxFailed",
    "OutboxInUse",
    "RefusedForGood",
    "Rejected",
    "Sent",
    "SurveyClient",
]

log = logging.getLogger("stepkeep.client")

BUSY_CODES = frozenset({1013, 4429})
FINAL_CODES = frozenset({4400, 4401, 4403, 4404})
"""Close codes after which the same connection would be refused again, whenever it is tried (PROTOCOL.md)."""

FAULT_CODE = 1011
NO_CODE = 1006
"""What RFC 6455 (7.1.5) calls a connection that ended without a close frame."""

KEPT_ERRORS = frozenset({"unavailable", "rate_limited"})
"""Errors that pass: their command stays in the outbox."""

MAX_UNANSWERED = 32
"""Commands on the wire without any answer. A long outbox is then sent no faster than the server works."""

MAX_SERVER_MESSAGE_BYTES = 64 * 1024 * 1024
"""A session of 1,000 answers of 64 KiB each; more is no survey."""

_DRAFT = ""
"""The draft's key in the queue; no command has it for an id."""


class Rejected(StepkeepError):
    """The survey's rules refuse the command; nothing was saved. ``code`` is the reject's of PROTOCOL.md."""

    http_status = 422

    def __init__(self, code: str, message: str) -> None:
        self.code = code  # type: ignore[misc]  # the server says which
        super().__init__(message)


class CommandRefused(StepkeepError):
    """The server takes it for no command, or does not allow it. ``code`` is the error's of PROTOCOL.md."""

    http_status = 400

    def __init__(self, code: str, message: str) -> None:
        self.code = code  # type: ignore[misc]  # the server says which
        super().__init__(message)


class RefusedForGood(StepkeepError):
    """The server closed with a code that another attempt would not change; the client has stopped."""

    code = "refused_for_good"

    def __init__(self, close_code: int, reason: str) -> None:
        self.close_code = close_code
        self.reason = reason
        super().__init__(f"the server refuses this connection ({close_code}: {reason}); the outbox keeps what it had")


class ClientClosed(Unavailable):
    """The client is not started, or closed; what was not acknowledged is in its outbox."""

    code = "client_closed"

    def __init__(self) -> None:
        super().__init__("the client is not open; what was not acknowledged stays in its outbox")


class _NotConnected(Unavailable):
    """An attempt to connect that came to nothing."""

    def __init__(self, close_code: int, problem: str) -> None:
        self.close_code = close_code
        super().__init__(f"no connection ({problem})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimes:
    """How often the client tries, and how long it waits.

    Attributes:
        connect_attempts: quick attempts to connect; then slow ones for as long as the client is open.
        connect_delay_s: the longest wait after the first of them; doubles with each, up to ``connect_delay_max_s``.
            The wait is a random part of it, so that clients that lost one server don't come back as one.
        slow_delay_s: between two slow attempts, a quarter more or less.
        busy_delay_s: after the server said that it is overloaded (1013) or we are too fast (4429), up to half more.
        send_attempts: of one message on one connection; then the connection is made anew.
        send_delay_s: after the first of them; twice that after the second, and so on.
        unavailable_delay_s: before a command is sent again that got ``unavailable`` or ``rate_limited``; doubles
            while nothing is acknowledged, up to ``slow_delay_s``.
        open_timeout_s: for the connection and its handshake.
        state_timeout_s: for the server's first message after that.
        ping_interval_s: between two pings.
        ping_timeout_s: for a pong, and for TCP's own acknowledgement: then the network counts as dead.
        close_timeout_s: for the server's part of the closing handshake.
    """

    connect_attempts: int = 5
    connect_delay_s: float = 0.5
    connect_delay_max_s: float = 8.0
    slow_delay_s: float = 20.0
    busy_delay_s: float = 30.0
    send_attempts: int = 3
    send_delay_s: float = 0.2
    unavailable_delay_s: float = 1.0
    open_timeout_s: float = 10.0
    state_timeout_s: float = 30.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    close_timeout_s: float = 2.0


class Sent:
    """A command on its way.

    Attributes:
        id: its id.
        command: its message, as it is sent.
        is_pending: the server accepted it, and saves it when its database is back.
    """

    def __init__(self, command: dict[str, Any]) -> None:
        self.id: str = command["id"]
        self.command = command
        self.is_pending = False
        self._answer: Future[dict[str, Any]] = Future()

    @property
    def done(self) -> bool:
        """Whether :meth:`result` would return or raise at once."""
        return self._answer.done()

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Return the ``ack``: the command is committed. Not to be called by the listener, which it would wait for.

        Raises:
            Rejected: the survey's rules refuse it.
            CommandRefused: the server takes it for no command.
            RefusedForGood: the server does not let this client in; the outbox keeps the command.
            ClientClosed: the client was closed first; the outbox keeps the command.
            TimeoutError: no answer yet; the command stays on its way.
        """
        return self._answer.result(timeout_s)

    def _settle(self, answer: dict[str, Any] | StepkeepError) -> None:
        with contextlib.suppress(InvalidStateError):  # the ack and the client's closing may come together
            if isinstance(answer, StepkeepError):
                self._answer.set_exception(answer)
            else:
                self._answer.set_result(answer)


class SurveyClient:
    """One participant's connection to one survey, for as long as it is open. Every method is thread-safe.

    Args:
        origin: the server's, as in a browser, with the path prefix it is served under: ``https://host/prefix``.
        user_id: the participant.
        survey_id: None where the server has one survey, or a default.
        is_audio_mode: the mode that a new session begins in.
        outbox: None keeps commands in memory; a :class:`FileOutbox` keeps them over the end of this process.
        times: attempts and waits.
        listener: is given every message of the server, in order, in a thread of the client's, before what it
            answers is settled. It should return soon: the next message waits for it.
    """

    def __init__(  # noqa: PLR0913 - by keyword, and most are left out
        self,
        origin: str,
        user_id: str,
        *,
        survey_id: str | None = None,
        is_audio_mode: bool = False,
        outbox: Outbox | None = None,
        times: ClientTimes = ClientTimes(),
        listener: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._url = _socket_url(origin, user_id, survey_id, is_audio_mode=is_audio_mode)
        self._owner = f"{user_id} in {survey_id or 'the default survey'}"
        self._outbox = MemoryOutbox() if outbox is None else outbox
        self._times = times
        self._listener = listener
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._queue = _Queue()
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
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        self._outbox.close()
        for sent in waiting:
            sent._settle(ClientClosed())  # noqa: SLF001 - a Sent is this module's

    def answer(self, step: str, value: Any) -> Sent:  # noqa: ANN401 - any JSON
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

    def draft(self, step: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        """Keep the half-typed answer, in memory, until it is sent; the newest replaces one that is not sent yet."""
        text = encode({"type": "draft", "step": step, "value": value})
        with self._changed:
            self._check_open()
            self._queue.add(_DRAFT, text)
            self._changed.notify_all()

    def _give(self, kind: str, **fields: Any) -> Sent:  # noqa: ANN401 - any JSON
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
        policy = Retrying(
            retry=retry_if_not_exception_type(RefusedForGood),
            stop=stop_when_event_set(self._closing),
            wait=self._connect_wait,
            sleep=sleep_using_event(self._closing),
            before_sleep=_log_attempt,
            reraise=True,
        )
        while not self._closing.is_set():
            try:
                close_code = policy(self._live)
            except RefusedForGood as error:
                for sent in self._stop(error):
                    sent._settle(error)  # noqa: SLF001 - a Sent is this module's
                return
            except Exception:  # noqa: BLE001 - closing ends the attempts; why the last one failed is of no use
                return
            busy = close_code in BUSY_CODES
            # At once after a mere cut; but clients that lost the same server spread over the first delay.
            self._closing.wait(self._busy_delay_s() if busy else random.uniform(0, self._times.connect_delay_s))  # noqa: S311 - jitter

    def _connect_wait(self, attempts: RetryCallState) -> float:
        error = _error_of(attempts)
        times = self._times
        if isinstance(error, _NotConnected) and error.close_code in BUSY_CODES:
            return self._busy_delay_s()
        if attempts.attempt_number >= times.connect_attempts:
            return times.slow_delay_s * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        quick = wait_random_exponential(multiplier=times.connect_delay_s, max=times.connect_delay_max_s)
        return quick(attempts)

    def _busy_delay_s(self) -> float:
        return self._times.busy_delay_s * random.uniform(1, 1.5)  # noqa: S311 - jitter

    def _live(self) -> int:
        """Connect and receive until the connection ends; return the close code of one that was of use.

        Raises:
            RefusedForGood: it makes no sense to try again.
            _NotConnected: there was no connection, or none that got as far as the session's state.
        """
        times = self._times
        self._was_online = self._has_settled = False
        if self._closing.is_set():
            raise ClientClosed
        try:
            with connect(
                self._url,
                compression=None,  # a commands' few bytes don't shrink; the server has it off too
                open_timeout=times.open_timeout_s,
                ping_interval=times.ping_interval_s,
                ping_timeout=times.ping_timeout_s,
                close_timeout=times.close_timeout_s,
                max_size=MAX_SERVER_MESSAGE_BYTES,
            ) as connection:
                _bound_unsent(connection, times.ping_timeout_s)
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
        if code in FINAL_CODES:
            raise RefusedForGood(code, reason)
        if not self._was_online or (code == FAULT_CODE and not self._has_settled):
            raise _NotConnected(code, f"{code} {reason}")
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
            sent._settle(answer)  # noqa: SLF001 - a Sent is this module's

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
        self._paused_until = time.monotonic() + longest_s * random.uniform(0.5, 1)  # noqa: S311 - jitter
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
                _send(connection, text, self._times, self._closing)
            except (OSError, WebSocketException) as error:
                log.info("a message could not be sent (%s); connecting again", type(error).__name__)
                self._lose(connection)
                connection.close()
            else:
                if key == _DRAFT:
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


class _Queue:
    """What is to be sent, in order, and what was sent on this connection. Under the client's lock."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}
        self._sent: dict[str, str] = {}
        self._unanswered: set[str] = set()

    def add(self, key: str, text: str) -> None:
        """Put it at the end; it replaces what waits under the same key."""
        self._waiting.pop(key, None)
        self._waiting[key] = text

    def take(self, limit: int) -> tuple[str, str] | None:
        """Return the next to send, or None; commands without any answer stay within the limit."""
        if not self._waiting or len(self._unanswered) >= limit:
            return None
        key = next(iter(self._waiting))
        text = self._sent[key] = self._waiting.pop(key)
        if key != _DRAFT:
            self._unanswered.add(key)
        return key, text

    def answer(self, key: str) -> None:
        """Take note that the server has it, though not for good."""
        self._unanswered.discard(key)

    def drop(self, key: str) -> None:
        """Forget it: it is done."""
        self._unanswered.discard(key)
        self._sent.pop(key, None)
        self._waiting.pop(key, None)

    def forget_sent_draft(self) -> None:
        self._sent.pop(_DRAFT, None)

    def rewind(self) -> None:
        """Put all that was sent before what waits, in its order; of two drafts the newer counts."""
        if _DRAFT in self._waiting:
            self._sent.pop(_DRAFT, None)
        self._waiting = {**self._sent, **self._waiting}
        self._sent = {}
        self._unanswered.clear()


def _socket_url(origin: str, user_id: str, survey_id: str | None, *, is_audio_mode: bool) -> str:
    scheme, host, prefix, _, _ = urlsplit(origin)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if scheme not in schemes or not host:
        raise InvalidInput(f"the origin {origin!r} is not like https://host:port/prefix")
    survey = {} if survey_id is None else {"survey": survey_id}
    query = urlencode({**survey, "is_audio": "true" if is_audio_mode else "false"})
    path = f"{prefix.rstrip('/')}/ws/survey/{quote(user_id, safe='')}"
    return urlunsplit((schemes[scheme], host, path, query, ""))


def _error_of(attempt: RetryCallState) -> BaseException | None:
    return None if attempt.outcome is None else attempt.outcome.exception()


def _log_attempt(attempt: RetryCallState) -> None:
    error = _error_of(attempt)
    if isinstance(error, _NotConnected):
        log.info("attempt %d: %s", attempt.attempt_number, error)
    else:
        log.error("attempt %d ended by a fault of the client's", attempt.attempt_number, exc_info=error)


def _send(connection: ClientConnection, text: str, times: ClientTimes, closing: threading.Event) -> None:
    """Send a message, in several attempts while the connection is open.

    Raises:
        the last failure; ConnectionClosed at once, since no attempt opens a connection again.
    """
    policy = Retrying(
        retry=retry_if_not_exception_type(ConnectionClosed),
        stop=stop_after_attempt(times.send_attempts),
        wait=wait_incrementing(start=times.send_delay_s, increment=times.send_delay_s),
        sleep=sleep_using_event(closing),
        reraise=True,
    )
    policy(connection.send, text)


def _bound_unsent(connection: ClientConnection, timeout_s: float) -> None:
    """Let TCP give up what a dead network does not take.

    A send into full buffers blocks with the lock that the pings want, so those would not find it. Linux only;
    elsewhere TCP's own patience counts, of some minutes.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        with contextlib.suppress(OSError):
            connection.socket.setsockopt(socket.IPPROTO_TCP, option, int(timeout_s * 1000))
