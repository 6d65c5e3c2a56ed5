"""The Big List of Naughty Strings through every interface: refused clearly, or returned unchanged to the last byte.

Scripts, markup, SQL, format strings, right to left, zero width, emoji, what looks like null or a number. None of them
may end in an internal error (5xx), be changed on the way, or run in a browser.
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
from tests.web.conftest import Participant, running_server

ALL_STRINGS: list[str] = json.loads(Path(__file__).with_name("naughty_strings.json").read_text())
STRINGS = sample(list(dict.fromkeys(ALL_STRINGS)))
NAMES = [text for text in STRINGS if 1 <= len(text) <= 255]
"""Of the length that a step's name may have."""

OFTEN = "100000000/second"
KEY = SessionKey("naughty", "somebody")
HERE = "/api/session/somebody"
SURVEY = {"survey": "naughty"}


def survey_file(folder: Path, steps: int) -> Path:
    """Write a survey that takes any text at each of its steps."""
    lines = [f"  - {{id: S{number}, type: text, prompt: p, max_length: 60000}}" for number in range(steps)]
    text = "\n".join(["id: naughty", "title: t", "language: en", "steps:", *lines])
    (folder / "naughty.yaml").write_text(f"{text}\n")
    return folder


class App:
    """The application, asked without a browser."""

    def __init__(self, store: SessionStore) -> None:
        app = create_app(store.settings, store)
        self.store = store
        self.access = app.extensions["stepkeep"].authenticator
        self.client: FlaskClient = app.test_client()

    def request(self, method: str, path: str, **options: Any) -> TestResponse:
        """Return the answer; never an internal error."""
        answer = self.client.open(path, method=method, **options)
        assert answer.status_code < 500, (method, path, options, answer.text)
        return answer

    def close(self) -> None:
        self.access.credentials.revocations.close()
        self.store.close()


def open_app(settings: Settings, folder: Path, **changes: object) -> App:
    """Return an application with a survey that takes any text, and one session."""
    store = open_store(settings.model_copy(update={"surveys_dir": survey_file(folder, 2), **changes}))
    store.turns.get_or_create(KEY, is_audio_mode=False)
    return App(store)


@pytest.fixture
def app(settings: Settings, tmp_path: Path) -> Iterator[App]:
    """The application in development on each database."""
    made = open_app(settings, tmp_path)
    yield made
    made.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[App]:
    """The application in production, with rate limits that no test reaches."""
    url = create_sqlite(tmp_path / "test.db")
    secret = SecretStr(uuid.uuid4().hex + uuid.uuid4().hex)
    rates = dict.fromkeys(("address_requests", "address_failures"), OFTEN)
    made = open_app(Settings(database_url=url), tmp_path, environment="production", secret_key=secret, **rates)
    yield made
    made.close()


def test_naughty_string_comes_back_the_same_when_a_whole_state_is_saved(app: App) -> None:
    """As key and value, at any depth, and as a step's name: by REST, history, export and the Python API."""
    state = {
        "current_step": NAMES[-1],
        "answers": {text: text for text in STRINGS},
        "step_history": NAMES,
        "session_data": {text: [text, {text: text}] for text in STRINGS},
    }
    assert app.request("PUT", HERE, query_string=SURVEY, json=state).status_code == 200
    found = app.request("GET", HERE, query_string=SURVEY).get_json()["session"]
    assert {name: found[name] for name in state} == state
    exported = app.request("GET", f"{HERE}/export", query_string=SURVEY).get_json()
    (session,) = exported["sessions"]
    assert {name: session[name] for name in state} == state
    loaded = app.store.queries.load(KEY)
    assert loaded is not None
    assert dict(loaded.state.answers) == state["answers"]
    events = app.request("GET", f"{HERE}/history", query_string=SURVEY).get_json()["events"]
    assert events[-1]["data"]["answers"] == state["answers"]


def test_naughty_string_comes_back_the_same_when_it_is_noted(app: App) -> None:
    """As an integrator's own action, step and answer; what is no name is refused and nothing is written."""
    python = Database(app.store)
    python.save_session("somebody", "S0", {}, [])
    for text in STRINGS:
        if text in NAMES:
            assert python.add_history_entry("somebody", text, step=text, answer={text: text})
        else:
            with pytest.raises(InvalidInput):
                python.add_history_entry("somebody", text)
    noted = python.get_session_history("somebody", limit=len(NAMES))[::-1]
    assert [(entry["action"], entry["step"], entry["answer"]) for entry in noted] == [
        (text, text, {text: text}) for text in NAMES
    ]


def test_naughty_string_comes_back_the_same_when_it_is_an_answer_or_an_id(app: App) -> None:
    """Over REST: the value in the acknowledgement and in history, the id in both; too long an id is refused."""
    kept: list[tuple[str, str]] = []
    for text in STRINGS:
        body = {"type": "answer", "id": text, "step": "S0", "value": text}
        answer = app.request("POST", f"{HERE}/commands", query_string=SURVEY, json=body)
        if answer.status_code == 200:
            assert answer.get_json()["id"] == text
            assert answer.get_json()["session"]["answers"]["S0"] == text
            kept.append((text, text))
        else:
            assert answer.status_code == 422, answer.text
            assert not 1 <= len(text) <= 64
    events = app.request("GET", f"{HERE}/history", query_string={**SURVEY, "limit": "1000"}).get_json()["events"]
    assert [(event["message_id"], event["answer"]) for event in events[1:]] == kept
    assert len(kept) > 0.6 * len(STRINGS)


def test_naughty_string_is_refused_or_taken_as_it_is_when_it_is_in_an_address(app: App) -> None:
    """As user id, survey, step, cursor, time, number and filter: 4xx, or about exactly what was named."""
    state = {"current_step": "S0", "answers": {}, "step_history": []}
    for text in STRINGS:
        path = quote(text, safe="")
        made = app.request("PUT", f"/api/session/{path}", query_string=SURVEY, json=state)
        if made.status_code in {200, 201}:
            assert made.get_json()["session"]["user_id"] == text
        else:  # 308: two slashes in a row are one, at the same address
            assert made.status_code in {308, 404, 405, 422}, (text, made.text)
        assert app.request("GET", HERE, query_string={"survey": text}).status_code in {404, 422}
        for name in ("after", "status", "updated_since", "limit", "step", "survey", text):
            listed = app.request("GET", "/api/sessions", query_string={name: text})
            assert listed.status_code in {200, 422}, (name, text, listed.text)
        app.request("GET", f"{HERE}/history", query_string={**SURVEY, "after": text, "limit": text})
        app.request("GET", HERE, query_string={**SURVEY, "at_version": text})
        for address in ("/s/", "/api/surveys/", "/assets/"):
            assert app.request("GET", f"{address}{path}").status_code in {200, 308, 404}, (address, text)


def test_naughty_string_is_refused_or_taken_as_it_is_when_it_is_in_a_header(app: App) -> None:
    """As the version or the message id of a change: 4xx, or meant as it stands; others are not looked at."""
    for number, text in enumerate(STRINGS):
        sent = in_a_header(text)
        body = {"type": "goto", "step": f"S{number + 2}"}
        keyed = app.request(
            "POST", f"{HERE}/commands", query_string=SURVEY, json=body, headers={"Idempotency-Key": sent}
        )
        assert keyed.status_code in {409, 422}, (text, keyed.text)
        if keyed.status_code == 409:
            assert keyed.get_json()["id"] == sent
        changed = {"is_audio_mode": True}
        matched = app.request("PATCH", HERE, query_string=SURVEY, json=changed, headers={"If-Match": sent})
        assert matched.status_code in {412, 422} or (matched.status_code, sent) == (200, sent.lstrip("0"))
        app.request("GET", "/", headers=dict.fromkeys(("User-Agent", "Accept-Language", "Referer", "Accept"), sent))


def test_naughty_string_lets_nobody_in_when_it_is_a_credential(guarded: App) -> None:
    """As token, API key or cookie, in the form or a link: refused, with one page and nothing of it in it."""
    pages = set()
    for text in STRINGS:
        sent = in_a_header(text)
        cookie = {"Cookie": f"__Host-stepkeep-sign-in={sent}; __Host-stepkeep.naughty={sent}"}
        for headers in ({"Authorization": sent}, {"Authorization": f"Bearer {sent}"}, cookie):
            assert guarded.request("GET", HERE, query_string=SURVEY, headers=headers).status_code == 401, text
        refused = guarded.request("POST", "/sign-in", data={"key": text})
        assert refused.status_code == 401
        pages.add(refused.text)
        assert guarded.request("POST", "/resume", json={"token": text}).status_code == 401
    assert len(pages) == 1


def test_naughty_string_is_another_site_when_it_is_an_origin(guarded: App) -> None:
    """Refused as a foreign page's request, whatever it looks like."""
    for text in STRINGS:
        headers = {"Origin": f"https://{in_a_header(text)}"}
        assert guarded.request("POST", "/leave", query_string=SURVEY, headers=headers).status_code == 403


def test_naughty_string_is_refused_or_taken_as_it_is_when_it_is_in_an_invitation(app: App) -> None:
    """As user id, hours or a field that there is not: 422, or exactly that participant's token."""
    for text in STRINGS:
        invited = app.request("POST", "/api/surveys/naughty/participants", json={"user_id": text})
        assert invited.status_code == 422 or invited.get_json()["user_id"] == text
        assert app.request("POST", "/api/surveys/naughty/participants", json={text: text, "": 1}).status_code == 422
        assert app.request("POST", f"{HERE}/link", query_string=SURVEY, json={"hours": text}).status_code == 422


def in_a_header(text: str) -> str:
    """Return the text as HTTP carries UTF-8 in a header; line ends it can't."""
    return " ".join(text.split()).encode().decode("latin-1")


@pytest.fixture(params=each_kind(__name__))
def listening(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Server]:
    """A server on each database whose survey takes any text."""
    (tmp_path / "surveys").mkdir()
    surveys = survey_file(tmp_path / "surveys", 2)
    often = {"STEPKEEP_MESSAGES_PER_SECOND": "100000", "STEPKEEP_ENVIRONMENT": "development"}
    with running_server(request.param, servers, tmp_path, surveys, **often) as running:
        yield running


def test_naughty_string_comes_back_the_same_over_the_socket(listening: Server) -> None:
    """As answer, message id and draft; and to the next connection."""
    one = Participant(listening, "socket", "naughty")
    for text in STRINGS:
        one.send({"type": "answer", "id": text, "step": "S0", "value": text})
        answer = one.receive()
        if answer["type"] == "error":
            assert answer["code"] == "malformed"
            assert not 1 <= len(text) <= 64
            answer = one.answer("S0", text)
        if answer["type"] == "reject":
            assert (answer["code"], text) == ("required", "")
        else:
            assert answer["session"]["answers"]["S0"] == text
        one.send({"type": "draft", "step": "S1", "value": {text: text}})
        one.send({"type": text, "id": "x"})
        assert one.receive()["code"] in {"unknown_type", "malformed"}
    one.ws.close()
    two = Participant(listening, "socket", "naughty").state["session"]
    assert two["answers"] == {"S0": STRINGS[-1]}
    assert two["draft"] == {STRINGS[-1]: STRINGS[-1]}
