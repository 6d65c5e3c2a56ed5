"""Analytics over REST: responses fit the OpenAPI document, filters apply, and bad parameters are refused."""

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from flask.testing import FlaskClient

from app.errors import DatabaseUnavailable
from app.sessions.service import SessionStore
from app.store import audit
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from app.web.factory import create_app
from app.web.rest.documents import openapi_document
from tests.conftest import Servers
from tests.web.production import production_app_on

PHQ9 = "/api/surveys/phq9/analytics"
SECOND_US = 1_000_000


@pytest.fixture
def client(store: SessionStore) -> Iterator[FlaskClient]:
    """A client of an application with two sessions in progress, one of them by voice."""
    at = store.clock() - 3600 * SECOND_US
    for user_id, is_audio_mode, seconds in (("ann", False, 4), ("ben", True, 10)):
        key = SessionKey("phq9", user_id)
        store.turns.submit(key, Begin(at=at, is_audio_mode=is_audio_mode))
        store.turns.submit(key, Answer(at=at + seconds * SECOND_US, message_id="m1", step="Q1", value=3))
    with create_app(store.settings, store).test_client() as client:
        yield client


def test_response_fits_the_document(client: FlaskClient) -> None:
    """And it contains no user id."""
    answer = client.get(PHQ9)
    assert answer.status_code == 200
    body = answer.get_json()
    jsonschema.validate(body, {**openapi_document(), "$ref": "#/components/schemas/Analytics"})
    assert body["sessions"]["started"] == 2
    first = body["steps"][0]
    assert (first["step"], first["reached"], first["answered"]) == ("Q1", 2, 2)
    assert first["seconds"] == {"count": 2, "median": 7, "p90": 9.4}
    assert [bar["count"] for bar in first["answers"]["distribution"]] == [0, 0, 0, 2]
    assert body["steps"][1]["left_here"] == 2
    assert "ann" not in answer.text
    assert "ben" not in answer.text


@pytest.mark.parametrize(
    ("query", "started"),
    [
        ("mode=audio", 1),
        ("status=completed", 0),
        ("revision=nosuch", 0),
        ("until=2026-01-01", 0),
        ("since=2026-01-01", 2),
        ("since=2026-01-01T00:00:00Z&mode=text", 1),
    ],
)
def test_filters_select_the_sessions(client: FlaskClient, query: str, started: int) -> None:
    """Alone and combined; the response repeats them."""
    body = client.get(f"{PHQ9}?{query}").get_json()
    assert body["sessions"]["started"] == started
    filters = dict(part.split("=") for part in query.split("&"))
    assert {name: value for name, value in body["filters"].items() if value is not None} == filters


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        (f"{PHQ9}?mode=video", 422, "mode must be one of text, audio"),
        (f"{PHQ9}?status=done", 422, "status must be one of"),
        (f"{PHQ9}?since=monday", 422, "since must be a day"),
        (f"{PHQ9}?revision=a%00", 400, "U+0000"),
        (f"{PHQ9}?step=Q1", 422, "There is no parameter 'step' here"),
        ("/api/surveys/nosuch/analytics", 404, "nosuch"),
        ("/api/surveys/No/analytics", 422, "A survey's id must be"),
    ],
)
def test_invalid_parameters_are_refused(client: FlaskClient, address: str, status: int, says: str) -> None:
    """A misspelt filter would count everything; the problem lists the valid ones."""
    answer = client.get(address)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert says in answer.get_json()["detail"]


def test_read_is_in_the_audit_log(servers: Servers, tmp_path: Path) -> None:
    """With the key's name and the survey."""
    with production_app_on("sqlite", servers, tmp_path) as app:
        key = app.create_key()
        assert app.request("GET", PHQ9, key).status_code == 200
        entries = app.request("GET", "/api/audit", key).json["entries"]
    assert [(entry["action"], entry["detail"]) for entry in entries[1:2]] == [("analytics_read", {"survey": "phq9"})]


def test_response_is_cached_briefly(client: FlaskClient, store: SessionStore) -> None:
    """The same filters get the same response, whatever happened meanwhile."""
    first = client.get(PHQ9).get_json()
    store.turns.submit(SessionKey("phq9", "cleo"), Begin(at=store.clock()))
    assert client.get(PHQ9).get_json() == first
    assert client.get(f"{PHQ9}?mode=text").get_json()["sessions"]["started"] == 2


def test_read_that_was_not_audited_is_refused_and_audited_next_time(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with production_app_on("sqlite", servers, tmp_path) as app:
        key = app.create_key("sessions:read")
        with monkeypatch.context() as broken:
            broken.setattr(audit, "record", _fail)
            assert app.request("GET", PHQ9, key).status_code == 503
        for _ in range(2):
            assert app.request("GET", PHQ9, key).status_code == 200
        page = app.store.run_read(lambda connection: audit.read_page(connection, None, 100, {}))
    assert [stored.entry.action for stored in page.items].count("analytics_read") == 1


def _fail(*_: object) -> None:
    raise DatabaseUnavailable("test")
