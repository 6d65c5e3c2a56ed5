"""The application in production in this process, its credentials, and the environment of a server in production."""

import contextlib
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import event
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from app.access.credentials import Credentials
from app.access.principals import SCOPES, SERVER_SCOPES, Scope
from app.access.tokens import ResumeTokens
from app.sessions.queries import now_us
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from app.web.authentication import Authenticator
from app.web.factory import create_app
from tests.conftest import SURVEYS, Server, Servers, migrated_database

SITE = "https://survey.test"
EVIL = "https://evil.test"
DAY_US = 86_400 * 1_000_000
CLOSED = "closed"

CLOSED_SURVEY = """
id: closed
title: A closed survey
language: en
access: closed
steps:
  - {id: S1, type: text, prompt: By invitation only}
"""

_BACKGROUND_THREADS = ("stepkeep-keys", "stepkeep-revocations", "stepkeep-notifications")
"""Threads that read independently of requests."""


class Clock:
    """The machine's clock, which a test can advance."""

    def __init__(self) -> None:
        self.ahead_us = 0

    def __call__(self) -> int:
        return now_us() + self.ahead_us


@dataclass
class App:
    """The application in production in this process."""

    flask: flask.Flask
    store: SessionStore
    clock: Clock

    @property
    def access(self) -> Authenticator:
        access: Authenticator = self.flask.extensions["stepkeep"].authenticator
        return access

    @property
    def credentials(self) -> Credentials:
        return self.access.credentials

    def client(self) -> FlaskClient:
        return self.flask.test_client(use_cookies=False)

    def request(self, method: str, path: str, token: str | None = None, **options: Any) -> TestResponse:
        """Send a request to the server's own address, with the token in Authorization."""
        headers = dict(options.pop("headers", None) or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        with self.client() as client:
            return client.open(
                path, method=method, base_url=options.pop("base_url", SITE), headers=headers, buffered=True, **options
            )

    def create_token(self, user_id: str, survey_id: str = "phq9") -> str:
        return self.credentials.issue_token(SessionKey(survey_id, user_id))[0]

    def create_key(self, *scopes: Scope, expires_at: int | None = None, surveys: Sequence[str] | None = None) -> str:
        every = SCOPES if surveys is None else [scope for scope in SCOPES if scope not in SERVER_SCOPES]
        return self.credentials.create_key("ward 3", scopes or every, expires_at, surveys)

    def begin_session(self, user_id: str, survey_id: str = "phq9") -> SessionKey:
        key = SessionKey(survey_id, user_id)
        self.store.turns.get_or_create(key, is_audio_mode=False)
        return key

    def close(self) -> None:
        self.credentials.revocations.close()
        self.store.close()


def random_secret() -> str:
    return secrets.token_urlsafe(32)


def production(settings: Settings, **changes: object) -> Settings:
    """Return the settings of a production server, with these changes."""
    update = {"environment": "production", "secret_key": SecretStr(random_secret()), "public_url": SITE, **changes}
    return settings.model_copy(update=update)


def open_app(settings: Settings) -> App:
    """Return the application on the settings' database, with a clock that a test can advance."""
    clock = Clock()
    store = open_store(settings, clock)
    app = create_app(settings, store)
    return App(app, store, clock)


@contextlib.contextmanager
def production_app(settings: Settings, **changes: object) -> Iterator[App]:
    """Yield the application in production."""
    app = open_app(production(settings, **changes))
    try:
        yield app
    finally:
        app.close()


@contextlib.contextmanager
def production_app_on(kind: str, servers: Servers, folder: Path, **changes: object) -> Iterator[App]:
    """Yield the application in production on an empty database, with the shipped surveys and a closed one."""
    surveys = folder / "surveys"
    surveys.mkdir()
    for file in SURVEYS.glob("*.yaml"):
        (surveys / file.name).write_text(file.read_text())
    (surveys / "closed.yaml").write_text(CLOSED_SURVEY)
    with (
        migrated_database(kind, servers, folder) as url,
        production_app(Settings(database_url=url, surveys_dir=surveys), **changes) as app,
    ):
        yield app


@contextlib.contextmanager
def listening(app: flask.Flask) -> Iterator[int]:
    """Serve the application from a thread of this process; yield the port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]  # declared by a mixin of socketserver
    thread = threading.Thread(target=server.serve_forever, name="serving", daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def credentials_of(server: Server) -> Iterator[Credentials]:
    """Yield the credentials of a server in another process."""
    settings = Settings(database_url=server.database_url, surveys_dir=server.surveys)
    store = open_store(settings)
    yield Credentials(store, [server.environment["SECRET_KEY"]])
    store.close()


def in_production(**more: str) -> dict[str, str]:
    """Return the environment of a server in production."""
    return {"STEPKEEP_ENVIRONMENT": "production", "SECRET_KEY": random_secret(), **more}


def signed_token(app: App, key: SessionKey, at: int, life_us: int) -> str:
    """Return a token that was signed at this time."""
    return ResumeTokens([app.store.settings.secret_key.get_secret_value()]).issue(key, at, life_us)


def altered(token: str) -> str:
    """Return the token with one character of its signature changed."""
    index = len(token) - 20
    return token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]


class SessionReads:
    """Record the statements and calls that read or write sessions, until the list is cleared."""

    def __init__(self, app: App) -> None:
        self.recorded: list[str] = []
        store = app.store
        for engine in (store.queries.engine, store._write_engine):
            event.listen(engine, "before_cursor_execute", self._statement)
        store.queries._loader.load = self._recording("load", store.queries._loader.load)  # type: ignore[method-assign]
        store._connection.transact = self._recording("transact", store._connection.transact)  # type: ignore[method-assign]

    def _statement(self, _conn: object, _cursor: object, statement: str, *_: object) -> None:
        if any(table in statement for table in ("sessions", "session_history")):
            self._record(statement)

    def _recording(self, name: str, call: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self._record(name)
            return call(*args, **kwargs)

        return wrapper

    def _record(self, access: str) -> None:
        if not threading.current_thread().name.startswith(_BACKGROUND_THREADS):
            self.recorded.append(access)
