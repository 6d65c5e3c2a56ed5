"""A WebSocket echo on the survey's own layer (app/web/ws/server.py), for judges that know nothing of surveys.

``gunicorn tests.conformance.echo:app``; tests/conformance/server.py starts it.
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
app.wsgi_app = server.WebSocketMiddleware(app.wsgi_app)  # type: ignore[method-assign]
sock = Sock()


@app.get("/healthz")
def healthz() -> str:
    """Answer, as REST does beside sockets."""
    return "ok"


@app.get("/readers")
def readers() -> str:
    """Tell how many threads read from a WebSocket."""
    return str(sum("simple_websocket" in thread.name for thread in threading.enumerate()))


@sock.route("/echo")
def echo(ws: Any) -> None:
    """Send each message back."""
    _echo(ws)


@sock.route("/deaf")
def deaf(ws: Any) -> None:
    """Read nothing while it is open."""
    ws.thread.join()
    server.shutdown(ws)


@sock.route("/close/<int:code>")
def close(ws: Any, code: int) -> None:
    """Close at once with this code."""
    server.close(ws, code, "as you asked")
    server.shutdown(ws)


@sock.route("/send/<int:size_bytes>")
def send(ws: Any, size_bytes: int) -> None:
    """Send one binary message of this size, and go on as an echo."""
    ws.send(pattern(size_bytes))
    _echo(ws)


@sock.route("/chorus/<int:threads>/<int:messages>")
def chorus(ws: Any, threads: int, messages: int) -> None:
    """Send from several threads at once, texts and bytes in turn; close when the peer says that it has them."""
    singers = [threading.Thread(target=_sing, args=(ws, one, messages)) for one in range(threads)]
    for singer in singers:
        singer.start()
    for singer in singers:
        singer.join()
    ws.receive()
    server.shutdown(ws)


def verse(thread: int, number: int) -> str:
    """Return what a thread of the chorus sends as its message ``number``."""
    return f"{thread}:{number}:" + chr(ord("a") + thread) * (1 + number * 37 % 3000)


def pattern(size_bytes: int) -> bytes:
    """Return bytes in which a gap shows."""
    return (b"".join(number.to_bytes(4) for number in range(size_bytes // 4 + 1)))[:size_bytes]


def _echo(ws: Any) -> None:
    try:
        while True:
            ws.send(ws.receive())
    except (ConnectionClosed, OSError):
        pass
    finally:
        server.shutdown(ws)


def _sing(ws: Any, thread: int, messages: int) -> None:
    for number in range(messages):
        words = verse(thread, number)
        ws.send(words.encode() if number % 2 else words)


sock.init_app(app)
