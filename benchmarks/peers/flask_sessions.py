"""Flask-Session with its SQLAlchemy and its cachelib backend: open_session and save_session, as in a request.

It stores a state but no history. The callers are threads or greenlets, as under a WSGI server.
"""

import importlib.metadata
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cachelib import FileSystemCache
from flask import Flask
from flask_session import Session
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import make_url
from werkzeug.test import create_environ

from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.peers.engines import SQLITE_SET, is_sqlite, make_durable
from benchmarks.workload import endless

CONNECTIONS = 16

DEFAULT = {
    "sqlalchemy": "on SQLite the rollback journal with SQLite's default synchronous=FULL; on a server its defaults",
    "cachelib": "none: a temporary file is renamed, but never flushed to the disk",
}


class FlaskSessions(Contestant):
    """Each caller has its own session and saves it once per turn."""

    def __init__(self, app: Flask, backend: str, client: SQLAlchemy | None, durability: str) -> None:
        self._app = app
        self._backend = backend
        self._client = client
        self._durability = durability

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure this many threads."""
        assert what == "turns"
        browsers = [_Browser(self._app, number) for number in range(callers)]
        return crowd.in_threads([browser.turn for browser in browsers], seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the version, and the configured durability."""
        version = importlib.metadata.version("flask-session")
        return {"version": version, "durability": self._durability, "durability by default": DEFAULT[self._backend]}

    def rest(self) -> None:
        """Close the idle connections."""
        if self._client is not None:
            with self._app.app_context():
                self._client.engine.dispose()


class _Browser:
    """Sends its cookie with each request."""

    def __init__(self, app: Flask, number: int) -> None:
        self._app = app
        self._walk = itertools.islice(endless(), number % 10, None)
        self._environ = create_environ()
        self._request()  # begins the session and sets the cookie

    def turn(self) -> None:
        self._request()

    def _request(self) -> None:
        app, (state, event) = self._app, next(self._walk)
        with app.request_context({**self._environ}):
            interface = app.session_interface
            session = interface.open_session(app, app.request_class(self._environ))
            assert session is not None
            session.update(state, event=event)
            response = app.response_class()
            interface.save_session(app, session, response)
            self._environ["HTTP_COOKIE"] = response.headers["Set-Cookie"].split(";")[0]


def enter(spec: Mapping[str, Any]) -> FlaskSessions:
    """Return the contestant on the database of the spec; ``backend`` is sqlalchemy or cachelib."""
    url, backend = spec["url"], spec["backend"]
    app = Flask("benchmark")
    if backend == "cachelib":
        # By default it deletes sessions beyond 500; without a threshold it keeps all.
        cache = FileSystemCache(str(Path(spec["folder"]) / "flask-session"), threshold=0)
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
        Session(app)
        return FlaskSessions(app, backend, None, "none")
    parsed = make_url(url)
    if not is_sqlite(url):
        parsed = parsed.set(drivername="postgresql+psycopg")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=parsed,
        SQLALCHEMY_ENGINE_OPTIONS={"pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": 5},
    )
    client = SQLAlchemy(app)
    with app.app_context():
        make_durable(client.engine)
    app.config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=client)
    Session(app)
    return FlaskSessions(app, backend, client, SQLITE_SET if is_sqlite(url) else "the server's defaults")
