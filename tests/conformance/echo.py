"""A WebSocket echo server on app/web/ws/websocket.py, for tests of the protocol without surveys.

tests/conformance/server.py runs it as ``gunicorn tests.conformance.echo:app``.
"""

import threading

import flask
from flask_sock import Sock

from app.web.ws.frames import Message
from app.web.ws.loop import SocketLoop
from app.web.ws.websocket import WebSocket

MAX_MESSAGE_BYTES = 2 * 1024 * 1024

loop = SocketLoop()
app = flask.Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"loop": loop, "ping_interval": 25, "max_message_size": MAX_MESSAGE_BYTES}
sock = Sock()


class Echo:
    """Sends each message back."""

    opened = 0

    def __init__(self, ws: WebSocket) -> None:
        self.ws = ws
        type(self).opened += 1
        loop.call(ws.serve, self)

    def on_frame(self, _is_message: bool) -> bool:
        """Frames are not counted."""
        return True

    def on_limit(self) -> None:
        """There is none."""

    def on_message(self, message: Message) -> None:
        if isinstance(message, str):
            self.ws.send(message)
        else:
            send_binary(self.ws, message)

    def on_tick(self, now: float, *, is_stopping: bool) -> None:
        """Nothing is due."""

    def on_end(self) -> None:
        type(self).opened -= 1


def send_binary(ws: WebSocket, data: bytes) -> None:
    """Send a binary message, as this server's sockets do not."""
    if ws._frames.is_open:
        ws._frames._protocol.send_binary(data)
        ws._write(ws._frames.take_output())


class Deaf(Echo):
    """Lets the messages after the first wait."""

    def on_message(self, _message: Message) -> None:
        self.ws.pause()


class Closing(Echo):
    """Closes after the next message."""

    def on_message(self, _message: Message) -> None:
        self.ws.end(1000)


@app.get("/healthz")
def healthz() -> str:
    """Answer a plain HTTP request."""
    return "ok"


@app.get("/opened")
def opened() -> str:
    """Return the number of open WebSockets."""
    return str(Echo.opened)


@sock.route("/echo")
def echo(ws: WebSocket) -> None:
    """Send each message back."""
    Echo(ws)


@sock.route("/deaf")
def deaf(ws: WebSocket) -> None:
    """Read one message."""
    Deaf(ws)


@sock.route("/close/<int:code>")
def close(ws: WebSocket, code: int) -> None:
    """Close immediately with this code."""
    Echo(ws)
    loop.call(ws.end, code, "as requested")


@sock.route("/send/<int:size_bytes>")
def send(ws: WebSocket, size_bytes: int) -> None:
    """Send one binary message of this size, then echo."""
    Echo(ws)
    loop.call(send_binary, ws, pattern(size_bytes))


@sock.route("/chorus/<int:threads>/<int:messages>")
def chorus(ws: WebSocket, threads: int, messages: int) -> None:
    """Send text and binary messages from several threads concurrently; close after the next message."""
    Closing(ws)
    senders = [threading.Thread(target=_send_verses, args=(ws, number, messages)) for number in range(threads)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def verse(thread: int, number: int) -> str:
    """Return the message ``number`` of a thread of the chorus."""
    return f"{thread}:{number}:" + chr(ord("a") + thread) * (1 + number * 37 % 3000)


def pattern(size_bytes: int) -> bytes:
    """Return bytes in which a gap is detectable."""
    return (b"".join(number.to_bytes(4) for number in range(size_bytes // 4 + 1)))[:size_bytes]


def _send_verses(ws: WebSocket, thread: int, messages: int) -> None:
    for number in range(messages):
        text = verse(thread, number)
        if number % 2:
            loop.call(send_binary, ws, text.encode())
        else:
            loop.call(ws.send, text)


sock.init_app(app)
