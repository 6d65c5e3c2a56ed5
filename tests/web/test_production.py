"""The server in production: its startup, its response headers, and the requests that it refuses."""

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


class ServeModule(Server):
    """A server started with ``python -m app.serve``, as by `make run`."""

    @property
    def command(self) -> list[str]:
        return ["app.serve"]


@pytest.fixture(scope="module")
def app(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application in production."""
    with production_app_on(
        "sqlite", servers, tmp_path_factory.mktemp("app"), address_failures="1000000/hour"
    ) as opened_door:
        yield opened_door


@pytest.fixture(scope="module")
def debug_server(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server, with FLASK_DEBUG on."""
    folder = tmp_path_factory.mktemp("debug_server")
    with running_server("sqlite", servers, folder, **in_production(FLASK_DEBUG="1")) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
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
def test_asset_outside_the_static_directory_is_not_found(debug_server: Server, path: str) -> None:
    """However the path is encoded, the response contains nothing of a file."""
    answer = send_raw(debug_server, "GET", path, "Connection: close")
    assert re.match(r"HTTP/1.1 (404|308) ", answer), answer[:200]  # 308: to the path without its doubled slash
    assert "import" not in answer
    assert "root:" not in answer


def test_directories_are_not_listed(app: App) -> None:
    for path in ("/assets", "/assets/", "/assets/vendor", "/assets/vendor/", "/assets/.", "/s/", "/api/"):
        answer = app.request("GET", path)
        assert answer.status_code == 404, path
        assert ".js" not in answer.text, path


def test_cookies_are_host_only_secure_and_same_site(app: App) -> None:
    """And HttpOnly; with the prefix __Host- no other host can set them."""
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


def cors_headers(answer: TestResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("access-control-")}


def test_cors_is_off_unless_the_origin_is_allowed(app: App, settings: Settings) -> None:
    """By STEPKEEP_ALLOWED_ORIGINS, exactly, for REST only and without cookies."""
    preflight = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "Authorization"}
    for origin in (SITE, EVIL, "null"):
        for row in ROWS:
            assert not cors_headers(send_row(app, row, Origin=origin)), row
        assert not cors_headers(app.request("OPTIONS", "/api/sessions", headers={"Origin": origin, **preflight}))
    with production_app(settings, allowed_origins="https://app.test, https://two.test/") as other:
        for origin in ("https://app.test", "https://two.test"):
            headers = cors_headers(other.request("OPTIONS", "/api/sessions", headers={"Origin": origin, **preflight}))
            assert headers["Access-Control-Allow-Origin"] == origin
            assert "Access-Control-Allow-Credentials" not in headers
            assert not cors_headers(other.request("GET", "/", headers={"Origin": origin}))
        wrong = ["http://app.test", "https://app.test.evil.test", "https://appxtest", "https://app.test:8443", "null"]
        for origin in [*wrong, "https://evil.test/https://app.test", SITE]:
            assert not cors_headers(
                other.request("OPTIONS", "/api/sessions", headers={"Origin": origin, **preflight})
            ), origin
            assert not cors_headers(other.request("GET", "/api/surveys", headers={"Origin": origin})), origin


@pytest.mark.parametrize(
    "weak", ["none", *(pytest.param(weak, marks=pytest.mark.long) for weak in WEAK_KEYS if weak != "none")]
)
def test_production_does_not_start_without_a_strong_secret_key(tmp_path: Path, weak: str) -> None:
    """One line that says what to do, exit code 1, and no database file."""
    results = [run_gunicorn(tmp_path, **WEAK_KEYS[weak])]
    results.append(run_server("app.serve", folder=tmp_path, HOST="0.0.0.0", **WEAK_KEYS[weak]))  # noqa: S104 - it must not start
    if weak == "none":
        results.append(run_server("flask", "--app", "wsgi", "api-keys", "list", folder=tmp_path))
    for result in results:
        assert result.returncode == 1, result.stderr
        (line,) = result.stderr.splitlines()
        assert "SECRET_KEY" in line
        assert "secrets.token_urlsafe(32)" in line
        assert not [value for value in WEAK_KEYS[weak].values() if value and value in line]
    assert not list(tmp_path.iterdir())


def test_development_mode_is_logged_in_one_line(tmp_path: Path) -> None:
    server = ServeModule(tmp_path)
    server.start()
    try:
        lines = [line for line in server.log.splitlines() if "Development mode" in line]
    finally:
        server.stop()
    assert lines == ["Development mode: no authentication, and only this machine is served."]


def test_development_serves_loopback_only(tmp_path: Path, settings: Settings) -> None:
    """It binds to no other address, and refuses other clients and hosts."""
    everywhere = "0.0.0.0"  # noqa: S104 - it must not start
    for result in (
        run_server("app.serve", folder=tmp_path, HOST=everywhere, STEPKEEP_ENVIRONMENT="development"),
        run_gunicorn(tmp_path, HOST=everywhere, STEPKEEP_ENVIRONMENT="development"),
        run_gunicorn(
            tmp_path, STEPKEEP_ENVIRONMENT="development", GUNICORN_CMD_ARGS=f"--bind {everywhere}:{free_port()}"
        ),
        run_gunicorn(tmp_path, STEPKEEP_ENVIRONMENT="development", GUNICORN_CMD_ARGS=f"--bind [::]:{free_port()}"),
    ):
        assert result.returncode == 1
        assert "evelopment mode has no authentication" in result.stderr
    store = open_store(settings.model_copy(update={"environment": "development"}))
    app = create_app(store.settings, store)
    cases = [
        ("http://127.0.0.1:8000", "127.0.0.1", 200),
        ("http://localhost:8000", "127.0.0.1", 200),
        ("http://[::1]:8000", "::1", 200),
        ("http://evil.test", "127.0.0.1", 403),
        ("http://127.0.0.1.evil.test", "127.0.0.1", 403),
        ("http://192.0.2.1", "127.0.0.1", 403),
        ("http://127.0.0.1:8000", "192.0.2.7", 403),
    ]
    for base, remote, status in cases:
        for path in ("/", "/api/sessions", "/healthz", "/assets/style.css"):
            with app.test_client() as client:
                answer = client.get(path, base_url=base, environ_base={"REMOTE_ADDR": remote}, buffered=True)
            assert answer.status_code == status, (base, remote, path)
    app.extensions["stepkeep"].authenticator.credentials.revocations.close()
    store.close()


INTERNALS = re.compile(r"Traceback|File \"|\.py\b|sqlalchemy|sqlite|psycopg|/srv|site-packages|werkzeug", re.IGNORECASE)


def test_error_bodies_reveal_no_internals(
    settings: Settings, debug_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fixed sentence for internal errors, whatever FLASK_DEBUG says; no types, paths or versions."""
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with production_app(settings) as app:
        for label, answer in all_responses(app):
            if answer.status_code >= 400:
                assert not INTERNALS.search(answer.text), label
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
        assert (answer.status_code, INTERNALS.search(answer.text)) == (503, None)
    for answer in (
        send_raw(debug_server, "GET", "/nowhere"),
        send_raw(debug_server, "GET", "/\x00"),
        exchange(debug_server, b"nonsense\r\n\r\n"),
    ):
        assert not re.search(r"Traceback|File \"|gunicorn/\d|Python/\d|Werkzeug/\d", answer), answer
    connection = http.client.HTTPConnection("127.0.0.1", debug_server.port, timeout=10)
    connection.request("GET", "/readyz")
    assert json.loads(connection.getresponse().read()) == {"status": "ready"}
    connection.close()


@pytest.mark.parametrize(
    ("error", "internals"),
    [
        (MissingKey("0123456789ab"), ("0123456789ab", "STEPKEEP_ANSWERS_KEYS")),
        (ErasureNotListed("/srv/lists/erasures.jsonl", "No space left"), ("/srv/lists", "erasures.jsonl", "No space")),
    ],
    ids=["MissingKey", "ErasureNotListed"],
)
def test_missing_key_or_file_is_named_in_the_log_only(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: StepkeepError,
    internals: tuple[str, ...],
) -> None:
    """The caller gets 503, also with a key."""

    def fail(*_: object) -> None:
        raise error

    with production_app(settings) as app:
        app.begin_session("somebody")
        monkeypatch.setattr(app.store.queries, "load", fail)
        monkeypatch.setattr(app.store.erasure, "delete", fail)
        for method in ("GET", "DELETE"):
            caplog.clear()
            answer = app.request(method, "/api/session/somebody?survey=phq9", app.create_key())
            assert (answer.status_code, answer.json["code"]) == (503, error.code)
            assert not [word for word in internals if word in answer.text]
            (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
            assert not [word for word in internals if word not in line]


def test_missing_key_is_not_named_on_a_socket(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is closed with 1013, and the log names the key."""

    def fail(*_: object, **__: object) -> None:
        raise MissingKey("0123456789ab")

    with production_app(settings) as app, listening(app.flask) as port:
        monkeypatch.setattr(app.store.turns, "join", fail)
        with socket_to(port, "somebody", app.create_token("somebody")) as ws:
            assert "0123456789ab" not in ws.recv(timeout=10)
            assert refusal(ws) == 1013
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        str(MissingKey("0123456789ab"))
    ]


def test_every_response_has_hsts_for_a_year(app: App) -> None:
    """Including subdomains (RFC 6797)."""
    for label, answer in all_responses(app):
        header = answer.headers.get("Strict-Transport-Security", "")
        match = re.fullmatch(r"max-age=(\d+); includeSubDomains", header)
        assert match, label
        assert int(match[1]) >= YEAR_S


def test_every_response_has_the_security_headers(app: App) -> None:
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


def test_every_response_has_its_content_type(app: App) -> None:
    """With the character set if it is text; assets by their file name."""
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


def test_content_security_policy_allows_own_files_only(app: App) -> None:
    """No page has inline code or requests another host."""
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
    """Return the address in the last line of the log."""
    match = re.search(r"address='([^']*)'", caplog.records[-1].getMessage())
    assert match is not None
    return match[1]


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
def test_forwarded_headers_are_trusted_for_the_configured_hops_only(
    settings: Settings, caplog: pytest.LogCaptureFixture, proxies: int, forwarded: str, address: str
) -> None:
    """STEPKEEP_PROXIES hops, counted from the server; what the client itself sent is ignored."""
    caplog.set_level(logging.WARNING, "stepkeep.security")
    with production_app(settings, proxies=proxies, public_url="") as app:
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
        is_trusted = proxies == 1
        assert link.startswith("https://forged.test/" if is_trusted else f"{SITE}/")


def stored_rows(app: App) -> dict[str, Any]:
    return {name: rows for name, rows in dump(app.store).items() if name != "audit_log"}


def test_safe_methods_change_nothing(app: App) -> None:
    """With any credentials and any override of the method."""
    app.begin_session("somebody")
    token, key = app.create_token("somebody"), app.create_key()
    before = stored_rows(app)
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
    assert stored_rows(app) == before


def test_production_needs_an_https_public_url(tmp_path: Path, settings: Settings) -> None:
    """Another URL stops the start with one line; loopback is allowed with http."""
    for module, arguments in (("gunicorn", ["--config", "gunicorn.conf.py", "wsgi:app"]), ("app.serve", [])):
        address = {"STEPKEEP_PUBLIC_URL": "http://survey.example.org", "SECRET_KEY": random_secret()}
        result = run_server(module, *arguments, folder=tmp_path, STEPKEEP_ENVIRONMENT="production", **address)
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert "STEPKEEP_PUBLIC_URL must begin with https://" in line
    with pytest.raises(ConfigurationError, match="https"):
        create_app(production(settings, public_url="http://survey.example.org"))
    for url in ("http://localhost:8000", "http://127.0.0.1:8000", "https://survey.example.org"):
        with production_app(settings, public_url=url):
            pass


def test_redirects_stay_on_the_host(app: App) -> None:
    """No path, parameter or header of a request leads elsewhere."""
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


def test_request_with_ambiguous_length_is_refused(debug_server: Server) -> None:
    """RFC 9112, 6.3: 400, and what follows is not answered."""
    hidden = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    lengths = [
        ("Content-Length: 0", f"Content-Length: {len(hidden)}"),
        (f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Content-Length: +3",),
        (f"Content-Length: {len(hidden)}, 0",),
    ]
    for lines in lengths:
        answer = send_raw(debug_server, "POST", "/leave", *lines, body=f"0\r\n\r\n{hidden}")
        assert re.match(r"HTTP/1.1 (400|501) ", answer), (lines, answer)
        assert answer.count("HTTP/1.1 ") == 1, (lines, answer)
        assert '"status":"ok"' not in answer


@pytest.mark.parametrize(
    "origin", ["http://survey.test", "http://survey.test:443", EVIL, "https://survey.test.evil.test", "null", "file://"]
)
def test_socket_of_a_foreign_or_plain_http_page_is_refused(app: App, origin: str) -> None:
    """STEPKEEP_PUBLIC_URL is https: other origins get 4403, whatever the cookie."""
    cookie = {"Cookie": f"{COOKIE}={app.create_token('somebody')}"}
    with listening(app.flask) as port:

        def close_code(origin: str) -> int | None:
            raw_socket = socket.create_connection(("127.0.0.1", port))
            with connect(
                "ws://survey.test/ws/survey/somebody?survey=phq9",
                sock=raw_socket,
                origin=Origin(origin),
                additional_headers=cookie,
            ) as ws:
                try:
                    assert json.loads(ws.recv(timeout=10))["type"] == "state"
                except ConnectionClosed as closed:
                    return None if closed.rcvd is None else closed.rcvd.code
            return 1000

        assert close_code(origin) == 4403
        assert close_code(SITE) == 1000


def test_trace_is_refused(debug_server: Server) -> None:
    """RFC 9110, 9.3.8: nothing is echoed, so no page reads its cookies that way."""
    for method in ("TRACE", "TRACK", "DEBUG", "CONNECT"):
        for path in ("/", "/api/surveys", "/healthz"):
            answer = send_raw(debug_server, method, path, "X-Secret: marker", "Connection: close")
            assert re.match(r"HTTP/1.1 (405|501|400) ", answer), answer
            assert "marker" not in answer


def test_responses_are_not_cached(app: App) -> None:
    """All but the assets; conditional requests included."""
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


FOREIGN_ORIGINS: list[dict[str, str]] = [
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


def test_write_with_a_cookie_from_another_origin_is_refused(app: App) -> None:
    """For participants and the dashboard, as a form, text or JSON."""
    app.begin_session("somebody")
    own_cookie = {"Cookie": f"{COOKIE}={app.create_token('somebody')}"}
    signed_in = app.request("POST", "/sign-in", data={"key": app.create_key()}).headers["Set-Cookie"].partition(";")[0]
    writes = [row for row in ROWS if row.method != "GET" and row.endpoint != "sign_in.begin"]
    before = stored_rows(app)
    for row in writes:
        for origin_headers in FOREIGN_ORIGINS:
            for cookie in (own_cookie, {"Cookie": signed_in}):
                for kind in ("application/json", "text/plain"):
                    body = json.dumps(row.options.get("json", {}))
                    answer = app.request(
                        row.method,
                        row.path.format(user="somebody"),
                        data=body,
                        headers={**cookie, **origin_headers, "Content-Type": kind},
                    )
                    is_open = row.endpoint == "participants.create_participant" and cookie is own_cookie
                    if not is_open:  # open to all; a participant's cookie has no effect on it
                        assert answer.status_code in {401, 403}, (row, origin_headers, cookie, answer.text)
                        assert "Set-Cookie" not in answer.headers
    assert stored_rows(app) == before
    own = {**own_cookie, "Origin": SITE, "Sec-Fetch-Site": "same-origin"}
    answer = {"type": "answer", "id": "m-1", "step": "Q1", "value": 2}
    assert (
        app.request("POST", "/api/session/somebody/commands?survey=phq9", json=answer, headers=own).status_code == 200
    )
    token = app.create_token("somebody")  # no browser sends it by itself
    again = {**answer, "id": "m-2"}
    headers = {"Origin": EVIL}
    path = "/api/session/somebody/commands?survey=phq9"
    assert app.request("POST", path, token, json=again, headers=headers).status_code == 200
