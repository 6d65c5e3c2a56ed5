"""The session in its page: only the participant's own, as the WebSocket sends it, and never a reason to wait."""

import html
import json
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.principals import INVITATION
from app.errors import DatabaseUnavailable
from app.settings import Settings
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from app.web.pages import opening
from tests.conftest import Server, Servers
from tests.web.conftest import Participant, running_server
from tests.web.production import App, in_production, production_app

COOKIE = "__Host-stepkeep.phq9"


def opening_of(page: str) -> Any:
    """Return the message in a page; None if it has none."""
    found = re.search(r'<script type="application/json" id="opening-state">(.*?)</script>', page)
    return None if found is None else json.loads(found[1])


def open_page(app: App, user_id: str) -> str:
    """Return the survey's page for the participant of a cookie."""
    answer = app.request("GET", "/s/phq9", headers={"Cookie": f"{COOKIE}={app.create_token(user_id)}"})
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.text


def test_new_participant_gets_the_first_step(app: App) -> None:
    """As the session will be begun: nothing is stored by opening a page."""
    answer = app.request("GET", "/s/phq9?is_audio=true")
    message = opening_of(answer.text)
    assert answer.headers["Cache-Control"] == "no-store"
    assert (message["type"], message["version"], message["resumed"]) == ("state", 0, False)
    assert message["step"]["id"] == message["session"]["current_step"] == "Q1"
    assert message["session"]["is_audio_mode"] is True
    assert app.store.queries.load(SessionKey("phq9", message["session"]["user_id"])) is None


def test_returning_participant_gets_their_session(app: App) -> None:
    """With what they answered; another participant gets none of it."""
    key = SessionKey("phq9", "opening-1")
    app.store.turns.submit(key, Begin(at=app.clock()))
    app.store.turns.submit(key, Answer(at=app.clock(), step="Q1", value=3))
    message = opening_of(open_page(app, key.user_id))
    assert (message["version"], message["resumed"]) == (2, True)
    assert message["session"]["answers"] == {"Q1": 3}
    assert message["step"]["id"] == "Q2"
    other = opening_of(open_page(app, "opening-2"))
    assert other["session"]["user_id"] == "opening-2"
    assert other["session"]["answers"] == {}


def test_erased_session_is_not_shown(app: App) -> None:
    """Neither to the cookie of before."""
    key = SessionKey("phq9", "opening-3")
    app.store.turns.submit(key, Begin(at=app.clock()))
    app.store.turns.submit(key, Answer(at=app.clock(), step="Q1", value=3))
    token = app.create_token(key.user_id)
    erased = app.request("DELETE", f"/api/session/{key.user_id}?survey=phq9", app.create_key("sessions:write"))
    assert erased.status_code == 200
    answer = app.request("GET", "/s/phq9", headers={"Cookie": f"{COOKIE}={token}"})
    assert answer.status_code == 401
    assert opening_of(answer.text) is None


def test_text_of_an_answer_ends_no_script(app: App) -> None:
    """It is escaped, and read as it was."""
    key = SessionKey("intake", "opening-4")
    text = "</script><script>alert('x')</script> & \u2028"
    app.store.turns.submit(key, Begin(at=app.clock()))
    for step, value in {"S1": None, "S2": "1970-01-01", "S3": "A new problem", "S4": text}.items():
        app.store.turns.submit(key, Answer(at=app.clock(), step=step, value=value))
    token = app.create_token(key.user_id, "intake")
    page = app.request("GET", "/s/intake", headers={"Cookie": f"__Host-stepkeep.intake={token}"}).text
    assert "<script>alert" not in page
    assert opening_of(page)["session"]["answers"]["S4"] == text


def test_page_opens_without_the_session_when_the_database_does_not_answer(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither after an error nor after a longer wait."""

    def fail(_key: SessionKey) -> None:
        raise DatabaseUnavailable("gone")

    answers = threading.Event()
    monkeypatch.setattr(opening, "TIMEOUT_S", 0.01)
    for load in (fail, lambda _key: answers.wait()):
        monkeypatch.setattr(app.store.queries, "load_with_survey", load)
        assert opening_of(open_page(app, "opening-5")) is None
    answers.set()


def test_large_session_is_left_to_the_socket(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would delay the page."""
    monkeypatch.setattr(opening, "MAX_LENGTH", 100)
    assert opening_of(open_page(app, "opening-6")) is None


BILINGUAL = """
id: bilingual
title: {en: Two languages, de: Zwei Sprachen}
language: en
languages: [en, de]
steps:
  - {id: S1, type: boolean, prompt: {en: "Do you smoke?", de: "Rauchen Sie?"}}
  - {id: S2, type: text, prompt: {en: "What else?", de: "Was noch?"}}
"""


@pytest.mark.parametrize("language", ["en", "de-AT"])
def test_message_is_that_of_the_socket(servers: Servers, tmp_path: Path, language: str) -> None:
    """Of a new participant and of one who returns, in their language."""
    surveys = tmp_path / "surveys"
    surveys.mkdir()
    (surveys / "bilingual.yaml").write_text(BILINGUAL)
    headers = {"Accept-Language": language}
    with (
        running_server("sqlite", servers, tmp_path, surveys, **in_production()) as server,
        httpx.Client(base_url=server.url, headers=headers) as client,
    ):
        cookie = ""
        for resumed in (False, True):
            page = client.get("/s/bilingual", headers={"Cookie": cookie})
            cookie = cookie or page.headers["Set-Cookie"].split(";")[0]
            message = opening_of(page.text)
            handshake = {"additional_headers": {**headers, "Cookie": cookie}, "origin": server.url}
            participant = Participant(server, message["session"]["user_id"], "bilingual", **handshake)
            assert message == {**participant.state, "version": int(resumed), "resumed": resumed}
            participant.ws.close()


def test_page_of_a_participant_chosen_by_the_script_has_no_session(shared_server: Server) -> None:
    """In development the server does not know who it is."""
    assert opening_of(httpx.get(f"{shared_server.url}/s/phq9").text) is None


ARRIVAL = """
id: arrival
title: "Hello {{ coalesce(parameters.first_name, 'guest') }}"
description: "From {{ parameters.clinic }}"
language: en
parameters:
  clinic: {type: choice, from: url, options: [north, "<south>"]}
  first_name: {type: text, from: invitation, required: false}
steps:
  - {id: why, type: text, prompt: "Why?"}
"""


def headings(page: str) -> list[str]:
    """Return the title and the description that a page shows."""
    return [
        text
        for name in ("h1", "div")
        for text in re.findall(rf'<{name} id="(?:survey-title|description)"[^>]*>(.*?)</', page)
    ]


def test_heading_of_the_page_has_the_parameters(tmp_path: Path, sqlite_settings: Settings) -> None:
    """Of the session that will begin, then of the one that is stored; a wrong one leaves them empty."""
    (tmp_path / "arrival.yaml").write_text(ARRIVAL)
    with production_app(sqlite_settings.model_copy(update={"surveys_dir": tmp_path})) as app:
        key = SessionKey("arrival", "ada")
        invited = app.credentials.issue_token(key, mark=INVITATION, parameters={"first_name": "<Ada>"})[0]
        cookie = {"Cookie": f"__Host-stepkeep.arrival={invited}"}
        page = app.request("GET", "/s/arrival?clinic=%3Csouth%3E", headers=cookie).text
        assert headings(page) == ["Hello &lt;Ada&gt;", "<p>From &lt;south&gt;"]
        assert opening_of(page)["session"]["parameters"] == {"clinic": "<south>", "first_name": "<Ada>"}
        wrong = app.request("GET", "/s/arrival?clinic=east", headers=cookie).text
        assert (headings(wrong), opening_of(wrong)) == (["Hello guest", "<p>From "], None)
        begun = app.request("POST", "/api/session/ada?survey=arrival&clinic=north", invited)
        assert begun.status_code == 201
        assert headings(app.request("GET", "/s/arrival?clinic=east", headers=cookie).text)[1] == "<p>From north"
        assert "Hello guest" in app.request("GET", "/").text


def test_session_that_is_begun_anew_keeps_the_parameters_of_the_address(
    tmp_path: Path, sqlite_settings: Settings
) -> None:
    """Where the participant's cookie is expired; nothing else of the address is repeated."""
    (tmp_path / "arrival.yaml").write_text(ARRIVAL)
    with production_app(sqlite_settings.model_copy(update={"surveys_dir": tmp_path})) as app:
        cookie = {"Cookie": "__Host-stepkeep.arrival=expired"}
        query = "clinic=%3Csouth%3E&lang=en&is_audio=true"
        ended = app.request("GET", f"/s/arrival?{query}&utm=letter", headers=cookie)
        action = html.unescape(re.findall(r'action="([^"]*)"', ended.text)[0])
        assert (ended.status_code, action) == (401, f"/s/arrival/anew?{query}")
        begun = app.request("POST", action, headers={"Sec-Fetch-Site": "same-origin"})
        assert (begun.status_code, begun.headers["Location"]) == (303, f"/s/arrival?{query}")


@pytest.mark.parametrize("path", ["/", "/left"])
def test_links_to_a_survey_have_its_parameters_of_the_address(
    tmp_path: Path, sqlite_settings: Settings, path: str
) -> None:
    """Of the page's own address; a closed survey is not offered to begin."""
    (tmp_path / "arrival.yaml").write_text(ARRIVAL)
    (tmp_path / "closed.yaml").write_text(ARRIVAL.replace("id: arrival", "id: closed\naccess: closed"))
    with production_app(sqlite_settings.model_copy(update={"surveys_dir": tmp_path})) as app:
        page = app.request("GET", f"{path}?survey=arrival&clinic=%3Csouth%3E&utm=letter&lang=en").text
        assert 'href="/s/arrival?clinic=%3Csouth%3E&amp;lang=en"' in page
        assert path == "/" or 'href="/?survey=arrival&amp;clinic=%3Csouth%3E' in page
        assert "/s/closed" not in page + app.request("GET", "/left?survey=closed").text
