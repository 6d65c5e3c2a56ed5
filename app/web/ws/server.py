"""The server's side of a WebSocket: fixes what simple-websocket and gunicorn get wrong (RFC 6455).

:class:`SafeWire` makes the socket safe, :class:`SafeServer` speaks on it, :func:`close` and :func:`hang_up` end it.
docs/reliability/websocket.md lists each fault, its fix and its test.
"""

import contextlib
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
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
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ...observability import metrics

_SOCKET_KEYS = ("werkzeug.socket", "gunicorn.socket")

SEND_TIMEOUT_MS = 20_000
"""Milliseconds that sent bytes may stay unacknowledged before the kernel gives the peer up."""

BUFFERED_MESSAGES = 256
"""Messages that may wait for the handler before the connection is closed with 1013."""

BUFFERED_BYTES = 4 * 1024 * 1024
"""Memory of the messages that wait, likewise: 256 of the largest, in emoji, would be 64 MiB a connection."""

FAULT_CODE = 1011
"""Closes a WebSocket after a fault of ours."""

CLOSING_S = 1.0
"""Seconds that a peer has to answer our close frame, or to read what fills its connection."""


class SafeSocket:
    """A socket whose ``send`` sends all, one message at a time.

    simple-websocket calls ``send`` from two threads and takes a short write for a whole one.
    """

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._sending = threading.Lock()

    def send(self, data: bytes) -> int:
        with self._sending:
            self._raw.sendall(data)
        return len(data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the socket has
        return getattr(self._raw, name)


class SafeWire:
    """WSGI middleware: WebSocket requests get a safe socket."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            for key in _SOCKET_KEYS:
                if key in environ:
                    environ[key] = SafeSocket(environ[key])
                    _give_up_stalled(environ[key])
        return self._app(environ, start_response)


class BoundedBuffer(list[Any]):
    """The messages that wait for the handler; too many end the connection."""

    @property
    def is_full(self) -> bool:
        """Whether a peer's next message is one too many."""
        return len(self) >= BUFFERED_MESSAGES or sum(map(sys.getsizeof, self)) >= BUFFERED_BYTES


class SafeServer(simple_websocket.Server):  # type: ignore[misc]  # simple-websocket has no types
    """The server's end of one WebSocket: one thread reads, any thread sends, whole frames in a legal order.

    What simple-websocket does otherwise: frames are encoded by several threads at once, so that a message
    may become a continuation of another's; a message that comes after our close opens the connection
    again; after a peer's fault the socket is closed over unread bytes, so that a reset overtakes the close
    frame; a message's size is counted in characters; a handshake that is none is a fault of the server.
    """

    connected: bool
    pong_received: bool

    def handshake(self) -> None:
        """Accept the connection; runs before the thread that reads, so nothing comes before the bound.

        Raises:
            BadRequest: it is no WebSocket handshake (RFC 6455, 4.2.1).
        """
        self.input_buffer = BoundedBuffer()
        self._speaking = threading.RLock()
        self._parts: list[Any] = []  # of one type, by wsproto
        self._size_bytes = 0
        self._is_hung_up = False
        try:
            super().handshake()
        except OSError as error:
            raise BadRequest("The peer is gone.") from error
        except (RemoteProtocolError, LocalProtocolError, UnicodeError) as error:
            raise BadRequest("Not a WebSocket handshake.") from error

    def send(self, data: str | bytes) -> None:
        """Send one message whole, from any thread.

        Raises:
            ConnectionClosed: by either side.
            OSError: the peer is gone.
        """
        with self._speaking:
            if self.connected:
                with contextlib.suppress(LocalProtocolError):  # the peer's close is being read at this moment
                    self._say(BytesMessage(data=data) if isinstance(data, bytes) else TextMessage(data=str(data)))
                    return
            raise simple_websocket.ConnectionClosed(self.close_reason, self.close_message)

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Say that it ends; nothing is sent afterwards. Waits CLOSING_S at most for a peer that does not read.

        Raises:
            ConnectionClosed: it is closed already.
        """
        if not self._speaking.acquire(timeout=CLOSING_S):
            self.cut()
            return
        try:
            if self.connected and not self._has_room():
                self.cut()
            super().close(reason, message)
        finally:
            self.connected = False
            self._speaking.release()

    def cut(self) -> None:
        """End the connection under the WebSocket, whatever is under way; wakes all that wait for it."""
        self._is_hung_up = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def _say(self, event: Event) -> None:
        with self._speaking:
            self.sock.send(self.ws.send(event))

    def _has_room(self) -> bool:
        with self.selector_class() as selector:
            selector.register(self.sock, selectors.EVENT_WRITE)
            return bool(selector.select(CLOSING_S))

    def _thread(self) -> None:
        # The socket is shut down here and closed by the server that opened it: closed here, its number could
        # be another connection's while a thread still sends.
        try:
            with contextlib.suppress(OSError, ValueError, LocalProtocolError):
                self._read()
        finally:
            self.connected = False
            self.event.set()
            self.cut()

    def _read(self) -> None:
        ping_at = time.monotonic() + (self.ping_interval or 0)
        with self.selector_class() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            while not self._is_hung_up:
                now = time.monotonic()
                if self.ping_interval and ping_at <= now:
                    if not self._ping():
                        return
                    ping_at = now + self.ping_interval
                if selector.select(ping_at - now if self.ping_interval else None):
                    data = self.sock.recv(self.receive_bytes)
                    if not data:
                        return
                    self.ws.receive_data(data)
                    if not self._handle_events():
                        return

    def _ping(self) -> bool:
        """Ask whether the peer is there; False where it did not answer the last time."""
        if not self.connected:
            return False
        if not self.pong_received:
            self.close(1008, "no answer to a ping")
            return False
        self.pong_received = False
        self._say(Ping())
        return True

    def _handle_events(self) -> bool:
        """Do what came asks for; False where nothing more will."""
        for event in self.ws.events():
            match event:
                case Request():
                    self.subprotocol = self.choose_subprotocol(event)
                    # No compression: its state costs 100 KB a connection, and the messages are small.
                    self._say(AcceptConnection(subprotocol=self.subprotocol))
                case CloseConnection():
                    self._end(event)
                    return False
                case Ping():
                    with contextlib.suppress(LocalProtocolError):  # we have closed
                        self._say(event.response())
                case Pong():
                    self.pong_received = True
                case Message():
                    if not self._collect(event):
                        return False
                case _:
                    pass
        return True

    def _end(self, event: CloseConnection) -> None:
        """Answer the peer's close, or its breach of the protocol."""
        with self._speaking:
            is_breach = self.ws.state is ConnectionState.OPEN
            if self.connected:
                self.close_reason, self.close_message = event.code, event.reason
            self.connected = False
            with contextlib.suppress(LocalProtocolError):  # it answers our own
                self._say(event.response())
        self.event.set()
        if is_breach:
            self._drain()

    def _collect(self, event: "Message[Any]") -> bool:
        """Add a part to its message; False where that is too big."""
        if not self.connected:  # what comes after our close is nobody's
            return True
        part = event.data
        self._size_bytes += len(part.encode()) if isinstance(part, str) else len(part)
        if self.max_message_size and self._size_bytes > self.max_message_size:
            self._end(CloseConnection(1009, "the message is too big"))
            return False
        if part or not self._parts:  # empty parts could come for ever
            self._parts.append(part)
        return self._hand_over() if event.message_finished else True

    def _hand_over(self) -> bool:
        """Give a whole message to the handler; False where too many wait for it."""
        if self.input_buffer.is_full:
            self._end(CloseConnection(1013, "too many messages are waiting"))
            return False
        parts, self._parts, self._size_bytes = self._parts, [], 0
        self.input_buffer.append(parts[0][:0].join(parts))
        self.event.set()
        return True

    def _drain(self) -> None:
        """Read what the peer still sends, for a while, until it has seen our close frame (RFC 6455, 7.1.1)."""
        until = time.monotonic() + CLOSING_S
        self.sock.shutdown(socket.SHUT_WR)
        self.sock.settimeout(CLOSING_S)  # nobody sends any more
        while not self._is_hung_up and time.monotonic() < until and self.sock.recv(self.receive_bytes):
            pass


# flask-sock looks this name up at each connection, and has no other place for a server of one's own.
flask_sock.Server = SafeServer


def close(ws: Any, code: int, reason: str = "") -> None:  # noqa: ANN401 - simple-websocket has no types
    """Close a WebSocket for good; one that is closed stays so."""
    with contextlib.suppress(Exception):
        ws.close(code, reason.encode()[:120].decode("utf-8", "ignore"))
        metrics.CLOSES.labels(str(code)).inc()
        if code == FAULT_CODE:
            metrics.INTERNAL_ERRORS.inc()


def hang_up(ws: SafeServer) -> None:
    """End the connection under a closed WebSocket, whatever the peer does.

    A client that ignores our close frame would else hold gunicorn's main loop for 2 s each.
    """
    close(ws, 1000)
    ws.thread.join(CLOSING_S)
    ws.cut()
    ws.thread.join(CLOSING_S)


def _give_up_stalled(sock: SafeSocket) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
