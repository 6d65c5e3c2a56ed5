"""examples/flask runs as docs/flask.md says: its own pages, and surveys for its users."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.sessions.service import open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from tests.examples.clinic import EXAMPLE, PASSWORD, SERVERS, ClinicServer

SURVEYS = EXAMPLE / "surveys"


@pytest.fixture(scope="module", params=SERVERS)
def shared_clinic(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClinicServer]:
    """The example on each server."""
    server = ClinicServer(tmp_path_factory.mktemp("clinic"), request.param)
    yield server
    server.kill()


@pytest.fixture
def clinic(shared_clinic: ClinicServer) -> ClinicServer:
    """The example, running, without sessions."""
    if shared_clinic.process is None or shared_clinic.process.poll() is not None:
        shared_clinic.start()
    return shared_clinic


@pytest.fixture
def own_clinic(clinic: ClinicServer) -> Iterator[ClinicServer]:
    """The same, stopped afterwards; its next start has a new database."""
    yield clinic
    clinic.kill()


def test_clinics_own_pages_are_not_changed(clinic: ClinicServer) -> None:
    """Neither Stepkeep's headers nor its error pages are on them."""
    with clinic.signed_in("ada") as ada:
        missing = ada.get("/nowhere")
        assert (missing.status_code, missing.text) == (404, "The clinic has no such page.")
        for answer in (missing, ada.get("/"), ada.get("/login")):
            assert not {"content-security-policy", "x-request-id", "referrer-policy"} & set(answer.headers)
        assert "The clinic" not in ada.get("/surveys/nowhere").text


def test_sign_in_keeps_the_query_of_the_page(clinic: ClinicServer) -> None:
    """It has the survey's parameters, and the language."""
    for page in ("/surveys/s/wellbeing", "/surveys/s/wellbeing?clinic=north&lang=de"):
        asked = httpx.get(f"{clinic.url}{page}", timeout=60)
        form = {"user": "ada", "password": PASSWORD}
        signed_in = httpx.post(f"{clinic.url}{asked.headers['Location']}", data=form, timeout=60)
        assert (signed_in.status_code, signed_in.headers["Location"]) == (303, page)


def test_sign_in_redirects_only_to_the_clinics_own_pages(clinic: ClinicServer) -> None:
    """Browsers drop tabs and line breaks from an address, and take a backslash for a slash."""

    def destination(wanted: str) -> str:
        form = {"user": "ada", "password": PASSWORD}
        answer = httpx.post(f"{clinic.url}/login", params={"next": wanted}, data=form, timeout=60)
        assert answer.status_code == 303
        location: str = answer.headers["Location"]
        return location

    others = ["//", "/\t/", "\t//", "/\n/", "/\r/", "/\\", "\\\\", "/\t\\", "https://", " //", "/\x00/"]
    assert {wanted: destination(f"{wanted}evil.example") for wanted in others} == dict.fromkeys(others, "/")
    assert destination("/surveys/s/wellbeing?a=1") == "/surveys/s/wellbeing?a=1"


def test_users_answer_and_the_admin_sees_it(own_clinic: ClinicServer) -> None:
    """Over HTTP and the WebSocket; when the server stops, it saves their draft."""
    with own_clinic.signed_in("ada") as ada, own_clinic.signed_in("admin") as admin:
        assert "(not begun)" in ada.get("/").text
        assert ada.get("/surveys/s/wellbeing").status_code == 200
        with socket_of(own_clinic, ada) as ws:
            assert receive(ws)["type"] == "state"
            ws.send(json.dumps({"type": "answer", "id": "m-1", "step": "Q1", "value": 7}))
            assert receive(ws)["type"] == "ack"
            ws.send(json.dumps({"type": "draft", "step": "Q2", "value": "More sl"}))
            ws.send(json.dumps({"type": "ping"}))
            assert receive(ws)["type"] == "pong"
            assert "(in_progress)" in ada.get("/").text
            assert admin.get("/surveys/dashboard").status_code == 200
            sessions = admin.get("/surveys/api/sessions").json()["sessions"]
            assert [(each["user_id"], each["survey_id"]) for each in sessions] == [("ada", "wellbeing")]
            assert ada.get("/surveys/dashboard").status_code == 403
            own_clinic.stop()
            with pytest.raises(ConnectionClosed):
                receive(ws)
    store = open_store(Settings(database_url=f"sqlite:///{own_clinic.folder / 'stepkeep.db'}", surveys_dir=SURVEYS))
    with contextlib.closing(store):
        saved = store.queries.load(SessionKey("wellbeing", "ada"))
        assert saved is not None
        assert (saved.state.answers, saved.state.draft) == ({"Q1": 7}, "More sl")


def socket_of(clinic: ClinicServer, client: httpx.Client) -> ClientConnection:
    """Return a WebSocket with the client's cookies."""
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    url = f"{clinic.url.replace('http', 'ws')}/surveys/ws/survey/ada?survey=wellbeing"
    return connect(url, additional_headers={"Cookie": cookie, "Origin": clinic.url}, legacy=True)


def receive(ws: Any) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(ws.recv(timeout=60))
    return message
