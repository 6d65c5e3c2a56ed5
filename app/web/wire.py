"""The wire under a WebSocket: what simple-websocket leaves open (GOTCHAS 3 to 6) is closed here."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

_SOCKET_KEYS = ("werkzeug.socket", "gunicorn.socket")

SEND_TIMEOUT_MS = 20_000
"""Milliseconds that sent bytes may stay unacknowledged before the kernel gives the peer up."""

BUFFERED_MESSAGES = 256
"""Messages that may wait for the handler before the connection is closed with 1013."""


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
    """WSGI middleware for WebSocket requests: a safe socket, and no compression.

    Compression (permessage-deflate) has a state that two sending threads corrupt, and costs 100 KB a
    connection; the messages here are small.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
            for key in _SOCKET_KEYS:
                if key in environ:
                    environ[key] = SafeSocket(environ[key])
                    _give_up_stalled(environ[key])
        return self._app(environ, start_response)


class BoundedBuffer(list[Any]):
    """The messages that wait for the handler; too many end the connection."""

    def __init__(self, ws: Any) -> None:  # noqa: ANN401 - simple-websocket has no types
        super().__init__()
        self._ws = ws

    def append(self, item: object) -> None:
        if len(self) >= BUFFERED_MESSAGES:
            close(self._ws, 1013, "too many messages are waiting")
            raise OSError
        super().append(item)


def bound_buffer(ws: Any) -> None:  # noqa: ANN401 - simple-websocket has no types
    """Bound the messages that may wait; what came before is kept, in front."""
    before, ws.input_buffer = ws.input_buffer, BoundedBuffer(ws)
    ws.input_buffer[:0] = before


def close(ws: Any, code: int, reason: str = "") -> None:  # noqa: ANN401 - simple-websocket has no types
    """Close a WebSocket for good; one that is closed stays so."""
    with contextlib.suppress(Exception):
        ws.close(code, reason.encode()[:120].decode("utf-8", "ignore"))


def hang_up(ws: Any) -> None:  # noqa: ANN401 - simple-websocket has no types
    """End the connection under a closed WebSocket, whatever the peer does.

    A client that ignores our close frame would else hold gunicorn's main loop for 2 s each.
    """
    close(ws, 1000)
    with contextlib.suppress(Exception):
        ws.thread.join(1)
    with contextlib.suppress(OSError):
        ws.sock.shutdown(socket.SHUT_RDWR)


def _give_up_stalled(sock: SafeSocket) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
