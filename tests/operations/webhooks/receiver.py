"""A receiver of webhooks that records requests and answers as a test configures it."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from tests.waiting import wait_for

Behaviour = Callable[["Handler"], None]


@dataclass(frozen=True)
class Received:
    """One recorded request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = orjson.loads(self.body)
        return message


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Record the request and answer."""
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver.add(Received(self.path, headers, body))
        self.close_connection = True
        receiver.next_behaviour()(self)

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Log nothing."""


def answers(status: int, **headers: str) -> Behaviour:
    """Return a behaviour with a fixed answer."""
    return lambda handler: handler.answer(status, **headers)


def closes(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.connection.shutdown(socket.SHUT_RDWR)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    receiver: "Receiver"

    def handle_error(self, *_args: Any) -> None:
        """Ignore connections that the test closed."""


class Receiver:
    """A receiver on the loopback interface."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = answers(204)
        self.behaviours: list[Behaviour] = []
        self.released = threading.Event()
        self._received: list[Received] = []
        self._mutex = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.receiver = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    @property
    def received(self) -> list[Received]:
        with self._mutex:
            return list(self._received)

    def next_behaviour(self) -> Behaviour:
        """Return the next of ``behaviours``, then always ``behaviour``."""
        with self._mutex:
            return self.behaviours.pop(0) if self.behaviours else self.behaviour

    def add(self, request: Received) -> None:
        with self._mutex:
            self._received.append(request)

    def hang(self, handler: Handler) -> None:
        """Answer when the test sets ``released``."""
        self.released.wait(60)
        with contextlib.suppress(OSError):
            handler.answer(204)

    def drip(self, handler: Handler) -> None:
        """Send an endless header, one byte at a time."""
        with contextlib.suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not self.released.wait(0.05):
                handler.wfile.write(b"a")
                handler.wfile.flush()

    def wait_for(self, count: int) -> list[Received]:
        """Return the requests once there are that many."""
        wait_for(lambda: len(self.received) >= count, lambda: f"{len(self.received)} requests instead of {count}", 40)
        return self.received

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
