"""A bare flask-sock echo server, the limit of that library: ``gunicorn benchmarks.peers.socket_echo:app``."""

from typing import Any

import flask
from flask_sock import Sock

app = flask.Flask(__name__)
sock = Sock(app)


@sock.route("/echo/<participant>")
def echo(ws: Any, participant: str) -> None:  # noqa: ARG001 - the address has it
    """Send each message back."""
    while True:
        ws.send(ws.receive())
