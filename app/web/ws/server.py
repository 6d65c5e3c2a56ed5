"""The server's side of a WebSocket: fixes for simple-websocket and gunicorn.

Each has its test (docs/reliability/websocket.md).
"""

import contextlib
import selectors
import socket
import sys
import threading
import time
from typing import Any

import flask_sock
import simple_websocket
from werkzeug.exceptions import BadRequest
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ...core import strict_json
from ...observability import metrics
from . import messages

SEND_TIMEOUT_MS = 20_000
"""Then the kernel drops a connection with unacknowledged bytes; also of gunicorn.conf.py: a response takes a thread."""

BUFFERED_MESSAGES = 256
"""More close the connection with 1013."""

BUFFERED_BYTES = 4 * 1024 * 1024
"""Likewise: 256 of the largest, in emoji, would take 64 MiB."""

INTERNAL_ERROR = 1011
"""Close code (RFC 6455, 7.4.1)."""

CLOSING_S = 1.0
"""For a client to answer a close frame, or to read."""


class Server(simple_websocket.Server):  # type: ignore[misc]  # simple-websocket has no types
    """One WebSocket: one thread reads, any thread sends, whole frames in a legal order.

    simple-websocket mixes threads' frames, ignores short writes, reopens after the server's close, closes over unread
    bytes (a reset overtakes the close frame), counts sizes in characters, and takes an invalid handshake for an
    internal error.
    """

    connected: bool
    pong_received: bool

    def handshake(self) -> None:
        """Accept.

        Raises:
            BadRequest: invalid handshake (RFC 6455, 4.2.1).
        """
        self._sending_lock = threading.RLock()
        self._parts: list[Any] = []  # all str or all bytes, as wsproto gives them
        self._size_bytes = 0
        self._is_aborted = False
        self._is_reading = False
        with contextlib.suppress(OSError, AttributeError):  # not TCP, or not Linux
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
        try:
            super().handshake()
        except OSError as error:
            raise BadRequest("Client disconnected during the handshake.") from error
        except (RemoteProtocolError, LocalProtocolError, UnicodeError) as error:
            raise BadRequest("Not a WebSocket handshake.") from error

    def send(self, data: str | bytes) -> None:
        """Send a whole message, from any thread.

        Raises:
            ConnectionClosed: either side has closed.
            OSError: the client has disconnected.
        """
        with self._sending_lock:
            if self.connected:
                with contextlib.suppress(LocalProtocolError):  # the client has just closed
                    self._send_event(
                        BytesMessage(data=data) if isinstance(data, bytes) else TextMessage(data=str(data))
                    )
                    return
            raise simple_websocket.ConnectionClosed(self.close_reason, self.close_message)

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Send the last frame; wait at most CLOSING_S for a client that does not read.

        Raises:
            ConnectionClosed: already closed.
        """
        if not self._sending_lock.acquire(timeout=CLOSING_S):
            self.abort()
            return
        try:
            if not self.connected:
                raise simple_websocket.ConnectionClosed(self.close_reason, self.close_message)
            if not self._is_ready(selectors.EVENT_WRITE, CLOSING_S):
                self.abort()
            with contextlib.suppress(BrokenPipeError):
                self._send_event(CloseConnection(reason or CloseReason.NORMAL_CLOSURE, message))
        finally:
            self.connected = False
            self._sending_lock.release()

    @property
    def has_received(self) -> bool:
        """Whether a message is queued, or bytes may become one; checked in the order in which they get there."""
        return self._is_ready(selectors.EVENT_READ, 0) or self._is_reading or bool(self.input_buffer)

    def abort(self) -> None:
        """Shut TCP down at once; wakes all waiting threads."""
        self._is_aborted = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def _send_event(self, event: Event) -> None:
        with self._sending_lock:
            self.sock.sendall(self.ws.send(event))

    def _is_ready(self, event: int, timeout_s: float) -> bool:
        with self.selector_class() as selector:
            selector.register(self.sock, event)
            return bool(selector.select(timeout_s))

    def _thread(self) -> None:
        # The WSGI server closes the socket: closed here, its descriptor could become another connection's while a
        # thread still sends.
        try:
            with contextlib.suppress(OSError, ValueError, LocalProtocolError):
                self._read()
        finally:
            self.connected = self._is_reading = False
            self.event.set()
            self.abort()

    def _read(self) -> None:
        ping_at = time.monotonic() + (self.ping_interval or 0)
        with self.selector_class() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            while not self._is_aborted:
                now = time.monotonic()
                if self.ping_interval and ping_at <= now:
                    if not self._ping():
                        return
                    ping_at = now + self.ping_interval
                if selector.select(ping_at - now if self.ping_interval else None):
                    self._is_reading = True
                    data = self.sock.recv(self.receive_bytes)
                    if not data:
                        return
                    self.ws.receive_data(data)
                    if not self._handle_events():
                        return
                    self._is_reading = False

    def _ping(self) -> bool:
        """Return False if the last ping was not answered."""
        if not self.connected:
            return False
        if not self.pong_received:
            self.close(1008, "no answer to a ping")
            return False
        self.pong_received = False
        self._send_event(Ping())
        return True

    def _handle_events(self) -> bool:
        """Return False when the connection ends."""
        for event in self.ws.events():
            match event:
                case Request():
                    self.subprotocol = self.choose_subprotocol(event)
                    # No compression: it costs 100 KB a connection, and messages are small.
                    self._send_event(AcceptConnection(subprotocol=self.subprotocol))
                case CloseConnection():
                    self._end(event)
                    return False
                case Ping():
                    with contextlib.suppress(LocalProtocolError):  # the server has closed
                        self._send_event(event.response())
                case Pong():
                    self.pong_received = True
                case Message():
                    if not self._collect(event):
                        return False
                case _:
                    pass
        return True

    def _end(self, event: CloseConnection) -> None:
        with self._sending_lock:
            is_protocol_error = self.ws.state is ConnectionState.OPEN
            if self.connected:
                self.close_reason, self.close_message = event.code, event.reason
            self.connected = False
            with contextlib.suppress(LocalProtocolError):  # it answers the server's own
                self._send_event(event.response())
        self.event.set()
        if is_protocol_error:
            self._drain()

    def _collect(self, event: "Message[Any]") -> bool:
        """Return False if the message is too large."""
        if not self.connected:  # after the server's close
            return True
        part = event.data
        self._size_bytes += len(part.encode()) if isinstance(part, str) else len(part)
        if self.max_message_size and self._size_bytes > self.max_message_size:
            self._refuse_too_large(part)
            return False
        if part or not self._parts:  # empty parts could come without end
            self._parts.append(part)
        return self._deliver() if event.message_finished else True

    def _refuse_too_large(self, part: str | bytes) -> None:
        if isinstance(part, str):
            metrics.ERRORS.labels("socket", "too_large").inc()
            with contextlib.suppress(simple_websocket.ConnectionClosed, OSError):
                self.send(strict_json.encode(messages.too_large("".join([*self._parts, part]))))
        self._end(CloseConnection(1009, "message too large"))

    def _deliver(self) -> bool:
        """Return False if too many are queued."""
        queued = self.input_buffer
        if len(queued) >= BUFFERED_MESSAGES or sum(map(sys.getsizeof, queued)) >= BUFFERED_BYTES:
            self._end(CloseConnection(1013, "too many messages are queued"))
            return False
        parts, self._parts, self._size_bytes = self._parts, [], 0
        queued.append(parts[0][:0].join(parts))
        self.event.set()
        return True

    def _drain(self) -> None:
        """Let the client read the close frame (RFC 6455, 7.1.1)."""
        until = time.monotonic() + CLOSING_S
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.settimeout(CLOSING_S)  # nothing is sent any more
        while not self._is_aborted and time.monotonic() < until and self.sock.recv(self.receive_bytes):
            pass


# flask-sock looks this name up, and has no other hook.
flask_sock.Server = Server


def close(ws: Any, code: int, reason: str = "") -> None:  # noqa: ANN401 - simple-websocket has no types
    """Close a WebSocket; idempotent."""
    with contextlib.suppress(Exception):
        ws.close(code, reason.encode()[:120].decode("utf-8", "ignore"))
        metrics.CLOSES.labels(str(code)).inc()
        if code == INTERNAL_ERROR:
            metrics.INTERNAL_ERRORS.inc()


def shutdown(ws: Server) -> None:
    """Close a WebSocket; clients that ignore a close frame would block gunicorn's main loop for 2 s."""
    close(ws, 1000)
    ws.thread.join(CLOSING_S)
    ws.abort()
    ws.thread.join(CLOSING_S)
