"""Parameters at the interfaces: taken from their sources, refused clearly, and fixed when the session begins."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from app.access.credentials import Credentials
from app.access.principals import INVITATION
from app.client import AsyncSurveyClient, PermanentlyRefused, SurveyClient
from app.survey.snapshot import SessionKey
from app.web.ws.asyncapi import SERVER_MESSAGE
from tests.asynchronous import run
from tests.conftest import Server
from tests.web.production import credentials_of, in_production

ARRIVAL = """
id: arrival
title: "Welcome, {{ coalesce(parameters.first_name, 'dear guest') }}"
description: "To {{ parameters.clinic }}"
language: en
parameters:
  clinic: {type: choice, from: url, options: [north, south]}
  visits: {type: number, from: url, integer: true, default: 1}
  note: {type: text, from: url, required: false}
  first_name: {type: text, from: invitation, required: false, max_length: 20}
  ward: {type: number, from: api, required: false}
steps:
  - {id: why, type: text, prompt: "Why, {{ parameters.first_name }}?"}
  - {id: what, type: text, prompt: "What?"}
"""

NORTH = {"clinic": "north", "visits": 1, "note": None, "first_name": None, "ward": None}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in production."""
    folder = tmp_path_factory.mktemp("parameters")
    (folder / "surveys").mkdir()
    (folder / "surveys" / "arrival.yaml").write_text(ARRIVAL)
    visit = ARRIVAL.replace("id: arrival", "id: visit").replace(", required: false, max_length", ", max_length")
    (folder / "surveys" / "visit.yaml").write_text(
        visit.replace("options: [north, south]", "options: [north], default: north")
    )
    environment = in_production()
    server = Server(folder, surveys=folder / "surveys", environment=environment)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def credentials(running: Server) -> Iterator[Credentials]:
    with credentials_of(running) as credentials:
        yield credentials


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """A participant of the test's own."""
    return "".join(char if char.isalnum() else "-" for char in request.node.name)[:100]


@pytest.fixture
def token(credentials: Credentials, user: str) -> str:
    """The participant's token, without parameters."""
    return credentials.issue_token(SessionKey("arrival", user))[0]


@pytest.fixture
def invitation(credentials: Credentials, user: str) -> str:
    """Ada's invitation."""
    key = SessionKey("arrival", user)
    return credentials.issue_token(key, mark=INVITATION, parameters={"first_name": "Ada"})[0]


@pytest.fixture
def integrator(credentials: Credentials) -> str:
    """An API key."""
    return credentials.create_key("import", ["sessions:read", "sessions:write", "export"], None)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def receive(ws: ClientConnection) -> Any:
    message = json.loads(ws.recv(timeout=30))
    SERVER_MESSAGE.validate_python(message)
    return message


def open_socket(server: Server, user: str, query: str, token: str | None = None, **options: Any) -> ClientConnection:
    if token is not None:
        options["additional_headers"] = bearer(token)
    return connect(f"{server.ws_url}/ws/survey/{user}?survey=arrival&{query}", legacy=True, **options)


def begun(server: Server, user: str, query: str, token: str) -> Mapping[str, Any]:
    """Return the parameters of the session to which a socket is connected."""
    with open_socket(server, user, query, token) as ws:
        parameters: Mapping[str, Any] = receive(ws)["session"]["parameters"]
    return parameters


def request(server: Server, method: str, path: str, token: str | None, body: object = None) -> httpx.Response:
    headers = {} if token is None else bearer(token)
    return httpx.request(method, f"{server.url}{path}", headers=headers, json=body, timeout=30)


WRONG = [
    ("", "The parameter clinic is missing."),
    ("clinic=east", "The parameter clinic is invalid. "),
    ("clinic=", "The parameter clinic is missing."),
    ("clinic=north&clinic=north", "The parameter clinic is repeated."),
    ("clinic=north&visits=1.5", "The parameter visits is invalid. "),
    ("clinic=north&visits=many", "The parameter visits is invalid. "),
    ("clinic=north&note=a%00b", "The parameter note is invalid. It is text with the character U+0000"),
]


def test_socket_begins_with_the_parameters_of_its_address(running: Server, user: str, token: str) -> None:
    """Those that the survey does not declare, or that come from elsewhere, are ignored."""
    query = "clinic=north&visits=3&utm=letter&first_name=Eve&ward=5"
    assert begun(running, user, query, token) == {**NORTH, "visits": 3}


@pytest.mark.parametrize(("query", "message"), WRONG)
def test_socket_is_refused_with_4400(running: Server, user: str, token: str, query: str, message: str) -> None:
    """An error names the parameter, the close code says that a retry is of no use, and no session begins."""
    with open_socket(running, user, query, token) as ws:
        error = receive(ws)
        assert (error["type"], error["id"], error["code"]) == ("error", None, "malformed")
        assert error["message"].startswith(message)
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason[:20]) == (4400, message[:20])
    assert request(running, "GET", f"/api/session/{user}?survey=arrival", token).status_code == 404


@pytest.mark.parametrize("carrier", ["authorization", "cookie", "subprotocol", "frame"])
def test_invitation_has_its_parameters_wherever_a_socket_shows_it(
    running: Server, user: str, invitation: str, carrier: str
) -> None:
    """They are signed: the address cannot change them, also where it is all that the participant can."""
    cookie = {"Cookie": f"__Host-stepkeep.arrival={invitation}"}
    options: dict[str, dict[str, Any]] = {
        "authorization": {"additional_headers": bearer(invitation)},
        "cookie": {"additional_headers": cookie, "origin": running.url},
        "subprotocol": {"subprotocols": [Subprotocol("stepkeep"), Subprotocol(f"token.{invitation}")]},
        "frame": {},
    }
    with open_socket(running, user, "clinic=south&first_name=Eve", **options[carrier]) as ws:
        if carrier == "frame":
            ws.send(json.dumps({"type": "auth", "token": invitation}))
        state = receive(ws)
    assert state["session"]["parameters"] == {**NORTH, "clinic": "south", "first_name": "Ada"}
    assert state["step"]["prompt"] == "Why, Ada?"


def test_wrong_parameters_of_a_socket_that_shows_its_token_later(running: Server, user: str, token: str) -> None:
    """Nobody learns of a survey's parameters before they are authenticated."""
    with open_socket(running, user, "clinic=east") as ws:
        ws.send(json.dumps({"type": "auth", "token": token}))
        assert receive(ws)["message"].startswith("The parameter clinic is invalid. ")
    with open_socket(running, user, "clinic=east") as ws:
        ws.send(json.dumps({"type": "auth", "token": "none"}))
        assert receive(ws)["code"] == "unauthorized"


def test_parameters_stay_as_they_were_when_the_session_began(running: Server, user: str, token: str) -> None:
    """Whatever later addresses have, also wrong ones, and after a restart."""
    first = begun(running, user, "clinic=north", token)
    for query in ("clinic=south&visits=9", "clinic=east", "", "clinic=north&clinic=south"):
        assert begun(running, user, query, token) == first == NORTH
    with open_socket(running, user, "clinic=south", token) as ws:
        receive(ws)
        for command in ({"type": "answer", "step": "why", "value": "x"}, {"type": "restart"}):
            ws.send(json.dumps({"id": command["type"], **command}))
        assert receive(ws)["session"]["current_step"] == "what"
        message = receive(ws)
    assert (message["session"]["parameters"], message["session"]["current_step"]) == (NORTH, "why")


def test_rest_begins_a_session_with_its_parameters(running: Server, user: str, invitation: str) -> None:
    """Of the address and of the invitation; once: later it is returned as it is."""
    for query, status in (("clinic=south&first_name=Eve", 201), ("clinic=east", 200)):
        response = request(running, "POST", f"/api/session/{user}?survey=arrival&{query}", invitation)
        assert response.status_code == status
        assert response.json()["session"]["parameters"] == {**NORTH, "clinic": "south", "first_name": "Ada"}
        assert response.headers["ETag"] == '"1"'


@pytest.mark.parametrize(("query", "message"), WRONG)
def test_rest_refuses_with_422(running: Server, user: str, token: str, query: str, message: str) -> None:
    """Where a session begins with a command too; then the command is not applied."""
    command = {"type": "answer", "id": "1", "step": "why", "value": "x"}
    for path, body in ((f"/api/session/{user}", None), (f"/api/session/{user}/commands", command)):
        problem = request(running, "POST", f"{path}?survey=arrival&{query}", token, body)
        assert (problem.status_code, problem.json()["code"]) == (422, "invalid_input")
        assert problem.json()["detail"].startswith(message)
    assert request(running, "GET", f"/api/session/{user}?survey=arrival", token).status_code == 404


def test_rest_takes_the_parameters_that_an_integrator_sends(
    running: Server, user: str, token: str, integrator: str
) -> None:
    """Wherever they come from otherwise, also instead of those in the address; participants may not send any."""
    path = f"/api/session/{user}?survey=arrival"
    sent = {"parameters": {"clinic": "south", "first_name": "Ada", "ward": 5}}
    assert request(running, "POST", f"{path}&clinic=north", token, sent).status_code == 403
    assert request(running, "POST", path, None, sent).status_code == 401
    wrong = request(running, "POST", path, integrator, {"parameters": {"clinic": "south", "ward": "five"}})
    assert (wrong.status_code, wrong.json()["detail"]) == (422, "The parameter ward is invalid. It must be a number.")
    wrong = request(running, "POST", path, integrator, {"parameters": ["south"]})
    assert (wrong.status_code, wrong.json()["detail"]) == (422, "The field parameters must be a mapping.")
    made = request(running, "POST", f"{path}&clinic=north", integrator, sent)
    assert (made.status_code, made.json()["session"]["parameters"]) == (201, {**NORTH, **sent["parameters"]})
    assert begun(running, user, "clinic=north", token) == made.json()["session"]["parameters"]


def test_command_begins_a_session_with_its_parameters(running: Server, user: str, invitation: str) -> None:
    """As the participant's socket would."""
    path = f"/api/session/{user}/commands?survey=arrival&clinic=north&visits=2"
    ack = request(running, "POST", path, invitation, {"type": "answer", "id": "1", "step": "why", "value": "x"}).json()
    assert (ack["version"], ack["session"]["answers"]) == (2, {"why": "x"})
    assert ack["session"]["parameters"] == {**NORTH, "visits": 2, "first_name": "Ada"}


def test_rest_invites_with_parameters(running: Server, user: str, integrator: str) -> None:
    """Checked when the invitation is made: the participant could do nothing about it."""
    path = "/api/surveys/arrival/participants"
    for parameters, message in (
        (
            {"clinic": "north"},
            "The survey's invitations have no parameter clinic. They have first_name. clinic has `from: url`.",
        ),
        ({"name": "Ada"}, "The survey's invitations have no parameter name. They have first_name."),
        ({"first_name": 1}, "The parameter first_name is invalid. It must be text."),
        (
            {"first_name": "A" * 21},
            "The parameter first_name is invalid. It has 21 characters; at most 20 are allowed.",
        ),
    ):
        problem = request(running, "POST", path, integrator, {"user_id": user, "parameters": parameters})
        assert (problem.status_code, problem.json()["detail"].startswith(message)) == (422, True)
    body = {"user_id": user, "parameters": {"first_name": "Ada"}}
    assert request(running, "POST", path, None, body).status_code == 401
    made = request(running, "POST", path, integrator, body)
    assert made.status_code == 201
    assert begun(running, user, "clinic=north", made.json()["token"]) == {**NORTH, "first_name": "Ada"}


def test_no_interface_invites_without_required_parameters(running: Server, user: str, integrator: str) -> None:
    """The participant could not begin; they can once an integrator has begun their session with the parameters."""
    refused = (422, "The parameter first_name is missing.")
    new, own = "/api/surveys/visit/participants", f"/api/session/{user}"
    for path, body in ((new, {}), (new, {"user_id": user}), (new, None), (f"{own}/link?survey=visit", {"hours": 2})):
        answer = request(running, "POST", path, integrator, body)
        assert (answer.status_code, answer.json()["detail"]) == refused
    anonymous = request(running, "POST", new, None)
    assert (anonymous.status_code, anonymous.json()["detail"]) == refused
    sent = {"parameters": {"first_name": "Ada"}}
    assert request(running, "POST", f"{own}?survey=visit", integrator, sent).status_code == 201
    assert request(running, "POST", f"{own}/link?survey=visit", integrator, {"hours": 2}).status_code == 200


def test_link_of_an_invited_participant_keeps_the_parameters(running: Server, user: str, invitation: str) -> None:
    """To another device, before the session begins there; so does the cookie that the link is exchanged for."""
    made = request(running, "POST", f"/api/session/{user}/link?survey=arrival", invitation)
    link = made.json()["link"].partition("#")[2]
    site = {"Origin": running.url}
    exchanged = httpx.post(f"{running.url}/resume", json={"token": link, "confirm": True}, headers=site)
    assert exchanged.status_code == 200
    cookie = exchanged.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    assert begun(running, user, "clinic=north", cookie) == {**NORTH, "first_name": "Ada"}


def test_no_parameter_is_in_a_log(running: Server, user: str, credentials: Credentials, integrator: str) -> None:
    """Neither of an address nor of an invitation or a body, whether it is accepted or refused."""
    key = SessionKey("arrival", user)
    invited = credentials.issue_token(key, mark=INVITATION, parameters={"first_name": "Hildegard"})[0]
    for query in ("clinic=Bingen", "clinic=north&visits=Rupertsberg", "clinic=north&utm=Disibod"):
        httpx.get(f"{running.url}/s/arrival?{query}")
        request(running, "POST", f"/api/session/{user}?survey=arrival&{query}", invited)
        with open_socket(running, user, query, invited) as ws:
            receive(ws)
    sent = {"parameters": {"clinic": "Eibingen"}}
    request(running, "POST", f"/api/session/{user}-2?survey=arrival", integrator, sent)
    for text in ("Hildegard", "Bingen", "Rupertsberg", "Disibod", "Eibingen"):
        assert text not in running.log


def test_participant_export_has_the_parameters(running: Server, user: str, invitation: str, integrator: str) -> None:
    """They are data about the participant."""
    begun(running, user, "clinic=south", invitation)
    for token in (invitation, integrator):
        exported = request(running, "GET", f"/api/session/{user}/export?survey=arrival", token).json()
        assert exported["sessions"][0]["parameters"] == {**NORTH, "clinic": "south", "first_name": "Ada"}
        assert exported["sessions"][0]["survey_title"] == "Welcome, Ada"
        started = exported["sessions"][0]["history"][0]
        assert started["data"]["parameters"]["first_name"] == "Ada"


def test_python_clients_begin_with_parameters(running: Server, user: str, credentials: Credentials) -> None:
    """As their socket's address has them; refused ones stop the client."""
    for name, client_of in (("blocking", blocking_client), ("async", async_client)):
        token = credentials.issue_token(SessionKey("arrival", f"{user}-{name}"))[0]
        options = {"survey_id": "arrival", "token": token}
        with pytest.raises(PermanentlyRefused, match=r"4400.*The parameter clinic") as refused:
            client_of(running.url, f"{user}-{name}", parameters={"clinic": "east"}, **options)
        assert refused.value.close_code == 4400
        session = client_of(running.url, f"{user}-{name}", parameters={"clinic": "north", "visits": "2"}, **options)
        assert session["parameters"] == {**NORTH, "visits": 2}


def blocking_client(*arguments: str, **options: Any) -> Any:
    """Return the session to which a client connects."""
    with SurveyClient(*arguments, **options) as client:
        return client.wait_until_online(30)["session"]


def async_client(*arguments: str, **options: Any) -> Any:
    async def connected() -> Any:
        async with AsyncSurveyClient(*arguments, **options) as client:
            return (await client.wait_until_online(30))["session"]

    return run(connected())
