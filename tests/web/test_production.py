"""The server as it is in production: what it starts with, what its responses say to browsers, and what it refuses."""

import http.client
import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin
from werkzeug.test import TestResponse

from app.errors import ConfigurationError, DatabaseUnavailable, ErasureNotListed, MissingKey, StepkeepError
from app.sessions.service import open_store
from app.settings import Settings
from app.web.factory import create_app
from tests.conftest import ROOT, SURVEYS, Server, Servers
from tests.databases import create_sqlite
from tests.store.contents import dump
from tests.waiting import free_port
from tests.web.conftest import running_server
from tests.web.http_client import WEAK_KEYS, all_responses, exchange, run_gunicorn, run_server, send_raw, send_row
from tests.web.matrix import ROWS
from tests.web.production import (
    EVIL,
    SITE,
    App,
    in_production,
    listening,
    production,
    production_app,
    production_app_on,
    random_secret,
)
from tests.web.sockets import refusal, socket_to

OWN_ADDRESS = "survey.test"
COOKIE = "__Host-stepkeep.phq9"
SIGN_IN_COOKIE = "__Host-stepkeep-sign-in"
YEAR_S = 365 * 86_400


class MakeRun(Server):
    """A server that is started as `make run` does."""

    @property
    def command(self) -> list[str]:
        return ["app.serve"]


@pytest.fixture(scope="module")
def app(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application, with a key that may do everything."""
    with production_app_on(
        "sqlite", servers, tmp_path_factory.mktemp("app"), address_failures="1000000/hour"
    ) as opened_door:
        yield opened_door


@pytest.fixture(scope="module")
def served(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server, with the switch on that shows faults in other programs."""
    folder = tmp_path_factory.mktemp("served")
    with running_server("sqlite", servers, folder, **in_production(FLASK_DEBUG="1")) as server:
        yield server


@pytest.fixture
def settings_here(tmp_path: Path) -> Settings:
    """Settings with an empty SQLite file."""
    url = create_sqlite(tmp_path / "here.db")
    return Settings(database_url=url, surveys_dir=SURVEYS)


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../factory.py",
        "/assets/../templates/base.html",
        "/assets/%2e%2e/factory.py",
        "/assets/..%2ffactory.py",
        "/assets/%2e%2e%2ffactory.py",
        "/assets/..%5cfactory.py",
        "/assets/vendor/../../factory.py",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/style.css%00.py",
        "/.git/config",
        "/assets/.git/config",
        "/wsgi.py",
        "/static/style.css",
        "/survey_sessions.db",
    ],
)
def test_asset_outside_of_its_folder_is_not_found(served: Server, path: str) -> None:
    """However the way out is written: 404, and nothing of a file."""
    answer = send_raw(served, "GET", path, "Connection: close")
    assert re.match(r"HTTP/1.1 (404|308) ", answer), answer[:200]  # 308: to the path without its doubled slash
    assert "import" not in answer
    assert "root:" not in answer


def test_folder_of_assets_is_not_listed(app: App) -> None:
    """No folder answers with what is in it."""
    for path in ("/assets", "/assets/", "/assets/vendor", "/assets/vendor/", "/assets/.", "/s/", "/api/"):
        answer = app.request("GET", path)
        assert answer.status_code == 404, path
        assert ".js" not in answer.text, path


def test_cookies_are_host_only_secure_and_of_one_site(app: App) -> None:
    """Both bear the prefix __Host-, so that no other host sets them; no script reads them."""
    answers = [
        (app.request("GET", "/s/phq9"), COOKIE, "Lax"),
        (app.request("POST", "/s/phq9/anew"), COOKIE, "Lax"),
        (app.request("POST", "/resume", json={"token": app.create_token("somebody")}), COOKIE, "Lax"),
        (app.request("POST", "/leave?survey=phq9"), COOKIE, "Lax"),
        (app.request("POST", "/sign-in", data={"key": app.create_key()}), SIGN_IN_COOKIE, "Strict"),
    ]
    for answer, name, site in answers:
        (cookie,) = answer.headers.getlist("Set-Cookie")
        parts = [part.strip() for part in cookie.split(";")]
        assert parts[0].startswith(f"{name}=")
        assert {"Secure", "HttpOnly", "Path=/", f"SameSite={site}"} <= set(parts)
        assert not [part for part in parts if part.lower().startswith("domain")]


def cors_of(answer: TestResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("access-control-")}


def test_cors_is_off_unless_the_origin_is_allowed(app: App, settings_here: Settings) -> None:
    """No header of CORS by itself; with STEPKEEP_ALLOWED_ORIGINS for exactly these, for REST alone, and never with cookies."""
    preflight = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "Authorization"}
    for origin in (SITE, EVIL, "null"):
        for row in ROWS:
            assert not cors_of(send_row(app, row, Origin=origin)), row
        assert not cors_of(app.request("OPTIONS", "/api/sessions", headers={"Origin": origin, **preflight}))
    with production_app(settings_here, allowed_origins="https://app.test, https://two.test/") as other:
        for origin in ("https://app.test", "https://two.test"):
            found = cors_of(other.request("OPTIONS", "/api/sessions", headers={"Origin": origin, **preflight}))
            assert found["Access-Control-Allow-Origin"] == origin
            assert "Access-Control-Allow-Credentials" not in found
            assert not cors_of(other.request("GET", "/", headers={"Origin": origin}))
        wrong = ["http://app.test", "https://app.test.evil.test", "https://appxtest", "https://app.test:8443", "null"]
        for origin in [*wrong, "https://evil.test/https://app.test", SITE]:
            assert not cors_of(other.request("OPTIONS", "/api/sessions", headers={"Origin": origin, **preflight})), (
                origin
            )
            assert not cors_of(other.request("GET", "/api/surveys", headers={"Origin": origin})), origin


@pytest.mark.parametrize(
    "weak", ["none", *(pytest.param(weak, marks=pytest.mark.long) for weak in WEAK_KEYS if weak != "none")]
)
def test_production_does_not_start_without_a_strong_secret_key(tmp_path: Path, weak: str) -> None:
    """Under gunicorn and by `make run`: one line that says what to do, exit code 1, and no database is made."""
    ended = [run_gunicorn(tmp_path, **WEAK_KEYS[weak])]
    ended.append(run_server("app.serve", folder=tmp_path, HOST="0.0.0.0", **WEAK_KEYS[weak]))  # noqa: S104 - it must not start
    if weak == "none":
        ended.append(run_server("flask", "--app", "wsgi", "api-keys", "list", folder=tmp_path))
    for done in ended:
        assert done.returncode == 1, done.stderr
        (line,) = done.stderr.splitlines()
        assert "SECRET_KEY" in line
        assert "secrets.token_urlsafe(32)" in line
        assert not [value for value in WEAK_KEYS[weak].values() if value and value in line]
    assert not list(tmp_path.iterdir())


def test_development_says_so_in_one_line(tmp_path: Path) -> None:
    """Who runs it without any setting reads that nobody is asked for credentials, and for whom it is."""
    server = MakeRun(tmp_path)
    server.start()
    try:
        told = [line for line in server.log.splitlines() if "Development mode" in line]
    finally:
        server.stop()
    assert told == ["Development mode: no authentication, and only this machine is served."]


def test_development_is_for_loopback_only(tmp_path: Path, settings_here: Settings) -> None:
    """It listens nowhere else, and serves no other address, name or machine, however it was started."""
    everywhere = "0.0.0.0"  # noqa: S104 - it must not start
    for done in (
        run_server("app.serve", folder=tmp_path, HOST=everywhere, STEPKEEP_ENVIRONMENT="development"),
        run_gunicorn(tmp_path, HOST=everywhere, STEPKEEP_ENVIRONMENT="development"),
        run_gunicorn(
            tmp_path, STEPKEEP_ENVIRONMENT="development", GUNICORN_CMD_ARGS=f"--bind {everywhere}:{free_port()}"
        ),
        run_gunicorn(tmp_path, STEPKEEP_ENVIRONMENT="development", GUNICORN_CMD_ARGS=f"--bind [::]:{free_port()}"),
    ):
        assert done.returncode == 1
        assert "evelopment mode has no authentication" in done.stderr
    store = open_store(settings_here.model_copy(update={"environment": "development"}))
    app = create_app(store.settings, store)
    asks = [
        ("http://127.0.0.1:8000", "127.0.0.1", 200),
        ("http://localhost:8000", "127.0.0.1", 200),
        ("http://[::1]:8000", "::1", 200),
        ("http://evil.test", "127.0.0.1", 403),
        ("http://127.0.0.1.evil.test", "127.0.0.1", 403),
        ("http://192.0.2.1", "127.0.0.1", 403),
        ("http://127.0.0.1:8000", "192.0.2.7", 403),
    ]
    for base, remote, status in asks:
        for path in ("/", "/api/sessions", "/healthz", "/assets/style.css"):
            with app.test_client() as client:
                answer = client.get(path, base_url=base, environ_base={"REMOTE_ADDR": remote}, buffered=True)
            assert answer.status_code == status, (base, remote, path)
    app.extensions["stepkeep"].authenticator.credentials.revocations.close()
    store.close()


INSIDE = re.compile(r"Traceback|File \"|\.py\b|sqlalchemy|sqlite|psycopg|/srv|site-packages|werkzeug", re.IGNORECASE)


def test_error_bodies_say_nothing_of_the_inside(
    settings_here: Settings, served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fixed sentence for faults of ours, whatever FLASK_DEBUG says; no types, places or versions anywhere."""
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with production_app(settings_here) as app:
        for label, answer in all_responses(app):
            if answer.status_code >= 400:
                assert not INSIDE.search(answer.text), label
        token = app.create_token("somebody")

        def fail(*_: object) -> None:
            raise RuntimeError("sqlite at /srv/stepkeep/secret.py")

        monkeypatch.setattr(app.store.queries, "load", fail)
        answer = app.request("GET", "/api/session/somebody?survey=phq9", token)
        assert (answer.status_code, answer.json["code"]) == (500, "internal")
        assert answer.json["detail"] == "Internal server error. Acknowledged answers are saved."
        monkeypatch.setattr(
            app.store.queries, "database_facts", lambda: (_ for _ in ()).throw(DatabaseUnavailable("psycopg"))
        )
        answer = app.request("GET", "/readyz")
        assert (answer.status_code, INSIDE.search(answer.text)) == (503, None)
    for answer in (
        send_raw(served, "GET", "/nowhere"),
        send_raw(served, "GET", "/\x00"),
        exchange(served, b"nonsense\r\n\r\n"),
    ):
        assert not re.search(r"Traceback|File \"|gunicorn/\d|Python/\d|Werkzeug/\d", answer), answer
    asked_for = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    asked_for.request("GET", "/readyz")
    assert json.loads(asked_for.getresponse().read()) == {"status": "ready"}
    asked_for.close()


@pytest.mark.parametrize(
    ("fault", "inside"),
    [
        (MissingKey("0123456789ab"), ("0123456789ab", "STEPKEEP_ANSWERS_KEYS")),
        (ErasureNotListed("/srv/lists/erasures.jsonl", "No space left"), ("/srv/lists", "erasures.jsonl", "No space")),
    ],
    ids=["MissingKey", "ErasureNotListed"],
)
def test_which_key_or_file_is_missing_is_for_the_log_alone(
    settings_here: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: StepkeepError,
    inside: tuple[str, ...],
) -> None:
    """503 and a sentence for whoever asks, a key's holder too; the operator reads which one it is."""

    def fail(*_: object) -> None:
        raise fault

    with production_app(settings_here) as app:
        app.begin_session("somebody")
        monkeypatch.setattr(app.store.queries, "load", fail)
        monkeypatch.setattr(app.store.erasure, "delete", fail)
        for method in ("GET", "DELETE"):
            caplog.clear()
            answer = app.request(method, "/api/session/somebody?survey=phq9", app.create_key())
            assert (answer.status_code, answer.json["code"]) == (503, fault.code)
            assert not [word for word in inside if word in answer.text]
            (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
            assert not [word for word in inside if word not in line]


def test_which_key_is_missing_is_not_told_on_a_socket(
    settings_here: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is closed with 1013, and the operator reads in the log which one it is."""

    def fail(*_: object, **__: object) -> None:
        raise MissingKey("0123456789ab")

    with production_app(settings_here) as app, listening(app.flask) as port:
        monkeypatch.setattr(app.store.turns, "join", fail)
        with socket_to(port, "somebody", app.create_token("somebody")) as ws:
            assert "0123456789ab" not in ws.recv(timeout=10)
            assert refusal(ws) == 1013
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        str(MissingKey("0123456789ab"))
    ]


def test_every_response_asks_for_https_for_a_year(app: App) -> None:
    """Of subdomains too (RFC 6797); a year at least."""
    for label, answer in all_responses(app):
        header = answer.headers.get("Strict-Transport-Security", "")
        found = re.fullmatch(r"max-age=(\d+); includeSubDomains", header)
        assert found, label
        assert int(found[1]) >= YEAR_S


def test_every_response_has_the_security_headers(app: App) -> None:
    """Whatever it answers: no guessing of types, no frames, no referrer, no sharing with other sites' pages."""
    wanted = {
        "X-Content-Type-Options": {"nosniff"},
        "Referrer-Policy": {"no-referrer", "same-origin"},
        "Cross-Origin-Opener-Policy": {"same-origin"},
        "Cross-Origin-Resource-Policy": {"same-origin"},
    }
    for label, answer in all_responses(app):
        for name, values in wanted.items():
            assert answer.headers.get(name) in values, f"{label}: {name}"
        policy = answer.headers.get("Content-Security-Policy", "")
        assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy.split("; ")), label
        assert "microphone=(self)" in answer.headers.get("Permissions-Policy", ""), label
        assert "X-Powered-By" not in answer.headers


def test_every_response_names_its_type(app: App) -> None:
    """And its character set where it is text; each of our assets is what its name says."""
    for label, answer in all_responses(app):
        if answer.data:
            kind = answer.headers.get("Content-Type", "")
            assert re.fullmatch(r"[a-z]+/[a-z+-]+(; version=0\.0\.4)?(; charset=utf-8)?", kind), f"{label}: {kind}"
            assert kind.endswith("; charset=utf-8") or not kind.startswith("text/"), label
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
    folder = ROOT / "app" / "web" / "static"
    for file in sorted(path for path in folder.rglob("*") if path.suffix in kinds):
        answer = app.request("GET", f"/assets/{file.relative_to(folder)}")
        assert answer.mimetype == kinds[file.suffix], file
        assert answer.headers["Content-Type"].endswith("; charset=utf-8") or file.suffix == ".woff2", file


def test_policy_lets_in_nothing_but_our_own_files(app: App) -> None:
    """Scripts, styles and connections are our own; nothing stands inline, and no page asks another host."""
    policy = dict(part.split(" ", 1) for part in app.request("GET", "/").headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    for label, answer in all_responses(app):
        if answer.mimetype != "text/html":
            continue
        page = answer.text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page), label
        sources = re.findall(r"<(?:script|img|link|iframe|form)\b[^>]*\b(?:src|href|action)=\"([^\"]*)\"", page)
        assert not [source for source in sources if re.match(r"//|[a-z]+:", source)], label


def logged_address(caplog: pytest.LogCaptureFixture) -> str:
    """Return the address that the log's last line is about."""
    found = re.search(r"address='([^']*)'", caplog.records[-1].getMessage())
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "192.0.2.7", "127.0.0.1"),
        (1, "192.0.2.7", "192.0.2.7"),
        (1, "198.51.100.1, 192.0.2.7", "192.0.2.7"),
        (2, "198.51.100.1, 192.0.2.7, 192.0.2.8", "192.0.2.7"),
        (2, "192.0.2.7", "127.0.0.1"),
    ],
)
def test_forwarded_headers_count_from_trusted_proxies_only(
    settings_here: Settings, caplog: pytest.LogCaptureFixture, proxies: int, forwarded: str, address: str
) -> None:
    """As many hops as STEPKEEP_PROXIES says, counted from the server; what the client wrote before is nobody's address."""
    caplog.set_level(logging.WARNING, "stepkeep.security")
    with production_app(settings_here, proxies=proxies, public_url="") as app:
        headers = {
            "X-Forwarded-For": forwarded,
            "X-Forwarded-Host": "forged.test",
            "X-Forwarded-Proto": "https",
            "Forwarded": "for=198.51.100.9;host=forged.test",
            "X-Real-IP": "198.51.100.9",
        }
        assert app.request("GET", "/api/sessions", headers=headers).status_code == 401
        assert logged_address(caplog) == address
        link = app.request("POST", "/api/surveys/phq9/participants", headers=headers).json["link"]
        believed = proxies == 1
        assert link.startswith("https://forged.test/" if believed else f"{SITE}/")


def stored(app: App) -> dict[str, Any]:
    return {name: rows for name, rows in dump(app.store).items() if name != "audit_log"}


def test_get_changes_nothing(app: App) -> None:
    """Whoever asks, and with whichever arguments: what is stored stays."""
    app.begin_session("somebody")
    token, key = app.create_token("somebody"), app.create_key()
    before = stored(app)
    for row in ROWS:
        if row.method != "GET":
            continue
        for headers in (
            {"Authorization": f"Bearer {token}"},
            {"Authorization": f"Bearer {key}", "X-HTTP-Method-Override": "DELETE"},
            {"Cookie": f"{COOKIE}={token}"},
        ):
            for user_id in ("somebody", "nobody-yet"):
                app.request("GET", row.path.format(user=user_id), headers=headers)
        for method in ("HEAD", "OPTIONS"):
            app.request(method, f"{row.path.format(user='somebody')}&_method=DELETE", key)
    assert stored(app) == before


def test_production_wants_an_https_address(tmp_path: Path, settings_here: Settings) -> None:
    """http:// in STEPKEEP_PUBLIC_URL stops the start with one line; on this machine, for a trial, it may be."""
    for module, arguments in (("gunicorn", ["--config", "gunicorn.conf.py", "wsgi:app"]), ("app.serve", [])):
        address = {"STEPKEEP_PUBLIC_URL": "http://survey.example.org", "SECRET_KEY": random_secret()}
        done = run_server(module, *arguments, folder=tmp_path, STEPKEEP_ENVIRONMENT="production", **address)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "STEPKEEP_PUBLIC_URL must begin with https://" in line
    with pytest.raises(ConfigurationError, match="https"):
        create_app(production(settings_here, public_url="http://survey.example.org"))
    for url in ("http://localhost:8000", "http://127.0.0.1:8000", "https://survey.example.org"):
        with production_app(settings_here, public_url=url):
            pass


def test_redirects_stay_on_this_host(app: App) -> None:
    """Nothing that a request says leads elsewhere: neither a path nor an argument nor a header."""
    seen = 0
    paths = [
        "//evil.test",
        "//evil.test/%2f..",
        "/%2f%2fevil.test",
        "/\\evil.test",
        "/dashboard?next=https://evil.test",
    ]
    answers = [app.request("GET", path) for path in paths] + [answer for _, answer in all_responses(app)]
    answers.append(app.request("POST", "/s/phq9/anew?next=//evil.test", headers={"X-Forwarded-Host": "evil.test"}))
    for answer in answers:
        target = answer.headers.get("Location")
        if target is not None:
            seen += 1
            assert re.match(r"/(?![/\\])", target) or target.startswith(f"{SITE}/"), target
    assert seen > 3


def test_request_with_two_lengths_is_refused(served: Server) -> None:
    """No proxy and server can disagree where it ends (RFC 9112, 6.3): 400, and what follows is not answered."""
    hidden = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    lengths = [
        ("Content-Length: 0", f"Content-Length: {len(hidden)}"),
        (f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Content-Length: +3",),
        (f"Content-Length: {len(hidden)}, 0",),
    ]
    for lines in lengths:
        answer = send_raw(served, "POST", "/leave", *lines, body=f"0\r\n\r\n{hidden}")
        assert re.match(r"HTTP/1.1 (400|501) ", answer), (lines, answer)
        assert answer.count("HTTP/1.1 ") == 1, (lines, answer)
        assert '"status":"ok"' not in answer


@pytest.mark.parametrize(
    "origin", ["http://survey.test", "http://survey.test:443", EVIL, "https://survey.test.evil.test", "null", "file://"]
)
def test_socket_of_a_plain_http_page_is_refused(app: App, origin: str) -> None:
    """STEPKEEP_PUBLIC_URL is https: a page that came over http, or from elsewhere, gets 4403 whatever its cookie is."""
    cookie = {"Cookie": f"{COOKIE}={app.create_token('somebody')}"}
    with listening(app.flask) as port:

        def close_code(asks: str) -> int | None:
            raw_socket = socket.create_connection(("127.0.0.1", port))
            with connect(
                "ws://survey.test/ws/survey/somebody?survey=phq9",
                sock=raw_socket,
                origin=Origin(asks),
                additional_headers=cookie,
            ) as ws:
                try:
                    assert json.loads(ws.recv(timeout=10))["type"] == "state"
                except ConnectionClosed as closed:
                    return None if closed.rcvd is None else closed.rcvd.code
            return 1000

        assert close_code(origin) == 4403
        assert close_code(SITE) == 1000


def test_trace_is_refused(served: Server) -> None:
    """Nothing is echoed (RFC 9110, 9.3.8): no page reads its cookies that way."""
    for method in ("TRACE", "TRACK", "DEBUG", "CONNECT"):
        for path in ("/", "/api/surveys", "/healthz"):
            answer = send_raw(served, method, path, "X-Secret: marker", "Connection: close")
            assert re.match(r"HTTP/1.1 (405|501|400) ", answer), answer
            assert "marker" not in answer


def test_what_is_somebodys_is_never_cached(app: App) -> None:
    """By no browser and no proxy: all but our own files; a request that names what it has gets the same."""
    for label, answer in all_responses(app):
        if not label.startswith("GET /assets"):
            assert answer.headers.get("Cache-Control") == "no-store", label
    app.begin_session("somebody")
    token = app.create_token("somebody")
    first = app.request("GET", "/api/session/somebody?survey=phq9", token)
    again = app.request(
        "GET", "/api/session/somebody?survey=phq9", token, headers={"If-None-Match": first.headers["ETag"]}
    )
    assert again.headers["Cache-Control"] == "no-store"


FROM_ELSEWHERE: list[dict[str, str]] = [
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": "http://survey.test"},
    {"Origin": "https://survey.test.evil.test"},
    {"Origin": "https://survey.test:8443"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": SITE, "Sec-Fetch-Site": "cross-site"},
    {"Origin": EVIL, "Sec-Fetch-Site": "same-origin"},
]


def test_write_with_a_cookie_from_another_page_is_refused(app: App) -> None:
    """Of participants and of the dashboard: 403 and nothing is done, as a form, as text or as JSON."""
    app.begin_session("somebody")
    mine = {"Cookie": f"{COOKIE}={app.create_token('somebody')}"}
    signed_in = app.request("POST", "/sign-in", data={"key": app.create_key()}).headers["Set-Cookie"].partition(";")[0]
    writes = [row for row in ROWS if row.method != "GET" and row.endpoint != "sign_in.begin"]
    before = stored(app)
    for row in writes:
        for elsewhere in FROM_ELSEWHERE:
            for cookie in (mine, {"Cookie": signed_in}):
                for kind in ("application/json", "text/plain"):
                    body = json.dumps(row.options.get("json", {}))
                    answer = app.request(
                        row.method,
                        row.path.format(user="somebody"),
                        data=body,
                        headers={**cookie, **elsewhere, "Content-Type": kind},
                    )
                    is_open = row.endpoint == "participants.create_participant" and cookie is mine
                    if not is_open:  # anybody may ask for an id; a participant's cookie plays no part in it
                        assert answer.status_code in {401, 403}, (row, elsewhere, cookie, answer.text)
                        assert "Set-Cookie" not in answer.headers
    assert stored(app) == before
    own = {**mine, "Origin": SITE, "Sec-Fetch-Site": "same-origin"}
    answer = {"type": "answer", "id": "m-1", "step": "Q1", "value": 2}
    assert (
        app.request("POST", "/api/session/somebody/commands?survey=phq9", json=answer, headers=own).status_code == 200
    )
    token = app.create_token("somebody")  # no browser adds it by itself
    again = {**answer, "id": "m-2"}
    headers = {"Origin": EVIL}
    path = "/api/session/somebody/commands?survey=phq9"
    assert app.request("POST", path, token, json=again, headers=headers).status_code == 200
