"""A Flask application with its own login, error pages and hooks, and Stepkeep mounted."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
from flask.testing import FlaskClient

from app.flask import Stepkeep
from tests.databases import create_sqlite
from tests.web.production import CLOSED_SURVEY

HOST = "https://clinic.test"
PUBLIC_SURVEY = CLOSED_SURVEY.replace("id: closed", "id: open").replace("access: closed", "access: public")

NewHost = Callable[..., flask.Flask]


@contextlib.contextmanager
def hosts_in(tmp_path: Path) -> Iterator[NewHost]:
    """Yield a function that creates an application; close them all."""
    hosts: list[tuple[Stepkeep, flask.Flask]] = []
    surveys = tmp_path / "surveys"
    surveys.mkdir()
    (surveys / "open.yaml").write_text(PUBLIC_SURVEY)
    (surveys / "closed.yaml").write_text(CLOSED_SURVEY)

    def make(extension: Stepkeep | None = None, **config: Any) -> flask.Flask:
        app = flask.Flask("host", instance_path=str(tmp_path / f"instance-{len(hosts)}"))
        app.config.from_mapping(
            {
                "SECRET_KEY": secrets.token_urlsafe(32),
                "STEPKEEP_SURVEYS_DIR": surveys,
                "STEPKEEP_DATABASE_URL": create_sqlite(tmp_path / f"{len(hosts)}.db"),
                **config,
            }
        )
        extension = extension or Stepkeep(participant=user, dashboard=is_admin, login_url=login_url)
        extension.init_app(app)
        add_pages(app)
        hosts.append((extension, app))
        return app

    yield make
    for extension, app in hosts:
        extension.close(app)


def user() -> str | None:
    name: str | None = flask.session.get("user")
    return name


def is_admin() -> bool:
    return user() == "admin"


def login_url() -> str:
    return flask.url_for("login", next=flask.request.path)


def add_pages(app: flask.Flask) -> None:
    """Add a login, a page that fails, an error page for what is not found, and a header."""

    @app.route("/login", methods=["GET", "POST"])
    def login() -> str:
        flask.session["user"] = flask.request.args.get("user")
        return "signed in"

    @app.get("/bug")
    def bug() -> str:
        raise ZeroDivisionError

    app.register_error_handler(404, lambda _error: ("no such page of the host", 404))
    app.register_error_handler(500, lambda _error: ("the host's error page", 500))
    app.after_request(add_header)


def add_header(response: flask.Response) -> flask.Response:
    response.headers["X-Host"] = "yes"
    return response


def client_of(app: flask.Flask, name: str | None = None) -> FlaskClient:
    """Return a browser, signed in under this name."""
    client = app.test_client()
    if name is not None:
        assert client.get("/login", query_string={"user": name}, base_url=HOST).status_code == 200
    return client


def get(client: FlaskClient, path: str, **options: Any) -> Any:
    return client.get(path, base_url=HOST, buffered=True, **options)


def mounted(app: flask.Flask) -> Any:
    return app.extensions["stepkeep"].context
