"""A WebSocket echo server on app/web/ws/server.py, for tests of the protocol without surveys.

tests/conformance/server.py runs it as ``gunicorn tests.conformance.echo:app``.
"""

import threading
from typing import Any

import flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from app.web.ws import server

MAX_MESSAGE_BYTES = 2 * 1024 * 1024

app = flask.Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 25, "max_message_size": MAX_MESSAGE_BYTES}
sock = Sock()


@app.get("/healthz")
def healthz() -> str:
    """Answer a plain HTTP request."""
    return "ok"


@app.get("/readers")
def readers() -> str:
    """Return the number of threads that read from a WebSocket."""
    return str(sum("simple_websocket" in thread.name for thread in threading.enumerate()))


@sock.route("/echo")
def echo(ws: Any) -> None:
    """Send each message back."""
    _echo(ws)


@sock.route("/deaf")
def deaf(ws: Any) -> None:
    """Never read a message."""
    ws.thread.join()
    server.shutdown(ws)


@sock.route("/close/<int:code>")
def close(ws: Any, code: int) -> None:
    """Close immediately with this code."""
    server.close(ws, code, "as requested")
    server.shutdown(ws)


@sock.route("/send/<int:size_bytes>")
def send(ws: Any, size_bytes: int) -> None:
    """Send one binary message of this size, then echo."""
    ws.send(pattern(size_bytes))
    _echo(ws)


@sock.route("/chorus/<int:threads>/<int:messages>")
def chorus(ws: Any, threads: int, messages: int) -> None:
    """Send text and binary messages from several threads concurrently; close after the next message."""
    senders = [threading.Thread(target=_send_verses, args=(ws, number, messages)) for number in range(threads)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    ws.receive()
    server.shutdown(ws)


def verse(thread: int, number: int) -> str:
    """Return the message ``number`` of a thread of the chorus."""
    return f"{thread}:{number}:" + chr(ord("a") + thread) * (1 + number * 37 % 3000)


def pattern(size_bytes: int) -> bytes:
    """Return bytes in which a gap is detectable."""
    return (b"".join(number.to_bytes(4) for number in range(size_bytes // 4 + 1)))[:size_bytes]


def _echo(ws: Any) -> None:
    try:
        while True:
            ws.send(ws.receive())
    except (ConnectionClosed, OSError):
        pass
    finally:
        server.shutdown(ws)


def _send_verses(ws: Any, thread: int, messages: int) -> None:
    for number in range(messages):
        text = verse(thread, number)
        ws.send(text.encode() if number % 2 else text)


sock.init_app(app)
