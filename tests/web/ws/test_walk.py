"""Languages, confirmations, endings and steps that depend on answers, over the WebSocket, REST and the Python client."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from app.client import Rejected, SurveyClient
from app.web.ws.asyncapi import SERVER_MESSAGE
from tests.conftest import Server

TRIP = """
id: trip
title: {en: Trip, de: Reise}
language: en
languages: [en, de]
steps:
  - id: km
    type: number
    prompt: {en: "How far?", de: "Wie weit?"}
    check:
      - {that: answer > 0, message: {en: More than 0., de: Mehr als 0.}}
      - {that: answer < 100, message: {en: That is far., de: Das ist weit.}, level: warning}
  - id: by
    type: choice
    prompt: {en: "By what?", de: "Womit?"}
    options: [foot, {value: car, show_if: answers.km > 5}]
  - {id: why, type: text, prompt: p, show_if: 'answers.by == "car"'}
end:
  - {when: 'answers.by == "car"', title: {en: Drive, de: Fahr}, text: t, redirect: "https://clinic.example/done"}
"""

BODY = """
id: body
title: Body
language: en
steps:
  - id: body
    type: page
    prompt: About you
    fields:
      - {id: height, type: number, prompt: Height, max: 3}
      - {id: name, type: text, prompt: Name, required: false}
  - id: days
    type: grid
    prompt: How often?
    rows: [{id: sleep, label: Sleep}, {id: energy, label: Energy}]
    options: [never, often]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("walk")
    (folder / "surveys").mkdir()
    (folder / "surveys" / "trip.yaml").write_text(TRIP)
    (folder / "surveys" / "body.yaml").write_text(BODY)
    server = Server(folder, surveys=folder / "surveys")
    server.start()
    yield server
    server.stop()


class Participant:
    """A client without an outbox."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._sent = 0
        self.state = self.receive()

    def receive(self) -> Any:
        message = json.loads(self._connection.recv(timeout=30))
        SERVER_MESSAGE.validate_python(message)
        return message

    def send(self, kind: str, **fields: object) -> Any:
        self._sent += 1
        self._connection.send(json.dumps({"type": kind, "id": f"{self._sent}", **fields}))
        return self.receive()


def rest(server: Server, path: str, body: object = None, *, method: str | None = None, **headers: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


@pytest.mark.parametrize(
    ("query", "header", "language"),
    [
        ("&lang=de-AT", "en", "de"),
        ("", "fr, de;q=0.9, en;q=0.1", "de"),
        ("&lang=fr", "de", "de"),
        ("", "fr", "en"),
        ("", "de;q=0", "en"),
    ],
)
def test_session_begins_in_the_language_of_the_request(running: Server, query: str, header: str, language: str) -> None:
    """`lang`, else the best of Accept-Language that the survey has, else the survey's own."""
    name = re.sub(r"\W", "", f"begin{query}{header}")
    url = f"{running.ws_url}/ws/survey/{name}?survey=trip{query}"
    with connect(url, additional_headers={"Accept-Language": header}) as connection:
        session = Participant(connection).state["session"]
    assert session["language"] == language
    command = {"type": "mode", "id": "1", "audio": True}
    ack = rest(running, f"/api/session/r-{name}/commands?survey=trip{query}", command, **{"Accept-Language": header})
    assert ack["session"]["language"] == language


def test_session_is_walked_in_its_language(running: Server) -> None:
    """Texts, refusals and the ending; the history has the language of each answer, and the confirmation."""
    with connect(f"{running.ws_url}/ws/survey/ann?survey=trip&lang=de") as connection:
        ann = Participant(connection)
        assert ann.state["step"]["prompt"] == "Wie weit?"
        refused = ann.send("answer", step="km", value=0)
        assert (refused["code"], refused["message"]) == ("invalid_answer", "Mehr als 0.")
        warned = ann.send("answer", step="km", value=300)
        assert (warned["code"], warned["message"]) == ("confirm", "Das ist weit.")
        step = ann.send("answer", step="km", value=300, confirmed=True)["step"]
        assert ([option["value"] for option in step["options"]], step["depends_on"]) == (["foot", "car"], ["km"])
        unknown = ann.send("language", language="fr")
        assert (unknown["type"], unknown["code"]) == ("reject", "invalid_language")
        english = ann.send("language", language="en")
        assert (english["session"]["language"], english["step"]["prompt"]) == ("en", "By what?")
        assert ann.send("answer", step="by", value="car")["session"]["current_step"] == "why"
        done = ann.send("answer", step="why", value="fun")
        ending = {"title": "Drive", "text": "t", "html": None, "redirect": "https://clinic.example/done"}
        assert done["ending"] == {**ending, "summary": False}
        assert ann.send("language", language="de")["ending"]["title"] == "Fahr"
    with connect(f"{running.ws_url}/ws/survey/ann?survey=trip") as connection:
        assert Participant(connection).state["ending"]["title"] == "Fahr"
    events = rest(running, "/api/session/ann/history?survey=trip")["events"]
    data = {event["step"]: event["data"] for event in events if event["action"] == "answered"}
    assert (data["km"]["language"], data["km"]["confirmed"], data["by"]["language"]) == ("de", True, "en")
    assert [event["action"] for event in events].count("language_set") == 2


def test_edit_hides_a_step_and_an_ending_that_does_not_apply_is_absent(running: Server) -> None:
    """The hidden step's answer leaves; the option that is hidden makes its answer a draft."""
    with connect(f"{running.ws_url}/ws/survey/ben?survey=trip") as connection:
        ben = Participant(connection)
        ben.send("answer", step="km", value=50)
        ben.send("answer", step="by", value="car")
        edited = ben.send("answer", step="km", value=2)
        assert (edited["session"]["current_step"], edited["session"]["draft"]) == ("by", "car")
        assert [option["value"] for option in edited["step"]["options"]] == ["foot"]
        assert ben.send("answer", step="by", value="car")["code"] == "invalid_answer"
        done = ben.send("answer", step="by", value="foot")
    assert done["session"]["status"] == "completed"
    assert "ending" not in done


def test_saved_state_at_the_end_has_an_ending(running: Server) -> None:
    """As a walk to the end has, in every message."""
    state = {"current_step": "end", "answers": {"km": 9, "by": "car"}, "step_history": ["km", "by", "why"]}
    rest(running, "/api/session/eve?survey=trip", state, method="PUT")
    with connect(f"{running.ws_url}/ws/survey/eve?survey=trip") as connection:
        assert Participant(connection).state["ending"]["title"] == "Drive"


def test_rest_refuses_as_the_websocket_does(running: Server) -> None:
    """As problems, with the same codes; a confirmed answer is accepted."""
    path = "/api/session/cleo/commands?survey=trip"
    answer = {"type": "answer", "id": "1", "step": "km", "value": 300}
    problem = rest(running, path, answer)
    assert (problem["status"], problem["code"], problem["detail"]) == (409, "confirm", "That is far.")
    assert rest(running, path, {**answer, "id": "2", "confirmed": True})["type"] == "ack"
    assert rest(running, path, {"type": "language", "id": "3", "language": "xx"})["code"] == "invalid_language"
    assert rest(running, path, {"type": "language", "id": "4", "language": "de"})["session"]["language"] == "de"


def test_survey_says_where_steps_lead_whatever_the_answers(running: Server) -> None:
    """A target that may be hidden is unknown, and the answers that decide are named."""
    survey = rest(running, "/api/surveys/trip")["survey"]
    km, by, _ = survey["steps"]
    assert survey["first_step"] == "km"
    assert (km["leads_to"], by["leads_to"], by["reads"], by["depends_on"]) == ("by", None, [], ["km"])
    assert [option["value"] for option in by["options"]] == ["foot", "car"]
    assert "show_if" not in json.dumps(survey)


def test_python_client_confirms_and_changes_the_language(running: Server) -> None:
    """As the protocol's commands do."""
    with SurveyClient(running.url, "dora", survey_id="trip", language="de") as client:
        assert client.wait_until_online(30)["session"]["language"] == "de"
        with pytest.raises(Rejected) as rejected:
            client.answer("km", 300).result(30)
        assert rejected.value.code == "confirm"
        assert client.answer("km", 300, confirmed=True).result(30)["session"]["current_step"] == "by"
        assert client.set_language("en").result(30)["session"]["language"] == "en"


def test_refusal_of_a_page_or_grid_names_what_is_wrong(running: Server) -> None:
    """By field or row, over the WebSocket, REST and the Python client."""
    wrong = {"height": "The answer must be at most 3."}
    missing = {"energy": "This question needs an answer."}
    with connect(f"{running.ws_url}/ws/survey/fay?survey=body") as connection:
        fay = Participant(connection)
        refused = fay.send("answer", step="body", value={"height": 180})
        assert (refused["code"], refused["fields"]) == ("invalid_answer", wrong)
        assert fay.send("answer", step="body", value=[])["fields"] == {}
        assert fay.send("answer", step="body", value={"height": 1.8})["session"]["answers"] == {
            "body": {"height": 1.8, "name": None}
        }
        assert fay.send("answer", step="days", value={"sleep": "often"})["fields"] == missing
    command = {"type": "answer", "id": "1", "step": "body", "value": {"height": 180}}
    problem = rest(running, "/api/session/gus/commands?survey=body", command)
    assert (problem["status"], problem["code"], problem["fields"]) == (409, "invalid_answer", wrong)
    with SurveyClient(running.url, "hal", survey_id="body") as client, pytest.raises(Rejected) as rejected:
        client.answer("body", {"height": 180}).result(30)
    assert rejected.value.fields == wrong
