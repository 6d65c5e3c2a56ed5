"""Stepkeep in an existing Flask application: what is Stepkeep's stays below its prefix, and the rest is the host's."""

import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import flask
import pytest
from werkzeug.exceptions import BadRequest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from app.errors import ConfigurationError, StoreInUse
from app.flask import Stepkeep
from app.store.engine import normalise_url, server_lock
from app.survey.snapshot import SessionKey
from tests.databases import create_sqlite
from tests.flask_host import HOST, NewHost, client_of, get, hosts_in, login_url, mounted, user


@pytest.fixture
def new_host(tmp_path: Path) -> Iterator[NewHost]:
    with hosts_in(tmp_path) as new_host:
        yield new_host


def test_hosts_responses_are_as_without_stepkeep(new_host: NewHost) -> None:
    """Its errors, its headers, its cookies: neither Stepkeep's error handlers nor its security headers reach them."""
    app = new_host()
    client = client_of(app, "ada")
    assert get(client, "/surveys/s/open").status_code == 200
    answers = [get(client, path) for path in ("/login", "/nowhere", "/bug", "/api/sessions", "/assets/style.css")]
    assert [(answer.status_code, answer.text) for answer in answers] == [
        (200, "signed in"),
        (404, "no such page of the host"),
        (500, "the host's error page"),
        (404, "no such page of the host"),
        (404, "no such page of the host"),
    ]
    own = {"Content-Type", "Content-Length", "Vary", "X-Host", "Set-Cookie"}
    assert not [set(answer.headers.keys()) - own for answer in answers if set(answer.headers.keys()) - own]


def test_stepkeeps_responses_have_its_headers_and_errors(new_host: NewHost) -> None:
    """Except HSTS, which concerns the whole host; the host's hooks apply, as to each of its blueprints."""
    client = client_of(new_host(), "ada")
    page, missing, api = (
        get(client, f"/surveys/{path}") for path in ("s/open", "nowhere", "api/session/ben?survey=open")
    )
    for answer in (page, missing, api):
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in answer.headers
        assert answer.headers["X-Host"] == "yes"
    assert (missing.status_code, "host" in missing.text) == (404, False)
    assert (api.status_code, api.json["code"]) == (403, "forbidden")


def test_addresses_have_the_prefix(new_host: NewHost) -> None:
    """In pages, redirects, the OpenAPI document and links; url_for of the host knows the most important ones."""
    app = new_host()
    client = client_of(app, "ada")
    text = get(client, "/surveys/s/open").text
    assert 'data-origin="/surveys/"' in text
    addresses = re.findall('"(/[a-z][^"]*)"', text)
    assert addresses
    assert not [address for address in addresses if not address.startswith("/surveys/")]
    assert get(client, "/surveys/openapi.json").json["servers"] == [{"url": "/surveys/"}]
    assert get(client, "/surveys").headers["Location"] == f"{HOST}/surveys/"
    link = client.post("/surveys/api/session/ada/link?survey=open", base_url=HOST, headers={"Origin": HOST})
    assert link.json["link"].startswith(f"{HOST}/surveys/resume#")
    with app.test_request_context(base_url=HOST):
        assert flask.url_for("stepkeep.survey", survey_id="open") == "/surveys/s/open"
        assert flask.url_for("stepkeep.dashboard") == "/surveys/dashboard"


def test_prefix_of_the_server_may_have_any_characters(new_host: NewHost) -> None:
    """WSGI has UTF-8 as Latin-1 (PEP 3333)."""
    app = new_host(Stepkeep())
    client = Client(DispatcherMiddleware(flask.Flask("outer"), {"/präxis".encode().decode("latin-1"): app}))
    answer = client.get("/präxis/surveys/s/open", base_url=HOST, buffered=True)
    assert 'data-origin="/präxis/surveys/"' in answer.text


def test_prefix_is_added_to_that_of_the_server(new_host: NewHost) -> None:
    """SCRIPT_NAME, where the whole application is mounted itself."""
    app = new_host(Stepkeep(url_prefix="/a/surveys"))
    client = Client(DispatcherMiddleware(flask.Flask("outer"), {"/clinic": app}))
    answer = client.get("/clinic/a/surveys/s/open", base_url=HOST, buffered=True)
    assert 'data-origin="/clinic/a/surveys/"' in answer.text
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Secure-stepkeep.open=")
    assert "Path=/clinic/a/surveys/;" in cookie
    assert client.get("/clinic/a/surveys/s/open", base_url=HOST, buffered=True).headers.getlist("Set-Cookie") == []


def test_server_without_sockets_for_applications_is_named(new_host: NewHost) -> None:
    """The handshake gets 501, not an internal error."""
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    answer = get(client_of(new_host(), "ada"), "/surveys/ws/survey/ada?survey=open", headers=handshake)
    assert answer.status_code == 501


def test_one_extension_serves_several_applications(new_host: NewHost) -> None:
    """Each with its own database; a second extension can have another prefix in the same application."""
    extension = Stepkeep(participant=user)
    first, second = new_host(extension), new_host(extension)
    mounted(first).store.turns.get_or_create(SessionKey("open", "ada"), is_audio_mode=False)
    path = "/surveys/api/session/ada?survey=open"
    assert get(client_of(first, "ada"), path).status_code == 200
    assert get(client_of(second, "ada"), path).status_code == 404
    other = Stepkeep(url_prefix="/other", name="other")
    first.config["STEPKEEP_DATABASE_URL"] += ".other.db"
    create_sqlite(Path(first.config["STEPKEEP_DATABASE_URL"].removeprefix("sqlite:///")))
    first._got_first_request = False  # Flask forbids setting up an application that has served requests
    other.init_app(first)
    assert 'data-origin="/other/"' in get(client_of(first), "/other/s/open").text
    other.close(first)


@pytest.mark.parametrize(
    ("config", "is_one"),
    [
        ({}, False),
        ({"STEPKEEP_WEB_CONCURRENCY": 1}, True),
        ({"STEPKEEP_DATABASE_URL": None}, True),
    ],
)
def test_process_is_one_of_several_unless_the_setting_says_otherwise(
    new_host: NewHost, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], is_one: bool
) -> None:
    """The extension can't see how many the host's server has; in an outage, one of several knows no new participant.

    A SQLite file has one. WEB_CONCURRENCY is the server's default, which ``gunicorn -w 4`` overrides.
    """
    monkeypatch.setenv("WEB_CONCURRENCY", "1")
    app = new_host(**{"STEPKEEP_DATABASE_URL": "mysql://root@127.0.0.1/none", **config})
    assert (app.extensions["stepkeep"].settings.web_concurrency == 1) is is_one


def test_second_process_on_a_sqlite_file_is_refused(new_host: NewHost) -> None:
    """Until the first closes it, from any thread; two extensions in one process may share it."""
    first = Stepkeep()
    app = new_host(first)
    url = normalise_url(app.config["STEPKEEP_DATABASE_URL"])
    thread = threading.Thread(target=first.open, args=[app])
    thread.start()
    thread.join()
    second = Stepkeep(url_prefix="/second", name="second")
    second.init_app(app)
    second.open(app)
    first.close(app)
    with pytest.raises(StoreInUse):
        server_lock(url)
    second.close(app)
    lock = server_lock(url)
    assert lock is not None
    with pytest.raises(StoreInUse, match="in use by another server process"):
        first.open(app)
    lock.release()
    first.open(app)


@pytest.mark.parametrize("command", ["uvicorn", "granian", "clinic"])
def test_background_work_starts_under_any_command_of_the_hosts(new_host: NewHost, command: str) -> None:
    """Many servers are click commands; only Stepkeep's own commands do without webhooks and maintenance."""
    extension = Stepkeep()
    app = new_host(extension, STEPKEEP_MAINTENANCE_MINUTES=60)
    before = set(threading.enumerate())
    with click.Context(click.Command(command), info_name=command):
        extension.open(app)
        with pytest.raises(ConfigurationError, match="STEPKEEP_ARCHIVE_DIR"):
            new_host(Stepkeep(), STEPKEEP_ARCHIVE_DIR="none")
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert names >= {"stepkeep-webhooks", "stepkeep-maintenance"}


@pytest.mark.parametrize("key", ["q3vX9sT1-kR8wLz5,yB2nM7cD", " q3vX9sT1-kR8wLz5-yB2nM7cD"])
def test_fallback_key_that_the_setting_can_not_hold_is_refused(new_host: NewHost, key: str) -> None:
    """It would become two keys, or another one, and what it signed would be invalid."""
    with pytest.raises(ConfigurationError, match="of SECRET_KEY_FALLBACKS"):
        new_host(SECRET_KEY_FALLBACKS=[key], DEBUG=True)
    new_host(SECRET_KEY_FALLBACKS=[key], STEPKEEP_SECRET_KEY_FALLBACKS=secrets.token_urlsafe(32))


def test_hosts_functions_are_not_called_for_static_files(new_host: NewHost) -> None:
    """They may read the database, and a page has many files."""
    calls: list[str] = []

    def record() -> None:
        calls.append(flask.request.path)

    client = client_of(new_host(Stepkeep(participant=record, login_url=login_url)))
    text = get(client, "/surveys/").text
    (style, *_) = re.findall('"(/surveys/assets/[^"]*css)"', text)
    assert get(client, style).status_code == 200
    assert calls == ["/surveys/"]


def test_extension_that_is_not_set_up_is_named() -> None:
    app = flask.Flask("host")
    for use in (Stepkeep().open, Stepkeep().close):
        with pytest.raises(RuntimeError, match=r"init_app\(app\)"):
            use(app)


def test_store_is_that_of_the_current_application(new_host: NewHost) -> None:
    extension = Stepkeep()
    app = new_host(extension)
    with app.app_context():
        assert extension.store is mounted(app).store
    extension.open(app)
    extension.close(app)
    assert get(client_of(app), "/surveys/s/open").status_code == 200  # opened again


def test_unprefixed_variables_are_the_hosts(new_host: NewHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DATABASE_URL names the host's database, in which Stepkeep creates no tables."""
    theirs = tmp_path / "host.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{theirs}")
    app = new_host(STEPKEEP_DATABASE_URL=None)
    del app.config["STEPKEEP_DATABASE_URL"]
    again = Stepkeep(name="again", url_prefix="/again")
    again.init_app(app)
    assert get(client_of(app), "/again/s/open").status_code == 200
    assert (Path(app.instance_path) / "stepkeep.db").exists()
    assert not theirs.exists()
    again.close(app)


def test_errors_of_the_hosts_functions_are_the_hosts(new_host: NewHost) -> None:
    """Its error page is shown, and its error handlers apply."""

    def fail() -> str:
        raise BadRequest("of the host")

    answer = get(client_of(new_host(Stepkeep(participant=fail))), "/surveys/s/open")
    assert (answer.status_code, "of the host" in answer.text) == (400, True)


@pytest.mark.parametrize("prefix", ["", "/", "surveys", "/surveys/", "/<name>", "/a b"])
def test_prefix_that_can_not_be_served_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="url_prefix"):
        Stepkeep(url_prefix=prefix)


def test_weak_secret_key_is_refused_before_a_database_is_opened(new_host: NewHost) -> None:
    with pytest.raises(ConfigurationError, match="SECRET_KEY is weak"):
        new_host(SECRET_KEY="dev")
