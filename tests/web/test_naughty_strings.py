"""The Big List of Naughty Strings through every interface: refused, or returned unchanged to the last byte.

Scripts, markup, SQL, format strings, right to left, zero width, emoji, text like null or a number: none may end in an
internal error (5xx), be changed, or run in a browser.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from app.database import Database
from app.errors import InvalidInput
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from app.web.factory import create_app
from tests.conftest import Server, Servers, each_kind, sample
from tests.databases import create_sqlite
from tests.waiting import wait_for
from tests.web.conftest import Participant, running_server

ALL_STRINGS: list[str] = json.loads(Path(__file__).with_name("naughty_strings.json").read_text())
STRINGS = sample(list(dict.fromkeys(ALL_STRINGS)))
NAMES = [text for text in STRINGS if 1 <= len(text) <= 255]
"""Those with the length of a step id."""

UNLIMITED = "100000000/second"
KEY = SessionKey("naughty", "somebody")
SESSION_URL = "/api/session/somebody"
SURVEY = {"survey": "naughty"}


def write_survey(folder: Path, steps: int) -> Path:
    """Write a survey that accepts any text at each of its steps."""
    lines = [f"  - {{id: S{number}, type: text, prompt: p, max_length: 60000}}" for number in range(steps)]
    text = "\n".join(["id: naughty", "title: t", "language: en", "steps:", *lines])
    (folder / "naughty.yaml").write_text(f"{text}\n")
    return folder


class App:
    """The application without a browser."""

    def __init__(self, store: SessionStore) -> None:
        app = create_app(store.settings, store)
        self.store = store
        self.access = app.extensions["stepkeep"].authenticator
        self.client: FlaskClient = app.test_client()

    def request(self, method: str, path: str, **options: Any) -> TestResponse:
        """Return the response, which is never an internal error."""
        answer = self.client.open(path, method=method, **options)
        assert answer.status_code < 500, (method, path, options, answer.text)
        return answer

    def close(self) -> None:
        self.access.credentials.revocations.close()
        self.store.close()


def open_app(settings: Settings, folder: Path, **changes: object) -> App:
    """Return an application whose survey accepts any text, with one session."""
    store = open_store(settings.model_copy(update={"surveys_dir": write_survey(folder, 2), **changes}))
    store.turns.get_or_create(KEY, is_audio_mode=False)
    return App(store)


@pytest.fixture
def app(settings: Settings, tmp_path: Path) -> Iterator[App]:
    """The application in development on each database."""
    app = open_app(settings, tmp_path)
    yield app
    app.close()


@pytest.fixture
def production_app(tmp_path: Path) -> Iterator[App]:
    """The application in production, with rate limits that no test reaches."""
    url = create_sqlite(tmp_path / "test.db")
    secret = SecretStr(uuid.uuid4().hex + uuid.uuid4().hex)
    rates = dict.fromkeys(("address_requests", "address_failures"), UNLIMITED)
    app = open_app(Settings(database_url=url), tmp_path, environment="production", secret_key=secret, **rates)
    yield app
    app.close()


def test_naughty_string_in_a_saved_state_is_returned_unchanged(app: App) -> None:
    """As key, value and step id: by REST, history, export and the Python API."""
    state = {
        "current_step": NAMES[-1],
        "answers": {text: text for text in STRINGS},
        "step_history": NAMES,
        "session_data": {text: [text, {text: text}] for text in STRINGS},
    }
    assert app.request("PUT", SESSION_URL, query_string=SURVEY, json=state).status_code == 200
    session = app.request("GET", SESSION_URL, query_string=SURVEY).get_json()["session"]
    assert {name: session[name] for name in state} == state
    exported = app.request("GET", f"{SESSION_URL}/export", query_string=SURVEY).get_json()
    (session,) = exported["sessions"]
    assert {name: session[name] for name in state} == state
    loaded = app.store.queries.load(KEY)
    assert loaded is not None
    assert dict(loaded.state.answers) == state["answers"]
    events = app.request("GET", f"{SESSION_URL}/history", query_string=SURVEY).get_json()["events"]
    assert events[-1]["data"]["answers"] == state["answers"]


def test_naughty_string_in_a_history_entry_is_returned_unchanged(app: App) -> None:
    """As action, step and answer; an invalid action is refused and nothing is written."""
    python = Database(app.store)
    python.save_session("somebody", "S0", {}, [])
    for text in STRINGS:
        if text in NAMES:
            assert python.add_history_entry("somebody", text, step=text, answer={text: text})
        else:
            with pytest.raises(InvalidInput):
                python.add_history_entry("somebody", text)
    entries = python.get_session_history("somebody", limit=len(NAMES))[::-1]
    assert [(entry["action"], entry["step"], entry["answer"]) for entry in entries] == [
        (text, text, {text: text}) for text in NAMES
    ]


def test_naughty_string_as_answer_or_message_id_is_returned_unchanged(app: App) -> None:
    """In the acknowledgement and in the history; too long an id is refused."""
    saved: list[tuple[str, str]] = []
    for text in STRINGS:
        body = {"type": "answer", "id": text, "step": "S0", "value": text}
        answer = app.request("POST", f"{SESSION_URL}/commands", query_string=SURVEY, json=body)
        if answer.status_code == 200:
            assert answer.get_json()["id"] == text
            assert answer.get_json()["session"]["answers"]["S0"] == text
            saved.append((text, text))
        else:
            assert answer.status_code == 422, answer.text
            assert not 1 <= len(text) <= 64
    events = app.request("GET", f"{SESSION_URL}/history", query_string={**SURVEY, "limit": "1000"}).get_json()["events"]
    assert [(event["message_id"], event["answer"]) for event in events[1:]] == saved
    assert len(saved) > 0.6 * len(STRINGS)


def test_naughty_string_in_a_url_is_refused_or_taken_literally(app: App) -> None:
    """As user id, survey, step, cursor, time, number and filter."""
    state = {"current_step": "S0", "answers": {}, "step_history": []}
    for text in STRINGS:
        path = quote(text, safe="")
        created = app.request("PUT", f"/api/session/{path}", query_string=SURVEY, json=state)
        if created.status_code in {200, 201}:
            assert created.get_json()["session"]["user_id"] == text
        else:  # 308: doubled slashes are merged
            assert created.status_code in {308, 404, 405, 422}, (text, created.text)
        assert app.request("GET", SESSION_URL, query_string={"survey": text}).status_code in {404, 422}
        for name in ("after", "status", "updated_since", "limit", "step", "survey", text):
            listed = app.request("GET", "/api/sessions", query_string={name: text})
            assert listed.status_code in {200, 422}, (name, text, listed.text)
        app.request("GET", f"{SESSION_URL}/history", query_string={**SURVEY, "after": text, "limit": text})
        app.request("GET", SESSION_URL, query_string={**SURVEY, "at_version": text})
        for address in ("/s/", "/api/surveys/", "/assets/"):
            assert app.request("GET", f"{address}{path}").status_code in {200, 308, 404}, (address, text)


def test_naughty_string_in_a_header_is_refused_or_taken_literally(app: App) -> None:
    """As If-Match and Idempotency-Key; other headers are not read."""
    for number, text in enumerate(STRINGS):
        value = header_value(text)
        body = {"type": "goto", "step": f"S{number + 2}"}
        keyed = app.request(
            "POST", f"{SESSION_URL}/commands", query_string=SURVEY, json=body, headers={"Idempotency-Key": value}
        )
        assert keyed.status_code in {409, 422}, (text, keyed.text)
        if keyed.status_code == 409:
            assert keyed.get_json()["id"] == (value[1:-1] if value.startswith('"') else value)
        changed = {"is_audio_mode": True}
        matched = app.request("PATCH", SESSION_URL, query_string=SURVEY, json=changed, headers={"If-Match": value})
        assert matched.status_code in {412, 422} or (matched.status_code, value) == (200, value.lstrip("0"))
        app.request("GET", "/", headers=dict.fromkeys(("User-Agent", "Accept-Language", "Referer", "Accept"), value))


def test_naughty_string_as_credential_is_refused(production_app: App) -> None:
    """As token, API key or cookie, in the form or a link; the page does not contain it."""
    pages = set()
    for text in STRINGS:
        value = header_value(text)
        cookie = {"Cookie": f"__Host-stepkeep-sign-in={value}; __Host-stepkeep.naughty={value}"}
        for headers in ({"Authorization": value}, {"Authorization": f"Bearer {value}"}, cookie):
            assert (
                production_app.request("GET", SESSION_URL, query_string=SURVEY, headers=headers).status_code == 401
            ), text
        refused = production_app.request("POST", "/sign-in", data={"key": text})
        assert refused.status_code == 401
        pages.add(refused.text)
        assert production_app.request("POST", "/resume", json={"token": text}).status_code == 401
    assert len(pages) == 1


def test_naughty_string_as_origin_is_a_foreign_origin(production_app: App) -> None:
    for text in STRINGS:
        headers = {"Origin": f"https://{header_value(text)}"}
        assert production_app.request("POST", "/leave", query_string=SURVEY, headers=headers).status_code == 403


def test_naughty_string_in_an_invitation_is_refused_or_taken_literally(app: App) -> None:
    """As user id, hours or an unknown field."""
    for text in STRINGS:
        invited = app.request("POST", "/api/surveys/naughty/participants", json={"user_id": text})
        assert invited.status_code == 422 or invited.get_json()["user_id"] == text
        assert app.request("POST", "/api/surveys/naughty/participants", json={text: text, "": 1}).status_code == 422
        assert app.request("POST", f"{SESSION_URL}/link", query_string=SURVEY, json={"hours": text}).status_code == 422


def header_value(text: str) -> str:
    """Return the text as UTF-8 in a header, without line breaks."""
    return " ".join(text.split()).encode().decode("latin-1")


@pytest.fixture(params=each_kind(__name__))
def server(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Server]:
    """A server on each database whose survey accepts any text."""
    (tmp_path / "surveys").mkdir()
    surveys = write_survey(tmp_path / "surveys", 2)
    environment = {"STEPKEEP_MESSAGES_PER_SECOND": "100000", "STEPKEEP_ENVIRONMENT": "development"}
    with running_server(request.param, servers, tmp_path, surveys, **environment) as server:
        yield server


def receive_reply(participant: Participant) -> dict[str, Any]:
    """Return the final reply to what was sent; where this takes long, a saved draft is reported in between."""
    message = participant.receive()
    return message if message["type"] not in {"pending", "sync"} else receive_reply(participant)


def test_naughty_string_over_the_socket_is_returned_unchanged(server: Server) -> None:
    """As answer, message id and draft, also to the next connection."""
    first = Participant(server, "socket", "naughty")
    for text in STRINGS:
        first.send({"type": "answer", "id": text, "step": "S0", "value": text})
        answer = receive_reply(first)
        if answer["type"] == "error":
            assert answer["code"] == "malformed"
            assert not 1 <= len(text) <= 64
            first.send({"type": "answer", "id": uuid.uuid4().hex, "step": "S0", "value": text})
            answer = receive_reply(first)
        if answer["type"] == "reject":
            assert (answer["code"], text) == ("required", "")
        else:
            assert answer["session"]["answers"]["S0"] == text
        first.send({"type": "draft", "step": "S1", "value": {text: text}})
        first.send({"type": text, "id": "x"})
        assert receive_reply(first)["code"] in {"unknown_type", "malformed"}
    first.ws.close()
    draft = {STRINGS[-1]: STRINGS[-1]}
    wait_for(lambda: session_over_socket(server)["draft"] == draft, "the draft was not saved after the close")
    assert session_over_socket(server)["answers"] == {"S0": STRINGS[-1]}


def session_over_socket(server: Server) -> dict[str, Any]:
    session: dict[str, Any] = Participant(server, "socket", "naughty").state["session"]
    return session
