"""The log of a server: the lines of requests, connections and errors, without answers and credentials."""

import base64
import contextlib
import http.client
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection
from typing import Any, get_args

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from app.observability.logging import LineFormatter, LogFormat
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS, Server
from tests.databases import create_sqlite
from tests.waiting import START_S, wait_for
from tests.web.conftest import no_servers, running_server
from tests.web.production import EVIL, App, credentials_of, in_production, listening, production_app

LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<level>[A-Z]+) \[(?P<pid>\d+)\] (?P<name>[\w.]+): (?P<what>.+)"
)


LINE_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


MARKER = "ANSWER-MARKER-7f3a"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    url = create_sqlite(tmp_path / "logs.db")
    with production_app(Settings(database_url=url, surveys_dir=SURVEYS), address_failures="1000/minute") as app:
        yield app


@contextlib.contextmanager
def verbose_server(folder: Path, **environment: str) -> Iterator[Server]:
    """Yield a server in production that logs as text at DEBUG, with gunicorn's access log."""
    loud = {"STEPKEEP_LOG_LEVEL": "DEBUG", "GUNICORN_CMD_ARGS": "--access-logfile -", "STEPKEEP_PENDING_AFTER_S": "0.3"}
    settings = {"STEPKEEP_LOG_FORMAT": "text", **loud, **environment}
    with running_server("sqlite", no_servers, folder, **in_production(**settings)) as server:
        yield server


def request(server: Server, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str, str]:
    """Return the status, the cookie and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(
            method, path, body.encode(), {name.replace("_", "-"): text for name, text in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.getheader("Set-Cookie") or "", answer.read().decode()


def is_complete(line: str) -> bool:
    """Return whether the line is one JSON object with the fields of every line."""
    entry = json.loads(line)
    return list(entry)[:5] == ["at", "level", "pid", "logger", "event"] and LINE_AT.fullmatch(entry["at"]) is not None


def log_lines(server: Server) -> list[str]:
    return server.log.split("\n")[:-1]


def test_each_line_has_time_level_process_and_logger(tmp_path: Path) -> None:
    """Gunicorn's lines too; a refusal also names the principal."""
    with verbose_server(tmp_path) as server:
        assert request(server, "GET", "/api/session/ada?survey=phq9")[0] == 401
        with credentials_of(server) as credentials:
            key = credentials.create_key("ward 3", ["export"])
        assert request(server, "GET", "/api/sessions", Authorization=f"Bearer {key}")[0] == 403
        server.terminate()
        lines = server.log.splitlines()
    matches = [LINE.fullmatch(line) for line in lines]
    assert lines
    assert not [line for line, match in zip(lines, matches, strict=True) if match is None]
    names = {match["name"] for match in matches if match}
    assert {"gunicorn.error", "gunicorn.access", "stepkeep.security"} <= names
    messages = [match["what"] for match in matches if match and match["name"] == "stepkeep.security"]
    refused = [message.partition(" request_id=")[0] for message in messages]
    assert refused == [
        (
            "refused address='127.0.0.1' principal='anyone' request='GET /api/session/ada' "
            "reason='Valid credentials are required: a participant token or an API key.'"
        ),
        (
            f"refused address='127.0.0.1' principal='key:{key.split('_')[1]} (ward 3)' credential='key:{key.split('_')[1]}' "
            "request='GET /api/sessions' reason='The API key lacks the scope sessions:read.'"
        ),
    ]


def test_probes_and_assets_are_logged_at_debug(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """A page needs 30 assets: their lines would hide the warnings of a server in development."""
    caplog.set_level(logging.DEBUG, logger="stepkeep.requests")
    for path in ("/assets/style.css", "/healthz", "/assets/none.css", "/docs"):
        app.request("GET", path)
    logged = [(vars(each)["route"], each.levelname) for each in caplog.records if each.name == "stepkeep.requests"]
    assert logged == [
        ("/assets/<path:filename>", "DEBUG"),
        ("/healthz", "DEBUG"),
        ("/assets/<path:filename>", "INFO"),
        ("/docs", "INFO"),
    ]


def test_internal_errors_are_logged_without_their_message(
    app: App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the type, the cause and the places in the code."""

    def fail(*_: object) -> None:
        try:
            dict[str, str]()[MARKER]
        except KeyError as error:
            raise ValueError(MARKER) from error

    monkeypatch.setattr(app.store.queries, "require", fail)
    assert app.request("GET", "/api/session/ada?survey=phq9", app.create_token("ada")).status_code == 500
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    line = LineFormatter().format(record)
    assert LINE.fullmatch(line)
    assert re.search(
        r"unexpected error; Traceback: ValueError at tests/web/test_request_log.py:\d+ < app/web/rest/sessions.py:\d+",
        line,
    )
    assert "from KeyError at tests/web/test_request_log.py:" in line
    assert MARKER not in line


def test_line_breaks_in_input_are_escaped(app: App, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """No input starts a line of its own."""
    forged = "x%0d%0a2026-01-01T00:00:00.000Z%20INFO%20[1]%20stepkeep.security:%20signed_in%e2%80%a8%1b[2J"
    app.request("DELETE", f"/api/session/{forged}?survey=phq9")
    app.request("GET", "/api/audit", headers={"Origin": "https://x\ty"})
    refused = [record for record in caplog.records if record.name == "stepkeep.security"][-1]
    assert "\n" not in refused.getMessage()
    with verbose_server(tmp_path) as server:
        request(server, "GET", f"/api/audit/{forged}")
        request(server, "GET", "/api/audit", Authorization="Bearer nonsense", Referer=f"{EVIL}/{forged}")
        server.terminate()
        lines = log_lines(server)
    assert not [line for line in lines if not LINE.fullmatch(line)]
    assert not [line for line in lines if line.startswith("2026-01-01T")]


def exercise(server: Server, secrets: dict[str, str], database: Path) -> None:
    """Send requests of all kinds, valid and invalid, with secrets that must not be logged."""
    key, token = secrets["key"], secrets["token"]
    own, bearer = {"Cookie": f"__Host-stepkeep.phq9={token}"}, {"Authorization": f"Bearer {key}"}
    state = json.dumps({"current_step": "Q2", "answers": {"Q1": 1}, "step_history": [], "session_data": {"x": MARKER}})
    for method, path, body, headers in [
        ("PUT", "/api/session/ada?survey=phq9", state, bearer),
        ("PATCH", "/api/session/ada?survey=phq9", json.dumps({"session_data": {"y": MARKER}}), bearer),
        ("PATCH", "/api/session/ada?survey=phq9", json.dumps({"answers": MARKER}), bearer),
        ("PUT", "/api/session/ada?survey=phq9", f"{{{MARKER}", bearer),
        ("POST", "/api/session/ada/commands?survey=phq9", json.dumps({"type": "answer", "value": MARKER}), own),
        ("POST", "/api/session/ada/link?survey=phq9", "", own),
        ("GET", "/api/session/ada/export?survey=phq9", "", own),
        ("GET", "/api/session/ada/history?survey=phq9", "", bearer),
        ("POST", "/api/surveys/phq9/participants", "", {}),
        ("POST", "/resume", json.dumps({"token": token}), {}),
        ("POST", "/resume", json.dumps({"token": f"{token}x"}), {}),
        ("GET", "/s/phq9", "", own),
        ("GET", "/api/sessions", "", {"Authorization": f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"}),
        ("GET", f"/api/sessions?key={key}&token={token}&answer={MARKER}", "", {"Referer": f"{EVIL}/?token={token}"}),
        ("GET", f"/api/session/{key}?survey=phq9", "", {}),
        ("GET", f"/api/session/{token}?survey=phq9", "", {}),
        ("DELETE", "/api/session/eve?survey=phq9", "", {"Authorization": f"Bearer {key}x"}),
    ]:
        request(server, method, path, body, **headers)
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    request(server, "POST", "/sign-in", f"key={key}x", **form)
    _, cookie, _ = request(server, "POST", "/sign-in", f"key={key}", **form)
    secrets["cookie"] = cookie.partition("=")[2].partition(";")[0]
    request(server, "GET", "/dashboard", Cookie=cookie.partition(";")[0])
    exercise_socket(server, secrets, database)


def exercise_socket(server: Server, secrets: dict[str, str], database: Path) -> None:
    """Answer over the socket, while the database is available and while another program locks it."""
    url = f"{server.ws_url}/ws/survey/ada?survey=intake"
    with connect(url, additional_headers={"Authorization": f"Bearer {secrets['intake']}"}) as ws:
        ws.recv(timeout=START_S)
        for message in (
            {"type": "answer", "id": "a", "step": "S1", "value": None},
            {"type": "answer", "id": "b", "step": "S2", "value": MARKER},
            {"type": "answer", "id": "c", "step": "S9", "value": MARKER},
            {"type": MARKER},
        ):
            ws.send(json.dumps(message))
            ws.recv(timeout=START_S)
        ws.send(f"{{{MARKER}")
        ws.recv(timeout=START_S)
        ws.send(json.dumps({"type": "draft", "step": "S2", "value": MARKER}))
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        ws.send(json.dumps({"type": "answer", "id": "d", "step": "S2", "value": "1980-02-29"}))
        assert json.loads(ws.recv(timeout=START_S))["type"] == "pending"
        other.execute("ROLLBACK")
        other.close()
        assert json.loads(ws.recv(timeout=START_S))["type"] == "ack"
    for credential in (f"{secrets['intake']}x", secrets["key"] + "x"):
        with (
            contextlib.suppress(WebSocketException),
            connect(url, subprotocols=[Subprotocol("stepkeep"), Subprotocol(f"token.{credential}")]) as ws,
        ):
            ws.recv(timeout=START_S)


@pytest.mark.parametrize("form", get_args(LogFormat))
def test_no_answer_token_or_key_is_logged(tmp_path: Path, form: str) -> None:
    """At DEBUG, with the access log on, and while the database is locked; nor the SECRET_KEY."""
    with verbose_server(tmp_path, STEPKEEP_LOG_FORMAT=form) as server:
        with credentials_of(server) as credentials:
            secrets = {
                "key": credentials.create_key("ward 3", ["sessions:read", "sessions:write", "export", "admin"]),
                "token": credentials.issue_token(SessionKey("phq9", "ada"))[0],
                "intake": credentials.issue_token(SessionKey("intake", "ada"))[0],
            }
        url = normalise_url(server.database_url)
        exercise(server, secrets, Path(url.database or ""))
        server.terminate()
        log = server.log
    assert "Database unavailable" in log
    assert "gunicorn.access" in log
    assert re.search(r"DEBUG \[\d+\] gunicorn" if form == "text" else r'"DEBUG", "pid": \d+, "logger": "gunicorn', log)
    assert form == "text" or all(map(is_complete, log_lines(server)))
    assert MARKER not in log
    parts = {"SECRET_KEY": server.environment["SECRET_KEY"], "cookie": secrets["cookie"]}
    parts |= {"key": secrets["key"][-43:]}
    parts |= {name: secrets[name].rpartition(".")[2] for name in ("token", "intake")}
    assert all(len(part) > 20 for part in parts.values())
    assert not [name for name, part in parts.items() if part in log]


def request_lines(log: str) -> list[dict[str, Any]]:
    """Return the JSON lines about requests and connections."""
    lines = [json.loads(line) for line in log.split("\n")[:-1] if line.startswith("{")]
    return [line for line in lines if line["logger"] == "stepkeep.requests"]


def test_each_request_has_one_line_with_its_id(tmp_path: Path) -> None:
    """Method, route, status, milliseconds and the id of the response; no user id, no query."""
    with running_server("sqlite", no_servers, tmp_path, **in_production(STEPKEEP_LOG_LEVEL="INFO")) as server:
        answers = []
        for path in ("/api/session/ada?survey=phq9&x=hidden", "/nowhere/ada", "/api/surveys"):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("GET", path, headers={"X-Request-ID": "sent-by-a-client"})
            answers.append(connection.getresponse())
            answers[-1].read()
            connection.close()
        server.terminate()
        log = server.log
    lines = request_lines(log)
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("GET", "/api/session/<path:user_id>", 401),
        ("GET", "none", 404),
        ("GET", "/api/surveys", 200),
    ]
    assert [line["request_id"] for line in lines] == [answer.getheader("X-Request-ID") for answer in answers]
    assert all(re.fullmatch(r"[0-9a-f]{32}", line["request_id"]) and line["ms"] >= 0 for line in lines)
    assert len({line["request_id"] for line in lines}) == 3
    assert "hidden" not in log
    assert "sent-by-a-client" not in log
    (refused,) = [json.loads(line) for line in log_lines(server) if '"stepkeep.security"' in line]
    assert refused["request_id"] == lines[0]["request_id"]
    assert all(map(is_complete, log_lines(server)))


@pytest.mark.parametrize(
    ("request_id", "is_taken"),
    [("0af7651916cd43dd", True), ("a.b_c-D9", True), ("short", False), ("a b c d e f", False), ("x" * 65, False)],
)
def test_request_id_is_taken_from_a_trusted_proxy_only(app: App, request_id: str, *, is_taken: bool) -> None:
    """And only if it has the form of an id."""
    with production_app(app.store.settings, proxies=1) as proxied:
        answer = proxied.request("GET", "/healthz", headers={"X-Request-ID": request_id})
    assert (answer.headers["X-Request-ID"] == request_id) is is_taken
    assert app.request("GET", "/healthz", headers={"X-Request-ID": request_id}).headers["X-Request-ID"] != request_id


def test_connection_has_one_line(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """At INFO; turns have none."""
    caplog.set_level(logging.INFO)
    with (
        listening(app.flask) as port,
        connect(
            "ws://survey.test/ws/survey/ada?survey=phq9",
            sock=create_connection(("127.0.0.1", port)),
            additional_headers={"Authorization": f"Bearer {app.create_token('ada')}"},
            legacy=True,
        ) as ws,
    ):
        ws.recv(timeout=START_S)
        for number in range(20):
            ws.send(json.dumps({"type": "goto", "id": f"m-{number}", "step": "Q1"}))
            assert json.loads(ws.recv(timeout=START_S))["type"] == "ack"
        assert not [record for record in caplog.records if record.name == "stepkeep.requests"]
        ws.close()
        wait_for(lambda: any(record.name == "stepkeep.requests" for record in caplog.records), lambda: caplog.text)
    (line,) = [record for record in caplog.records if record.name == "stepkeep.requests"]
    assert (line.getMessage(), line.__dict__["route"]) == ("connection opened", "/ws/survey/<path:user_id>")
    others = [record for record in caplog.records if record.name.startswith("stepkeep") and record is not line]
    # The start reads the keys of sessions in the background, and says when it has.
    assert not [record for record in others if record.name != "stepkeep.store"]
