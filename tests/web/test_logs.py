"""What the server logs: one line an event, in one form, who came and what went wrong, and nothing of any answer."""

import base64
import contextlib
import http.client
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from socket import create_connection
from typing import Any, get_args

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from app.access.api_keys import new_key
from app.access.tokens import ResumeTokens
from app.observability.logging import LineFormatter, LogFormat, resolve_log_format
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey.snapshot import SessionKey
from app.web.security_log import REPEAT_S, SecurityLog
from tests.conftest import SURVEYS, Server
from tests.databases import create_sqlite
from tests.waiting import wait_for
from tests.web.conftest import running_server
from tests.web.production import (
    EVIL,
    SITE,
    App,
    credentials_of,
    in_production,
    listening,
    production_app,
    random_secret,
)

LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<level>[A-Z]+) \[(?P<pid>\d+)\] (?P<name>[\w.]+): (?P<what>.+)"
)
LINE_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
MARKER = "ANSWER-MARKER-7f3a"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """The application in this process, on an empty SQLite file."""
    url = create_sqlite(tmp_path / "logs.db")
    with production_app(Settings(database_url=url, surveys_dir=SURVEYS), address_failures="1000/minute") as app:
        yield app


def no_servers(kind: str) -> Any:
    raise AssertionError(kind)


@contextlib.contextmanager
def served(folder: Path, **environment: str) -> Iterator[Server]:
    """Give a real server in production, its log at DEBUG with gunicorn's access log in it, to be read by people."""
    loud = {"STEPKEEP_LOG_LEVEL": "DEBUG", "GUNICORN_CMD_ARGS": "--access-logfile -", "STEPKEEP_PENDING_AFTER_S": "0.3"}
    asked = {"STEPKEEP_LOG_FORMAT": "text", **loud, **environment}
    with running_server("sqlite", no_servers, folder, **in_production(**asked)) as server:
        yield server


def request(server: Server, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str, str]:
    """Return status, cookie and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(
            method, path, body.encode(), {name.replace("_", "-"): text for name, text in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.getheader("Set-Cookie") or "", answer.read().decode()


def security_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the security log said, with its level."""
    return [f"{one.levelname} {one.getMessage()}" for one in caplog.records if one.name == "stepkeep.security"]


def formatted(
    message: str, *arguments: object, form: LogFormat = "text", fault: BaseException | None = None, **extra: object
) -> str:
    about = None if fault is None else (type(fault), fault, fault.__traceback__)
    record = logging.LogRecord("stepkeep.test", logging.ERROR, "x.py", 1, message, arguments, about)
    record.__dict__.update(extra)
    return LineFormatter(form).format(record)


def is_whole(line: str) -> bool:
    """Return whether it is one JSON object with what each line has."""
    said = json.loads(line)
    return list(said)[:5] == ["at", "level", "pid", "logger", "event"] and LINE_AT.fullmatch(said["at"]) is not None


def lines_of(server: Server) -> list[str]:
    return server.log.split("\n")[:-1]


def test_each_line_says_when_who_and_what(tmp_path: Path) -> None:
    """Time in UTC, level, process, part, what; gunicorn's lines too, and its access log; of a refusal also who."""
    with served(tmp_path) as server:
        assert request(server, "GET", "/api/session/ada?survey=phq9")[0] == 401
        with credentials_of(server) as credentials:
            key = credentials.create_key("ward 3", ["export"])
        assert request(server, "GET", "/api/sessions", Authorization=f"Bearer {key}")[0] == 403
        server.terminate()
        lines = server.log.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    assert lines
    assert not [line for line, match in zip(lines, found, strict=True) if match is None]
    names = {match["name"] for match in found if match}
    assert {"gunicorn.error", "gunicorn.access", "stepkeep.security"} <= names
    said = [match["what"] for match in found if match and match["name"] == "stepkeep.security"]
    refused = [what.partition(" request_id=")[0] for what in said]
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


def test_faults_of_ours_are_logged(app: App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a fault: its type, what led to it, and the places in the program; never its text."""

    def fail(*_: object) -> None:
        try:
            dict[str, str]()[MARKER]
        except KeyError as error:
            raise ValueError(MARKER) from error

    monkeypatch.setattr(app.store.queries, "load", fail)
    assert app.request("GET", "/api/session/ada?survey=phq9", app.create_token("ada")).status_code == 500
    (record,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    line = LineFormatter().format(record)
    assert LINE.fullmatch(line)
    assert re.search(
        r"unexpected error; Traceback: ValueError at tests/web/test_logs.py:\d+ < app/web/rest/sessions.py:\d+", line
    )
    assert "from KeyError at tests/web/test_logs.py:" in line
    assert MARKER not in line


def test_floods_and_foreign_origins_are_logged(app: App, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Limits that were met, pages of other sites, hosts that are none of ours: with address, origin and host."""
    caplog.set_level(logging.INFO, "stepkeep.security")
    cookie = f"__Host-stepkeep.phq9={app.create_token('ada')}"
    headers = {"Cookie": cookie, "Origin": EVIL}
    assert app.request("POST", "/api/session/ada/link?survey=phq9", headers=headers).status_code == 403
    assert app.request("GET", "/", base_url=EVIL).status_code == 400
    settings = app.store.settings.model_copy(update={"address_requests": "1/day"})
    with production_app(settings) as strict:
        assert [strict.request("GET", "/").status_code for _ in range(2)] == [200, 429]
    refused, host, limited = security_lines(caplog)
    assert refused.startswith("WARNING refused address='127.0.0.1' principal='participant'")
    assert f"origin='{EVIL}'" in refused
    assert host.startswith("WARNING wrong_host address='127.0.0.1'")
    assert "host='evil.test'" in host
    assert limited.startswith("WARNING limited address='127.0.0.1' principal='anyone' request='GET /'")
    with served(tmp_path, STEPKEEP_PARTICIPANT_CONNECTIONS="1/day") as server:
        with credentials_of(server) as credentials:
            token, _ = credentials.issue_token(SessionKey("phq9", "ada"))
        for origin in (EVIL, None, None):
            with (
                connect(
                    f"{server.ws_url}/ws/survey/ada?survey=phq9",
                    origin=None if origin is None else Origin(origin),
                    additional_headers={"Authorization": f"Bearer {token}"},
                ) as ws,
                contextlib.suppress(ConnectionClosed),
            ):
                ws.recv(timeout=10)
        wait_for(lambda: "limited" in server.log, lambda: server.log)
        assert f"reason='origin not allowed' origin='{EVIL}'" in server.log
        assert (
            "limited address='127.0.0.1' principal='participant' credential='token' request='GET /ws/survey/ada'"
            in server.log
        )


def test_flood_is_one_line_a_minute(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """One of each kind, address and principal; the next says how many there were. Other addresses have their own."""
    clock = [0.0]
    app.flask.extensions["stepkeep"] = replace(
        app.flask.extensions["stepkeep"], security_log=SecurityLog(lambda: clock[0])
    )
    for _ in range(5):
        app.request("GET", "/api/sessions")
    app.request("GET", "/api/sessions", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    clock[0] += REPEAT_S
    app.request("GET", "/api/sessions")
    lines = security_lines(caplog)
    assert len(lines) == 3
    assert ["suppressed=4" in line for line in lines] == [False, False, True]


def test_line_ends_in_input_stay_in_one_line(app: App, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Whatever is logged of a request, and by whom: no input begins a line, or looks like one of ours."""
    forged = "x%0d%0a2026-01-01T00:00:00.000Z%20INFO%20[1]%20stepkeep.security:%20signed_in%e2%80%a8%1b[2J"
    app.request("DELETE", f"/api/session/{forged}?survey=phq9")
    app.request("GET", "/api/audit", headers={"Origin": "https://x\ty"})
    name = [one for one in caplog.records if one.name == "stepkeep.security"][-1]
    assert "\n" not in name.getMessage()
    with served(tmp_path) as server:
        request(server, "GET", f"/api/audit/{forged}")
        request(server, "GET", "/api/audit", Authorization="Bearer nonsense", Referer=f"{EVIL}/{forged}")
        server.terminate()
        lines = lines_of(server)
    assert not [line for line in lines if not LINE.fullmatch(line)]
    assert not [line for line in lines if line.startswith("2026-01-01T")]


@given(st.text(), st.text())
def test_any_text_is_one_line_that_can_be_printed(message: str, argument: str) -> None:
    """The law of the formatter."""
    line = formatted("%s", message, user_id=argument, fault=ValueError(argument))
    assert line.isprintable()
    assert LINE.fullmatch(line)


@given(st.text(), st.text())
@example("\x7f\x85\u2028\ud800", "\x7f")
def test_any_text_is_one_line_of_json_that_says_the_same(message: str, argument: str) -> None:
    """The law of the other form: printable ASCII, and what was logged is read back as it was."""
    line = formatted("%s", message, form="json", user_id=argument, fault=ValueError(argument))
    assert line.isascii()
    assert line.isprintable()
    said = json.loads(line)
    assert (said["event"], said["user_id"]) == (message, argument)
    assert said["error"] == "ValueError at no call site"


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(get_args(LogFormat)))
def test_what_looks_like_a_key_or_token_is_left_out(before: str, after: str, form: LogFormat) -> None:
    """The last net, in both forms: whoever logs one; of a key its id stays."""
    key = new_key()
    token = ResumeTokens([random_secret()]).issue(SessionKey("phq9", "ada"), 1, 10**15)
    line = formatted("%s %s %s %s", before, key.text, token, after, form=form, user_id=token)
    assert key.text[-43:] not in line
    assert token.rpartition(".")[2] not in line
    assert f"stepkeep_{key.key_id}{'…' if form == 'text' else json.dumps('…')[1:-1]}" in line


def exercise(server: Server, secrets: dict[str, str], database: Path) -> None:
    """Do all that a server does, right and wrong, with what must not be logged."""
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
    walk(server, secrets, database)


def walk(server: Server, secrets: dict[str, str], database: Path) -> None:
    """Answer over the socket, while the database is there, and while another program holds it."""
    url = f"{server.ws_url}/ws/survey/ada?survey=intake"
    with connect(url, additional_headers={"Authorization": f"Bearer {secrets['intake']}"}) as ws:
        ws.recv(timeout=10)
        for message in (
            {"type": "answer", "id": "a", "step": "S1", "value": None},
            {"type": "answer", "id": "b", "step": "S2", "value": MARKER},
            {"type": "answer", "id": "c", "step": "S9", "value": MARKER},
            {"type": MARKER},
        ):
            ws.send(json.dumps(message))
            ws.recv(timeout=10)
        ws.send(f"{{{MARKER}")
        ws.recv(timeout=10)
        ws.send(json.dumps({"type": "draft", "step": "S2", "value": MARKER}))
        holder = sqlite3.connect(database, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        ws.send(json.dumps({"type": "answer", "id": "d", "step": "S2", "value": "1980-02-29"}))
        assert json.loads(ws.recv(timeout=30))["type"] == "pending"
        holder.execute("ROLLBACK")
        holder.close()
        assert json.loads(ws.recv(timeout=60))["type"] == "ack"
    for shown in (f"{secrets['intake']}x", secrets["key"] + "x"):
        with (
            contextlib.suppress(WebSocketException),
            connect(url, subprotocols=[Subprotocol("stepkeep"), Subprotocol(f"token.{shown}")]) as ws,
        ):
            ws.recv(timeout=10)


@pytest.mark.parametrize("form", get_args(LogFormat))
def test_no_answer_token_or_key_is_logged(tmp_path: Path, form: str) -> None:
    """At DEBUG, with the access log on, whatever is asked, and while the database is away; nor the SECRET_KEY."""
    with served(tmp_path, STEPKEEP_LOG_FORMAT=form) as server:
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
    assert "the database does not answer" in log
    assert "gunicorn.access" in log
    assert re.search(r"DEBUG \[\d+\] gunicorn" if form == "text" else r'"DEBUG", "pid": \d+, "logger": "gunicorn', log)
    assert form == "text" or all(map(is_whole, lines_of(server)))
    assert MARKER not in log
    parts = {"SECRET_KEY": server.environment["SECRET_KEY"], "cookie": secrets["cookie"]}
    parts |= {"key": secrets["key"][-43:]}
    parts |= {name: secrets[name].rpartition(".")[2] for name in ("token", "intake")}
    assert all(len(part) > 20 for part in parts.values())
    assert not [name for name, part in parts.items() if part in log]


def test_refused_access_is_logged(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """With who, what and why; of a key that does not hold its id, of a token only that it was one."""
    key, wrong = app.create_key("export"), f"stepkeep_{'a' * 12}_{'b' * 43}"
    asks: list[tuple[str | None, str]] = [
        (None, "principal='anyone' request='GET /api/session/ada'"),
        (wrong, f"principal='anyone' credential='key:{'a' * 12}' request='GET /api/session/ada'"),
        ("nonsense", "principal='anyone' credential='token' request='GET /api/session/ada'"),
        (
            app.create_token("bob"),
            "principal='participant' credential='token' request='GET /api/session/ada' reason=\"A participant",
        ),
        (
            key,
            f"(ward 3)' credential='key:{key.split('_')[1]}' request='GET /api/session/ada' reason='The API key lacks",
        ),
    ]
    for shown, expected in asks:
        app.flask.extensions["stepkeep"] = replace(app.flask.extensions["stepkeep"], security_log=SecurityLog())
        caplog.clear()
        assert app.request("GET", "/api/session/ada?survey=phq9", shown).status_code in {401, 403}
        (line,) = security_lines(caplog)
        assert line.startswith("WARNING refused address='127.0.0.1' ")
        assert expected in line
    caplog.clear()
    assert app.request("GET", "/api/surveys").status_code == 200
    assert not security_lines(caplog)


def test_sign_ins_right_and_wrong_are_logged(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """Right ones and signing out at INFO, with whose they are; wrong ones as warnings, with the key's id."""
    caplog.set_level(logging.INFO, "stepkeep.security")
    key = app.create_key()
    key_id = key.split("_")[1]
    with app.flask.test_client() as client:
        client.post("/sign-in", base_url=SITE, data={"key": key})
        csrf = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/dashboard", base_url=SITE).text)
        assert csrf is not None
        client.post("/sign-out", base_url=SITE, data={"csrf": csrf[1]})
        client.post("/sign-in", base_url=SITE, data={"key": f"{key[:-1]}{'a' if key[-1] != 'a' else 'b'}"})
    who = f"address='127.0.0.1' principal='key:{key_id} (ward 3)'"
    signed_in, signed_out, failed = security_lines(caplog)
    assert signed_in == f"INFO signed_in {who} credential='key:{key_id}' request='POST /sign-in'"
    assert signed_out == f"INFO signed_out {who} request='POST /sign-out'"
    assert (
        failed
        == f"WARNING sign_in_failed address='127.0.0.1' principal='anyone' credential='key:{key_id}' request='POST /sign-in'"
    )


def of_requests(log: str) -> list[dict[str, Any]]:
    """Return what the log says of requests and connections, in JSON."""
    said = [json.loads(line) for line in log.split("\n")[:-1] if line.startswith("{")]
    return [line for line in said if line["logger"] == "stepkeep.requests"]


def test_each_request_has_one_line_with_its_id(tmp_path: Path) -> None:
    """Method, route, status, milliseconds and the id that the response has; no name, no query; in production JSON."""
    with running_server("sqlite", no_servers, tmp_path, **in_production(STEPKEEP_LOG_LEVEL="INFO")) as server:
        answers = []
        for path in ("/api/session/ada?survey=phq9&x=hidden", "/nowhere/ada", "/api/surveys"):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("GET", path, headers={"X-Request-ID": "made-by-a-stranger"})
            answers.append(connection.getresponse())
            answers[-1].read()
            connection.close()
        server.terminate()
        log = server.log
    said = of_requests(log)
    assert [(one["method"], one["route"], one["status"]) for one in said] == [
        ("GET", "/api/session/<path:user_id>", 401),
        ("GET", "none", 404),
        ("GET", "/api/surveys", 200),
    ]
    assert [one["request_id"] for one in said] == [answer.getheader("X-Request-ID") for answer in answers]
    assert all(re.fullmatch(r"[0-9a-f]{32}", one["request_id"]) and one["ms"] >= 0 for one in said)
    assert len({one["request_id"] for one in said}) == 3
    assert "hidden" not in log
    assert "stranger" not in log
    (refused,) = [json.loads(line) for line in lines_of(server) if '"stepkeep.security"' in line]
    assert refused["request_id"] == said[0]["request_id"]
    assert all(map(is_whole, lines_of(server)))


@pytest.mark.parametrize(
    ("given_id", "is_taken"),
    [("0af7651916cd43dd", True), ("a.b_c-D9", True), ("short", False), ("a b c d e f", False), ("x" * 65, False)],
)
def test_request_id_is_taken_from_a_proxy_that_is_believed(app: App, given_id: str, *, is_taken: bool) -> None:
    """Where STEPKEEP_PROXIES says that there is one, and it looks like an id; else a new one is made."""
    with production_app(app.store.settings, proxies=1) as behind:
        answer = behind.request("GET", "/healthz", headers={"X-Request-ID": given_id})
    assert (answer.headers["X-Request-ID"] == given_id) is is_taken
    assert app.request("GET", "/healthz", headers={"X-Request-ID": given_id}).headers["X-Request-ID"] != given_id


def test_connection_has_one_line_whatever_is_said_on_it(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """At its end, at INFO; turns write none."""
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
        ws.recv(timeout=10)
        for number in range(20):
            ws.send(json.dumps({"type": "goto", "id": f"m-{number}", "step": "Q1"}))
            assert json.loads(ws.recv(timeout=10))["type"] == "ack"
        assert not [one for one in caplog.records if one.name == "stepkeep.requests"]
        ws.close()
        wait_for(lambda: any(one.name == "stepkeep.requests" for one in caplog.records), lambda: caplog.text)
    (line,) = [one for one in caplog.records if one.name == "stepkeep.requests"]
    assert (line.getMessage(), line.__dict__["route"]) == ("connection ended", "/ws/survey/<path:user_id>")
    assert not [one for one in caplog.records if one.name.startswith("stepkeep") and one is not line]


def test_ids_of_the_context_stand_in_each_line() -> None:
    """What is bound of a request or connection, and nothing else that somebody binds: it could be anything."""
    with structlog.contextvars.bound_contextvars(request_id="0af7651916cd43dd", answer=MARKER, level="none"):
        assert formatted("said").endswith(": said request_id='0af7651916cd43dd'")
        assert json.loads(formatted("said", form="json"))["request_id"] == "0af7651916cd43dd"
        assert MARKER not in formatted("said", form="json")


@pytest.mark.parametrize(
    ("chosen", "environment", "form"),
    [
        ("auto", "production", "json"),
        ("auto", "development", "text"),
        ("text", "production", "text"),
        ("json", "development", "json"),
    ],
)
def test_form_of_the_log_is_as_it_was_set(chosen: str, environment: str, form: str) -> None:
    """`auto` is JSON in production, and text where somebody reads it as it comes."""
    assert resolve_log_format(chosen, environment) == form
