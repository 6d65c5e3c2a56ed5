"""The addresses at which the application responds: the public URL in any spelling, and loopback in development."""

import contextlib
import threading
from collections.abc import Iterator

import click
import pytest
from flask.testing import FlaskClient

from app.sessions.service import open_store
from app.settings import Settings
from app.web.factory import config_warnings, create_app
from tests.web.production import EVIL, SITE, production_app

COOKIE = "__Host-stepkeep.phq9"


@contextlib.contextmanager
def development_client(settings: Settings, proxies: int) -> Iterator[FlaskClient]:
    """Yield a client of the application in development."""
    store = open_store(settings.model_copy(update={"environment": "development", "proxies": proxies}))
    app = create_app(store.settings, store)
    with (
        contextlib.closing(store),
        contextlib.closing(app.extensions["stepkeep"].authenticator.credentials.revocations),
    ):
        yield app.test_client()


@pytest.mark.parametrize("proxies", [0, 1])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Real-IP"])
def test_development_refuses_forwarded_requests(
    sqlite_settings: Settings, caplog: pytest.LogCaptureFixture, header: str, proxies: int
) -> None:
    """Their clients are on other machines: 403 for every path, and the headers are not trusted."""
    with development_client(sqlite_settings, proxies) as client:
        for path in ("/", "/api/sessions", "/healthz", "/assets/style.css"):
            assert client.get(path, buffered=True).status_code == 200
            for value in ("127.0.0.1", "198.51.100.9", ""):
                answer = client.get(path, headers={header: value}, buffered=True)
                assert answer.status_code == 403, (path, value)
        lines = [record.getMessage() for record in caplog.records if record.name == "stepkeep.security"]
        assert lines
        assert not [line for line in lines if "address='127.0.0.1'" not in line]


def test_development_trusts_no_proxy(sqlite_settings: Settings) -> None:
    """Not by STEPKEEP_PROXIES either."""
    with development_client(sqlite_settings, 1) as client:
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}
        answer = client.post("/api/surveys/phq9/participants", headers=forwarded)
        assert answer.json["link"].startswith("http://localhost/")
        elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
        loopback = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost"}
        assert client.get("/api/sessions", headers=loopback, environ_base=elsewhere).status_code == 403


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("https://Survey.Test:443", SITE),
        ("HTTPS://SURVEY.TEST", SITE),
        ("https://survey.test", SITE),
        ("https://survey.test:8443", "https://survey.test:8443"),
        ("https://survey.test:4430", "https://survey.test:4430"),
        ("https://survey.test:80", "https://survey.test:80"),
        ("http://LocalHost:80", "http://localhost"),
        ("http://127.0.0.1:443", "http://127.0.0.1:443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("", ""),
    ],
)
def test_public_url_is_normalised_as_in_browsers(url: str, normalised: str) -> None:
    """In lower case and without the scheme's default port (RFC 6454, 6.1)."""
    assert Settings(public_url=url).public_url == normalised


def test_browser_is_accepted_however_public_url_is_written(sqlite_settings: Settings) -> None:
    """Its Host and its Origin match; links have the normalised URL."""
    with production_app(sqlite_settings, public_url=Settings(public_url="HTTPS://Survey.Test:443").public_url) as app:
        app.begin_session("somebody")
        for host in ("survey.test", "survey.test:443", "SURVEY.TEST"):
            assert app.request("GET", "/", headers={"Host": host}).status_code == 200, host
        own = {"Cookie": f"{COOKIE}={app.create_token('somebody')}", "Origin": SITE}
        answer = app.request("POST", "/api/session/somebody/link?survey=phq9", headers=own)
        assert answer.status_code == 200
        assert answer.json["link"].startswith(f"{SITE}/resume#")


def test_health_alone_is_served_at_any_host(sqlite_settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Load balancers use the machine's address; other paths get 400, and a line in the log."""
    with production_app(sqlite_settings) as app:
        for base in ("http://10.0.0.5:8000", "http://127.0.0.1:8000", "http://[::1]", EVIL, f"{SITE}.evil.test"):
            for path in ("/healthz", "/readyz"):
                assert app.request("GET", path, base_url=base).status_code == 200, base
            caplog.clear()
            address = {"REMOTE_ADDR": f"192.0.2.{len(base)}"}  # the log has one line a minute for each address
            for path in ("/", "/api/surveys", "/s/phq9", "/assets/style.css", "/nowhere", "/healthz/"):
                answer = app.request("GET", path, base_url=base, environ_base=address)
                assert answer.status_code == 400, (base, path)
                assert "evil" not in answer.text
            (line,) = [record.getMessage() for record in caplog.records if record.name == "stepkeep.security"]
            assert line.startswith("wrong_host ")
            assert f"host='{base.partition('://')[2]}'" in line


@pytest.mark.parametrize(
    ("environment", "url", "proxies", "warnings"),
    [
        ("production", "", 0, ["STEPKEEP_PUBLIC_URL is not set"]),
        ("production", SITE, 0, ["STEPKEEP_PROXIES is 0"]),
        ("production", SITE, 1, []),
        ("production", "http://localhost:8000", 0, []),
        ("development", "", 0, []),
    ],
)
def test_missing_settings_are_warned_about(environment: str, url: str, proxies: int, warnings: list[str]) -> None:
    """The server starts all the same: the operator may have good reasons."""
    settings = Settings(environment=environment, public_url=url, proxies=proxies)
    assert [
        warning[: len(start)] for warning, start in zip(config_warnings(settings), warnings, strict=True)
    ] == warnings


BACKGROUND = {"stepkeep-keys", "stepkeep-webhooks"}


@pytest.mark.parametrize(("command", "expected"), [("run", BACKGROUND), ("serve", BACKGROUND), ("export", set())])
def test_command_starts_none_of_the_background_work_of_a_server(
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch, command: str, expected: set[str]
) -> None:
    """It would read all session keys, and end before they are of use."""
    started: set[str] = set()
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (started.add(thread.name), start(thread)))
    with click.Context(click.Command(command), info_name=command):
        app = create_app(sqlite_settings.model_copy(update={"environment": "development"}))
    app.extensions["stepkeep"].store.close()
    assert started & BACKGROUND == expected
