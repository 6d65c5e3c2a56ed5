"""Refused requests and internal errors: malformed requests, paths outside the static directory, and what a response reveals."""

import ast
import http.client
import json
import logging
import re
from collections.abc import Iterator

import pytest

from app.errors import ConfigurationError, DatabaseUnavailable, ErasureJournalUnavailable, MissingKey, StepkeepError
from app.settings import Settings
from tests.conftest import ROOT, Server, Servers
from tests.waiting import START_S
from tests.web.conftest import running_server
from tests.web.http_client import all_responses, exchange, send_raw
from tests.web.production import App, in_production, listening, production_app
from tests.web.sockets import refusal, socket_to


@pytest.fixture(scope="module")
def debug_server(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server, with FLASK_DEBUG on."""
    folder = tmp_path_factory.mktemp("debug_server")
    with running_server("sqlite", servers, folder, **in_production(FLASK_DEBUG="1")) as server:
        yield server


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


def texts_of_refusals() -> Iterator[tuple[str, str]]:
    """Yield the place, and the beginning and end, of each text with which a request can be refused."""
    for file in (path for package in ("web", "survey", "sessions") for path in (ROOT / "app" / package).rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            if call.func.id not in {"InvalidInput", "problem", "BadMessage"}:
                continue
            for text in call.args:
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                ends = [part.value if isinstance(part, ast.Constant) else "." for part in (parts[0], parts[-1])]
                if isinstance(ends[0], str) and " " in ast.unparse(text) and not isinstance(text, ast.BinOp):
                    yield f"{file.name}:{call.lineno}", "".join(map(str, ends))


def test_refusals_are_sentences() -> None:
    """An integrator shows them, and reads them in logs."""
    found = dict(texts_of_refusals())
    assert len(found) > 20
    wrong = {place: text for place, text in found.items() if text[0].islower() or not text.endswith(".")}
    assert wrong == {}


def test_directories_are_not_listed(app: App) -> None:
    for path in ("/assets", "/assets/", "/assets/vendor", "/assets/vendor/", "/assets/.", "/s/", "/api/"):
        answer = app.request("GET", path)
        assert answer.status_code == 404, path
        assert ".js" not in answer.text, path


INTERNALS = re.compile(r"Traceback|File \"|\.py\b|sqlalchemy|sqlite|psycopg|/srv|site-packages|werkzeug", re.IGNORECASE)


def test_error_bodies_reveal_no_internals(
    sqlite_settings: Settings, debug_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fixed sentence for internal errors, whatever FLASK_DEBUG says; no types, paths or versions."""
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with production_app(sqlite_settings) as app:
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
        (
            ErasureJournalUnavailable("/srv/lists/erasures.jsonl", "No space left"),
            ("/srv/lists", "erasures.jsonl", "No space"),
        ),
        (ConfigurationError("SECRET_KEY is not set"), ("SECRET_KEY",)),
    ],
    ids=["MissingKey", "ErasureJournalUnavailable", "ConfigurationError"],
)
def test_missing_key_or_file_is_named_in_the_log_only(
    sqlite_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: StepkeepError,
    internals: tuple[str, ...],
) -> None:
    """The caller gets 503, also with a key."""

    def fail(*_: object) -> None:
        raise error

    with production_app(sqlite_settings) as app:
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
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is closed with 1013, and the log names the key."""

    def fail(*_: object, **__: object) -> None:
        raise MissingKey("0123456789ab")

    with production_app(sqlite_settings) as app, listening(app.flask) as port:
        monkeypatch.setattr(app.store.turns, "join", fail)
        with socket_to(port, "somebody", app.create_token("somebody")) as ws:
            assert "0123456789ab" not in ws.recv(timeout=START_S)
            assert refusal(ws) == 1013
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        str(MissingKey("0123456789ab"))
    ]


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


@pytest.mark.parametrize(("path", "status"), [("/api/session/ann/commands", 401), ("/resume", 413), ("/nowhere", 404)])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_body_of_a_refused_request_is_read(debug_server: Server, path: str, status: int, connection: str) -> None:
    """Else the connection would be reset while a client or proxy still sends: it might never see the response."""
    body = "x" * (16 * 2**20)  # more than the kernel buffers
    lines = (f"Content-Length: {len(body)}", f"Connection: {connection}", "Content-Type: application/json")
    answer = send_raw(debug_server, "POST", path, *lines, body=body)
    assert re.match(rf"HTTP/1.1 {status} ", answer), answer


def test_trace_is_refused(debug_server: Server) -> None:
    """RFC 9110, 9.3.8: nothing is echoed, so no page reads its cookies that way."""
    for method in ("TRACE", "TRACK", "DEBUG", "CONNECT"):
        for path in ("/", "/api/surveys", "/healthz"):
            answer = send_raw(debug_server, method, path, "X-Secret: marker", "Connection: close")
            assert re.match(r"HTTP/1.1 (405|501|400) ", answer), answer
            assert "marker" not in answer
