"""What a user would write instead: flask-sock, sqlite3, a commit a turn.

``gunicorn benchmarks.peers.socket_handwritten:app``, with SESSIONS_FILE.
"""

import json
from typing import Any

import flask
from flask_sock import Sock

from benchmarks.peers.socket_sessions import Sessions

app = flask.Flask(__name__)
sock = Sock(app)
sessions = Sessions()


@sock.route("/ws/<user_id>")
def survey(ws: Any, user_id: str) -> None:
    """Save each answer, with its history, before it is acknowledged."""
    answers = sessions.load(user_id)
    ws.send(json.dumps({"type": "state", "answers": answers}))
    while True:
        message = json.loads(ws.receive())
        answers[message["step"]] = message["value"]
        sessions.save(user_id, message["step"], answers)
        ws.send(json.dumps({"type": "ack", "id": message["id"], "answers": answers}))
