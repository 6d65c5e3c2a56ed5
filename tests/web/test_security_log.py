"""The security log: refused access, sign-ins, exceeded limits and wrong origins."""

import contextlib
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from app.settings import Settings
from app.survey.snapshot import SessionKey
from app.web.request_origin import ORIGIN_NOT_ALLOWED
from app.web.security_log import REPEAT_S, SecurityLog
from tests.conftest import SURVEYS
from tests.databases import create_sqlite
from tests.waiting import START_S, wait_for
from tests.web.conftest import no_servers, running_server
from tests.web.production import EVIL, SITE, App, credentials_of, in_production, production_app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    url = create_sqlite(tmp_path / "logs.db")
    with production_app(Settings(database_url=url, surveys_dir=SURVEYS), address_failures="1000/minute") as app:
        yield app


def security_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the security log, with their level."""
    return [
        f"{record.levelname} {record.getMessage()}" for record in caplog.records if record.name == "stepkeep.security"
    ]


def test_exceeded_limits_foreign_origins_and_wrong_hosts_are_logged(
    app: App, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
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
    environment = in_production(STEPKEEP_LOG_FORMAT="text", STEPKEEP_PARTICIPANT_CONNECTIONS="1/day")
    with running_server("sqlite", no_servers, tmp_path, **environment) as server:
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
                ws.recv(timeout=START_S)
        wait_for(lambda: "limited" in server.log, lambda: server.log)
        assert f"reason='{ORIGIN_NOT_ALLOWED}' origin='{EVIL}'" in server.log
        assert (
            "limited address='127.0.0.1' principal='participant' credential='token' request='GET /ws/survey/ada'"
            in server.log
        )


def test_repeated_lines_are_suppressed_for_a_minute(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """By kind, address and principal; the next line has the number of suppressed ones."""
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


def test_refused_access_is_logged(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """With principal, request and reason; an invalid key by its id, a token not at all."""
    key, wrong = app.create_key("export"), f"stepkeep_{'a' * 12}_{'b' * 43}"
    cases: list[tuple[str | None, str]] = [
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
    for credential, expected in cases:
        app.flask.extensions["stepkeep"] = replace(app.flask.extensions["stepkeep"], security_log=SecurityLog())
        caplog.clear()
        assert app.request("GET", "/api/session/ada?survey=phq9", credential).status_code in {401, 403}
        (line,) = security_lines(caplog)
        assert line.startswith("WARNING refused address='127.0.0.1' ")
        assert expected in line
    caplog.clear()
    assert app.request("GET", "/api/surveys").status_code == 200
    assert not security_lines(caplog)


def test_sign_ins_and_failed_ones_are_logged(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """With the key's id: successes and sign-outs at INFO, failures as warnings."""
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
