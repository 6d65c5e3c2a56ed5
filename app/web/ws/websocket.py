"""One WebSocket: its handshake in the request's thread, all else in the loop's."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Protocol, cast

import flask_sock
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from werkzeug import exceptions
from werkzeug.exceptions import BadRequest

from ...observability import metrics
from .frames import Frames, Message
from .loop import SocketLoop

SEND_TIMEOUT_MS = 20_000  # the kernel then drops a connection with unacknowledged bytes, also of a response
SEND_TIMEOUT_S = SEND_TIMEOUT_MS / 1000  # for a client that reads nothing of what waits for it
FRAME_TIMEOUT_S = 30.0  # for the rest of a frame or a message in fragments: 64 KiB take 2 s at 250 kbit/s
CLOSING_S = 1.0  # for a client to read a close frame, and to answer it

UNSENT_BYTES = 4 * 1024 * 1024  # a client that reads so slowly is dropped
RECEIVE_BYTES = 64 * 1024

INTERNAL_ERROR = 1011  # close code (RFC 6455, 7.4.1)
INTERNAL_ERROR_TEXT = "Internal server error. Acknowledged answers are saved."

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Handler(Protocol):
    """What to do with a socket's messages, in the loop's thread."""

    def on_frame(self, is_message: bool) -> bool:  # noqa: FBT001 - called by Frames
        """Return False if there are too many frames."""
        ...

    def on_limit(self) -> None: ...  # there were too many: no message follows

    def on_message(self, message: Message) -> None: ...

    def on_tick(self, now: float, *, is_stopping: bool) -> None: ...

    def on_end(self) -> None:
        """Nothing can be received or sent any more."""
        ...


class WebSocket:
    """A connection whose sizes, buffers and waits are bounded.

    flask-sock makes and closes it in the request's thread; all else is for the loop's.
    """

    def __init__(
        self,
        environ: dict[str, Any],
        *,
        loop: SocketLoop,
        ping_interval: float,
        max_message_size: int,
        subprotocols: Sequence[str] = (),
    ) -> None:
        self.loop = loop
        self.mode = "gunicorn" if "gunicorn.socket" in environ else "werkzeug"
        protocol, response = _accept(environ, subprotocols)
        self._socket = _take_socket(environ)
        self._ended = threading.Event() if self.mode == "werkzeug" else None
        self._frames = Frames(protocol, max_message_size, self._on_frame)
        self._ping_interval_s = ping_interval
        self._handler: Handler | None = None  # a session's beginning may fail before it serves its socket
        self._unsent = bytearray()
        self._sent_at = self._partial_since = 0.0
        self._ping_at = self._closing_at = 0.0
        self._has_ended = self._is_paused = self._is_broken = self._is_closing = False
        self._events = 0
        try:
            self._socket.send(response)
        except OSError as error:
            self._socket.close()
            raise BadRequest("Client disconnected during the handshake.") from error

    def fileno(self) -> int:
        return self._socket.fileno()

    def serve(self, handler: Handler) -> None:
        is_first, self._handler = self._handler is None, handler
        if is_first:
            self._ping_at = monotonic() + self._ping_interval_s
            self._watch()
        if self._is_closing:
            handler.on_end()

    def send(self, text: str) -> None:
        self._write(self._frames.text(text.encode()))

    def close(self) -> None:
        """Called by flask-sock: wait for the end where the WSGI server still has the socket."""
        if self._ended is not None:
            self._ended.wait()

    def end(self, code: int, reason: str = "") -> None:
        if self._is_closing:
            return
        metrics.CLOSES.labels(str(code)).inc()
        if code == INTERNAL_ERROR:
            metrics.INTERNAL_ERRORS.inc()
        self._frames.close(code, reason.encode()[:120].decode("utf-8", "ignore"))
        self._write(self._frames.take_output())
        self._begin_to_close()

    def pause(self) -> None:
        self._is_paused = True
        self._watch()

    def resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._partial_since = monotonic() if self._partial_since else 0.0
            self._watch()

    @property
    def has_unread(self) -> bool:
        with contextlib.suppress(OSError):
            return not self._has_ended and bool(self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        return False

    def on_ready(self, events: int) -> None:
        if events & _WRITE:
            self._flush()
        if events & _READ and not self._has_ended:
            self._read()

    def on_tick(self, now: float, *, is_stopping: bool) -> None:
        if self._is_closing:
            if now >= self._closing_at:
                self._end()
            return
        if self._unsent and now - self._sent_at >= SEND_TIMEOUT_S:
            self.abort()
        elif self._is_paused:
            pass  # what is due waits to be read
        elif self._partial_since and now - self._partial_since >= FRAME_TIMEOUT_S:
            self.end(1008, "a message took too long")
        elif now >= self._ping_at:
            self._ping(now)
        if self._handler is not None and not self._is_closing:
            self._handler.on_tick(now, is_stopping=is_stopping)

    def abort(self) -> None:
        self._begin_to_close()
        self._end()

    def _read(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.abort()
        elif not self._is_closing:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        messages = self._frames.receive(data)
        if output := self._frames.take_output():
            self._write(output)
        if not self._frames.has_partial:
            self._partial_since = 0.0
        elif not self._partial_since or messages:
            self._partial_since = monotonic()
        handler = cast("Handler", self._handler)
        for message in messages:
            handler.on_message(message)
            handler = cast("Handler", self._handler)
        if self._frames.is_over_limit:
            handler.on_limit()
        if not self._frames.is_open:
            self._begin_to_close()

    def _on_frame(self, is_message: bool) -> bool:  # noqa: FBT001 - called by Frames
        return self._handler is None or self._handler.on_frame(is_message)

    def _ping(self, now: float) -> None:
        if self._frames.is_pong_due:
            self.end(1008, "no answer to a ping")
            return
        self._ping_at = now + self._ping_interval_s
        self._write(self._frames.ping())

    def _write(self, data: bytes) -> None:
        if not data or self._is_broken:
            return
        if self._unsent:
            self._unsent += data
            if len(self._unsent) > UNSENT_BYTES:
                self.abort()
            return
        sent = self._send(data)
        if sent < len(data):
            self._unsent += data[sent:]
            self._sent_at = monotonic()
            self._watch()

    def _send(self, data: bytes | bytearray) -> int:
        """Return how many bytes need not be sent again; of a broken connection all."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:  # what the client sent before is still read
            self._is_broken = True
            return len(data)

    def _flush(self) -> None:
        if self._unsent:
            del self._unsent[: self._send(self._unsent)]
            self._sent_at = monotonic()
        self._watch()
        if self._is_closing and not self._unsent:
            self._shut_down()

    def _watch(self) -> None:
        """Read nothing from a client that does not read what it asked for."""
        if self._has_ended:
            return
        is_reading = self._is_closing or not (self._is_paused or self._unsent)
        events = _READ * is_reading | _WRITE * bool(self._unsent)
        if events != self._events or not events:
            self._events = events
            self.loop.watch(self, events)

    def _begin_to_close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._closing_at = monotonic() + CLOSING_S
        if not self._unsent:
            self._shut_down()
        self._watch()
        if self._handler is not None:
            self._handler.on_end()

    def _shut_down(self) -> None:
        """Let the client read the close frame before a reset could overtake it (RFC 6455, 7.1.1)."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = self._is_broken = True
        with contextlib.suppress(KeyError):
            self.loop.forget(self)
        self._socket.close()
        if self._ended is not None:
            self._ended.set()


def _accept(environ: Mapping[str, Any], subprotocols: Sequence[str]) -> tuple[ServerProtocol, bytes]:
    headers = Headers()
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            headers[name[5:].replace("_", "-")] = value
    protocol = ServerProtocol(
        # An unknown subprotocol is no reason to refuse: without one, the client decides.
        select_subprotocol=lambda _protocol, offered: next((name for name in offered if name in subprotocols), None),
        extensions=None,  # no compression: it costs 100 KB a connection, and messages are small
        max_size=None,
        state=OPEN,  # the WSGI server has read the request
    )
    response = protocol.accept(Request(environ["PATH_INFO"], headers))
    if response.status_code != 101:  # noqa: PLR2004 - Switching Protocols
        raise BadRequest("Not a WebSocket handshake.")
    return protocol, response.serialize()


def _take_socket(environ: Mapping[str, Any]) -> socket.socket:
    """Take the socket from the WSGI server, which would close it."""
    if "gunicorn.socket" in environ:
        taken = socket.socket(fileno=environ["gunicorn.socket"].detach())
    elif "werkzeug.socket" in environ:
        taken = environ["werkzeug.socket"].dup()
    else:
        raise exceptions.NotImplemented(
            "This WSGI server does not give an application the connection: see docs/flask.md."
        )
    taken.setblocking(False)
    with contextlib.suppress(OSError, AttributeError):  # not TCP, or not Linux
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
    return taken


# flask-sock looks this name up, and has no other hook.
flask_sock.Server = WebSocket
