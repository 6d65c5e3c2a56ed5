"""Sizes of request bodies, drafts and pages: the bounds of the WebSocket hold in REST too."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.core import strict_json
from app.core.formats import MAX_COMMAND_BYTES
from app.sessions import MAX_STATE_BYTES
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import keyset
from app.survey.snapshot import SessionKey
from app.web.factory import create_app
from tests.conftest import NewStore
from tests.web.production import App, production_app

TEXT_SURVEY = """
id: text
title: A text
language: en
steps:
  - {id: S1, type: text, prompt: Say something, max_length: 60000}
  - {id: S2, type: text, prompt: Say little, max_length: 10}
"""
COMMANDS = "/api/session/ada/commands?survey=text"


@pytest.fixture
def texts(sqlite_settings: Settings, tmp_path: Path) -> Settings:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "text.yaml").write_text(TEXT_SURVEY)
    return sqlite_settings.model_copy(update={"surveys_dir": folder, "environment": "development"})


@pytest.fixture
def store(texts: Settings, new_store: NewStore) -> SessionStore:
    return new_store(texts)


@pytest.fixture
def client(store: SessionStore) -> Iterator[FlaskClient]:
    with create_app(store.settings, store).test_client() as client:
        yield client


def body_of(size_bytes: int) -> bytes:
    """Return an answer of so many bytes, in the form that both interfaces take."""
    empty = '{"type":"answer","id":"big","step":"S1","value":"","padding":""}'
    return empty.replace('""}', f'"{"x" * (size_bytes - len(empty))}"}}').encode()


def test_command_of_64_kib_is_accepted_and_a_larger_one_refused(client: FlaskClient) -> None:
    """To the byte, as over the socket; the problem says how large it may be."""
    largest = client.post(COMMANDS, data=body_of(MAX_COMMAND_BYTES))
    assert (largest.status_code, largest.get_json().get("code")) == (409, "required")  # it was read
    refused = client.post(COMMANDS, data=body_of(MAX_COMMAND_BYTES + 1))
    assert (refused.status_code, refused.get_json()["code"]) == (413, "too_large")
    assert f"{MAX_COMMAND_BYTES} bytes" in refused.get_json()["detail"]


def test_body_is_refused_by_its_size_before_it_is_parsed(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing 2 MB of numbers took half a second; also without Content-Length."""
    monkeypatch.setattr(strict_json, "decode", lambda *_: pytest.fail("the body was parsed"))
    body = b'{"type":"ping","x":[' + b"1," * 50_000 + b"1]}"
    assert client.post(COMMANDS, data=body).status_code == 413
    chunked = client.post(
        COMMANDS,
        input_stream=io.BytesIO(body),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert chunked.status_code == 413


def test_whole_state_may_be_as_large_as_the_service_allows(client: FlaskClient) -> None:
    """Only the integrators' routes, PUT and PATCH, take more than a command."""
    answers = {"S1": "x" * (MAX_STATE_BYTES - 200)}
    state = {"current_step": "S2", "answers": answers, "step_history": ["S1"]}
    assert client.put("/api/session/ada?survey=text", json=state).status_code == 201
    assert client.patch("/api/session/ada?survey=text", json={"answers": answers}).status_code == 200
    assert client.put("/api/session/ada?survey=text", data=b" " * (2 * MAX_STATE_BYTES + 1)).status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/resume"), ("POST", "/api/session/ada/link?survey=phq9"), ("POST", "/api/surveys/phq9/participants"),
     ("POST", "/api/webhooks"), ("POST", "/sign-in")],
)  # fmt: skip
def test_other_bodies_have_the_size_of_a_command(sqlite_settings: Settings, method: str, path: str) -> None:
    with production_app(sqlite_settings) as app:
        app.begin_session("ada")
        form = {"content_type": "application/x-www-form-urlencoded"} if path == "/sign-in" else {}
        headers = {"Origin": "https://survey.test"}
        answer = app.request(
            method, path, credentials(app, path), data=b"x" * (MAX_COMMAND_BYTES + 1), headers=headers, **form
        )
    assert answer.status_code == 413


def test_draft_is_bounded_as_its_answer(client: FlaskClient, store: SessionStore) -> None:
    """A draft of 2,000,000 characters was stored."""
    for value, status in (("x" * 10, 200), ("x" * 11, 409), (["x" * 2000], 409), (None, 200)):
        body = {"type": "draft", "step": "S2", "value": value}
        client.post(COMMANDS, json={"type": "answer", "id": "a", "step": "S1", "value": "y"})
        assert client.post(COMMANDS, json=body).status_code == status, value
    assert store.queries.load(SessionKey("text", "ada")).state.drafts == {}  # type: ignore[union-attr]


def credentials(app: App, path: str) -> str | None:
    return None if path in {"/resume", "/sign-in", "/api/surveys/phq9/participants"} else app.create_key()


def test_history_ends_at_some_bytes_and_goes_on_with_next(
    client: FlaskClient, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request for 1,000 events of 2 MB was answered with 196 MB; the last page says that it is the last."""
    monkeypatch.setattr(keyset, "PAGE_BYTES", 100_000)
    for number in range(6):
        body = {"type": "answer", "id": f"{number}", "step": "S1", "value": f"{number}" * 40_000}
        assert client.post(COMMANDS, json=body).status_code == 200
    path, versions, sizes, after = "/api/session/ada/history?survey=text&limit=1000", [], [], 0
    while after is not None:
        answer = client.get(f"{path}&after={after}")
        page = answer.get_json()
        sizes.append(len(answer.data))
        versions += [event["version"] for event in page["events"]]
        after = page["next"]
    assert versions == [1, 2, 3, 4, 5, 6, 7]
    assert len(sizes) == 3  # the last page is not empty
    assert max(sizes) < 100_000
    assert client.get(f"{path}&after=6&limit=1").get_json()["next"] is None
