"""At which address the application answers: its own, however it is written, and in development this machine's alone."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.sessions.service import open_store
from app.settings import Settings
from app.web.factory import create_app, doubts
from tests.conftest import SURVEYS
from tests.databases import create_sqlite
from tests.web.production import EVIL, SITE, production_app

COOKIE = "__Host-stepkeep.phq9"


@pytest.fixture
def settings_here(tmp_path: Path) -> Settings:
    """Settings with an empty SQLite file."""
    url = create_sqlite(tmp_path / "here.db")
    return Settings(database_url=url, surveys_dir=SURVEYS)


@contextlib.contextmanager
def developing(settings: Settings, proxies: int) -> Iterator[FlaskClient]:
    """Give a client of the application in development, at its own address."""
    store = open_store(settings.model_copy(update={"environment": "development", "proxies": proxies}))
    app = create_app(store.settings, store)
    with contextlib.closing(store), contextlib.closing(app.extensions["stepkeep_access"].credentials.revocations):
        yield app.test_client()


@pytest.mark.parametrize("proxies", [0, 1])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Real-IP"])
def test_development_refuses_what_a_proxy_passes_on(
    settings_here: Settings, caplog: pytest.LogCaptureFixture, header: str, proxies: int
) -> None:
    """Whoever asks came from elsewhere through it: 403 for everything, and what it says is not believed."""
    with developing(settings_here, proxies) as client:
        for path in ("/", "/api/sessions", "/healthz", "/assets/style.css"):
            assert client.get(path, buffered=True).status_code == 200
            for value in ("127.0.0.1", "198.51.100.9", ""):
                answer = client.get(path, headers={header: value}, buffered=True)
                assert answer.status_code == 403, (path, value)
        told = [record.getMessage() for record in caplog.records if record.name == "stepkeep.security"]
        assert told
        assert not [line for line in told if "address='127.0.0.1'" not in line]


def test_development_believes_no_proxy(settings_here: Settings) -> None:
    """Not by STEPKEEP_PROXIES either: nobody's word makes a plain address one of TLS, or of this machine."""
    with developing(settings_here, 1) as client:
        said = {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"}
        answer = client.post("/api/surveys/phq9/participants", headers=said)
        assert answer.json["link"].startswith("http://localhost/")
        elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
        passed_on = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost"}
        assert client.get("/api/sessions", headers=passed_on, environ_base=elsewhere).status_code == 403


@pytest.mark.parametrize(
    ("written", "understood"),
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
def test_public_url_is_what_browsers_make_of_it(written: str, understood: str) -> None:
    """In lower case and without its scheme's own port (RFC 6454, 6.1); another port stays."""
    assert Settings(public_url=written).public_url == understood


def test_browser_gets_in_however_public_url_is_written(settings_here: Settings) -> None:
    """Its Host, with or without the port, and its Origin match; links are as browsers write them."""
    with production_app(settings_here, public_url=Settings(public_url="HTTPS://Survey.Test:443").public_url) as app:
        app.begin_session("somebody")
        for host in ("survey.test", "survey.test:443", "SURVEY.TEST"):
            assert app.request("GET", "/", headers={"Host": host}).status_code == 200, host
        own = {"Cookie": f"{COOKIE}={app.create_token('somebody')}", "Origin": SITE}
        answer = app.request("POST", "/api/session/somebody/link?survey=phq9", headers=own)
        assert answer.status_code == 200
        assert answer.json["link"].startswith(f"{SITE}/resume#")


def test_health_is_told_at_any_address_and_nothing_else(
    settings_here: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A load balancer asks by the machine's address; other pages with another Host are 400, and the log says so."""
    with production_app(settings_here) as app:
        for base in ("http://10.0.0.5:8000", "http://127.0.0.1:8000", "http://[::1]", EVIL, f"{SITE}.evil.test"):
            for path in ("/healthz", "/readyz"):
                assert app.request("GET", path, base_url=base).status_code == 200, base
            caplog.clear()
            address = {"REMOTE_ADDR": f"192.0.2.{len(base)}"}  # of one address a line is written once a minute
            for path in ("/", "/api/surveys", "/s/phq9", "/assets/style.css", "/nowhere", "/healthz/"):
                answer = app.request("GET", path, base_url=base, environ_base=address)
                assert answer.status_code == 400, (base, path)
                assert "evil" not in answer.text
            (line,) = [record.getMessage() for record in caplog.records if record.name == "stepkeep.security"]
            assert line.startswith("wrong_host ")
            assert f"host='{base.partition('://')[2]}'" in line


@pytest.mark.parametrize(
    ("environment", "url", "proxies", "told"),
    [
        ("production", "", 0, ["STEPKEEP_PUBLIC_URL is not set"]),
        ("production", SITE, 0, ["STEPKEEP_PROXIES is 0"]),
        ("production", SITE, 1, []),
        ("production", "http://localhost:8000", 0, []),
        ("development", "", 0, []),
    ],
)
def test_operator_is_told_what_he_may_have_forgotten(environment: str, url: str, proxies: int, told: list[str]) -> None:
    """And the server starts all the same: how it is reached, and whether through a proxy, only he knows."""
    settings = Settings(environment=environment, public_url=url, proxies=proxies)
    assert [doubt[: len(start)] for doubt, start in zip(doubts(settings), told, strict=True)] == told
