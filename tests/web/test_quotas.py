"""Quotas over the interfaces: full sessions, new participants, bytes of an address, and a disk that is almost full."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from app.client import CommandRefused, FileOutbox, SurveyClient
from app.errors import RateLimited
from app.settings import Settings
from app.survey.snapshot import SessionKey
from tests.web.conftest import Participant, no_servers, running_server
from tests.web.production import App, listening, production_app
from tests.web.sockets import close_code, socket_to

SURVEY = """
id: phq9
title: A text
language: en
steps:
  - {id: S1, type: text, prompt: Say something, max_length: 60000}
  - {id: S2, type: text, prompt: Say more}
"""
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}
PARTICIPANTS = "/api/surveys/phq9/participants"
LONG = "x" * 60_000


@pytest.fixture
def texts(sqlite_settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/phq9.yaml").write_text(SURVEY)
    return sqlite_settings.model_copy(update={"surveys_dir": tmp_path / "texts"})


def answer(app: App, token: str, number: int, **options: Any) -> Any:
    body = {"type": "answer", "id": f"a{number}", "step": "S1", "value": f"{number}{LONG[:50_000]}"}
    return app.request("POST", "/api/session/ada/commands?survey=phq9", token, json=body, **options)


def test_full_session_refuses_and_the_command_leaves_the_outbox(tmp_path: Path) -> None:
    """Over the socket, by the Python client and by REST, with the code `quota`; the connection stays open."""
    with running_server("sqlite", no_servers, tmp_path, STEPKEEP_SESSION_VERSIONS="100") as server:
        participant = Participant(server, "ada")
        acks = [participant.request("mode", audio=bool(number % 2)) for number in range(99)]
        assert {ack["type"] for ack in acks} == {"ack"}
        refused = participant.request("mode", audio=True)
        assert (refused["type"], refused["code"]) == ("error", "quota")
        assert "full" in refused["message"]
        assert participant.request("ping")["type"] == "pong"
        outbox = tmp_path / "outbox"
        with SurveyClient(server.url, "ada", survey_id="phq9", outbox=FileOutbox(outbox)) as client:
            with pytest.raises(CommandRefused) as error:
                client.answer("Q1", 1).result(30)
            assert (error.value.code, client.unacknowledged) == ("quota", 0)
            client.draft("Q1", "typed")  # has no answer, and stops nothing
            with pytest.raises(CommandRefused):
                client.answer("Q1", 1).result(30)
        participant = Participant(server, "ada")
        assert participant.state["version"] == 100


def test_full_session_is_a_problem_in_rest(texts: Settings) -> None:
    with production_app(texts, session_mib=1) as app:
        token = app.create_token("ada")
        answers = [answer(app, token, number) for number in range(25)]
        assert [reply.status_code for reply in answers] == [200] * 20 + [409] * 5
        problem = answers[-1].get_json()
        assert problem["code"] == "quota"
        assert "full" in problem["detail"]
        assert app.request("GET", "/api/session/ada", token).get_json()["session"]["version"] == 21


def test_new_participants_are_limited_by_address_and_in_all(sqlite_settings: Settings) -> None:
    """By REST and on the page; invitations and those who have begun are not limited."""
    with production_app(sqlite_settings, address_participants="3/day", public_participants="5/day") as app:
        token = app.request("POST", PARTICIPANTS).get_json()["token"]
        assert app.request("GET", "/s/phq9").status_code == 200
        assert app.request("POST", PARTICIPANTS).status_code == 201
        refused = app.request("POST", PARTICIPANTS)
        assert (refused.status_code, refused.get_json()["code"]) == (429, "too_many_participants")
        page = app.request("GET", "/s/phq9")
        assert (page.status_code, page.mimetype) == (429, "text/html")
        assert int(page.headers["Retry-After"]) > 0
        assert "Set-Cookie" not in page.headers
        assert [app.request("POST", PARTICIPANTS, environ_base=ELSEWHERE).status_code for _ in range(3)] == [
            201, 201, 429,
        ]  # fmt: skip
        assert app.request("POST", PARTICIPANTS, app.create_key("sessions:write")).status_code == 201
        cookie = {"Cookie": f"__Host-stepkeep.phq9={token}"}
        assert app.request("GET", "/s/phq9", headers=cookie).status_code == 200


def test_bytes_are_limited_by_address_in_rest(texts: Settings) -> None:
    """429 with Retry-After, and nothing is saved: the client sends the command again later. Integrators are exempt."""
    with production_app(texts, address_mib_per_hour=1) as app:
        token = app.create_token("ada")
        codes = [answer(app, token, number).status_code for number in range(25)]
        assert codes == [200] * 20 + [429] * 5
        assert int(answer(app, token, 25).headers["Retry-After"]) > 0
        assert app.request("GET", "/api/session/ada", token).get_json()["session"]["version"] == 21
        assert answer(app, token, 24, environ_base=ELSEWHERE).status_code == 200
        assert answer(app, app.create_key("sessions:write"), 26).status_code == 200


def test_bytes_are_limited_by_address_over_the_socket(texts: Settings) -> None:
    """4429; each answer before it was acknowledged and is stored. Short connections are counted too."""
    with production_app(texts, address_mib_per_hour=1) as app, listening(app.flask) as port:
        token, acks = app.create_token("ada"), 0
        for _ in range(30):
            with socket_to(port, "ada", token) as ws:
                assert json.loads(ws.recv(timeout=30))["type"] == "state"
                for _ in range(5):
                    body = {"type": "answer", "id": f"a{acks}", "step": "S1", "value": f"{acks}{LONG[:15_000]}"}
                    ws.send(json.dumps(body))
                    message = json.loads(ws.recv(timeout=30))
                    if message["type"] == "error":
                        assert message["code"] == "rate_limited"
                        assert close_code(ws) == 4429
                        break
                    acks += message["type"] == "ack"
            if message["type"] == "error":
                break
        assert message["type"] == "error"
        assert acks > 20
        snapshot = app.store.queries.load(SessionKey("phq9", "ada"))
        assert snapshot is not None
        assert snapshot.state.version == acks + 1


def test_new_connections_save_nothing_when_the_bytes_of_their_address_are_used_up(texts: Settings) -> None:
    """Neither an answer nor a draft; an integrator from there still saves."""
    with production_app(texts, address_mib_per_hour=1) as app, listening(app.flask) as port:
        token = app.create_token("ada")
        assert [answer(app, token, number).status_code for number in range(21)] == [200] * 20 + [429]
        limits = app.flask.extensions["stepkeep"].authenticator.limits
        with pytest.raises(RateLimited):  # what is left is less than any command
            while True:
                limits.count("address_bytes", "127.0.0.1", 20)
        for number in range(5):
            with socket_to(port, "ada", token) as ws:
                assert json.loads(ws.recv(timeout=30))["type"] == "state"
                ws.send(json.dumps({"type": "draft", "step": "S1", "value": f"typed {number}"}))
                ws.send(json.dumps({"type": "answer", "id": f"s{number}", "step": "S1", "value": LONG[:50_000]}))
                assert json.loads(ws.recv(timeout=30))["code"] == "rate_limited"
                assert close_code(ws) == 4429
        snapshot = app.store.queries.load(SessionKey("phq9", "ada"))
        assert snapshot is not None
        assert (snapshot.state.version, snapshot.state.drafts) == (21, {})
        with socket_to(port, "ada", app.create_key("sessions:write")) as ws:
            assert json.loads(ws.recv(timeout=30))["type"] == "state"
            ws.send(json.dumps({"type": "answer", "id": "i1", "step": "S1", "value": "from elsewhere"}))
            assert json.loads(ws.recv(timeout=30))["type"] == "ack"


def test_almost_full_disk_refuses_new_public_participants_only(
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who are invited, have begun, or have a token go on."""
    with production_app(sqlite_settings, low_disk_mib=512) as app:
        token = app.request("POST", PARTICIPANTS).get_json()["token"]
        usage = shutil.disk_usage("/")._replace(free=512 * 2**20 - 1)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        refused = app.request("POST", PARTICIPANTS)
        assert (refused.status_code, refused.get_json()["code"]) == (503, "storage_low")
        page = app.request("GET", "/s/phq9")
        assert (page.status_code, page.mimetype) == (503, "text/html")
        assert refused.headers.getlist("Retry-After") == page.headers.getlist("Retry-After") == ["600"]
        assert app.request("POST", PARTICIPANTS, app.create_key("sessions:write")).status_code == 201
        user_id = app.credentials.verify_token(token).key.user_id
        body = {"type": "answer", "id": "1", "step": "Q1", "value": 1}
        path = f"/api/session/{user_id}/commands?survey=phq9"
        assert app.request("POST", path, token, json=body).status_code == 200
        cookie = {"Cookie": f"__Host-stepkeep.phq9={token}"}
        assert app.request("GET", "/s/phq9", headers=cookie).status_code == 200
        assert app.request("GET", "/readyz").status_code == 200
