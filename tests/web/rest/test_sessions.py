"""REST sessions: the protocol's table, problem details, and the OpenAPI document."""

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient

from app.sessions.service import SessionStore
from app.web.factory import create_app
from app.web.rest.documents import openapi_document
from tests.conftest import SHIPPED

STATE = {"current_step": "Q2", "answers": {"Q1": 1}, "step_history": ["Q1"]}
USER = "/api/session/user123"


@pytest.fixture
def client(store: SessionStore) -> Iterator[FlaskClient]:
    with create_app(store.settings, store).test_client() as client:
        yield client


def test_session_has_the_documented_shape(client: FlaskClient) -> None:
    """PUT, then GET; the ETag is the version."""
    created = client.put(f"{USER}?survey=phq9", json=STATE)
    assert (created.status_code, created.headers["ETag"]) == (201, '"1"')
    response = client.get(f"{USER}?survey=phq9")
    body = response.get_json()
    assert body["success"] is True
    assert body["session"] | {**STATE, "is_audio_mode": False} == body["session"]
    schema = {**openapi_document(), "$ref": "#/components/schemas/SessionResponse"}
    jsonschema.validate(body, schema)


def test_missing_session_is_a_problem_with_success_false(client: FlaskClient) -> None:
    """RFC 9457, and the field that older clients read."""
    answer = client.get("/api/session/nobody?survey=phq9")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert answer.get_json()["success"] is False


def test_if_match_of_an_older_version_changes_nothing(client: FlaskClient) -> None:
    """412."""
    client.put(f"{USER}?survey=phq9", json=STATE)
    assert (
        client.patch(f"{USER}?survey=phq9", json={"is_audio_mode": True}, headers={"If-Match": '"1"'}).status_code
        == 200
    )
    assert client.put(f"{USER}?survey=phq9", json=STATE, headers={"If-Match": '"1"'}).status_code == 412
    assert client.get(f"{USER}?survey=phq9").get_json()["session"]["is_audio_mode"] is True


def test_command_is_idempotent_by_its_key(client: FlaskClient) -> None:
    """The first one begins the session."""
    url, body = f"{USER}/commands?survey=phq9", {"type": "answer", "step": "Q1", "value": 2}
    first = client.post(url, json=body, headers={"Idempotency-Key": "k"}).get_json()
    again = client.post(url, json=body, headers={"Idempotency-Key": "k"}).get_json()
    assert (first["type"], first["version"], first["duplicate"]) == ("ack", 2, False)
    assert (again["version"], again["duplicate"]) == (2, True)
    refused = client.post(url, json={"type": "back", "id": "x"})
    assert refused.status_code == 200
    assert client.post(url, json={"type": "back", "id": "y"}).get_json()["code"] == "at_start"


def test_idempotency_key_in_quotes_is_the_key_itself(client: FlaskClient) -> None:
    """As the IETF's draft writes it; in every operation that has one."""
    url, body = f"{USER}/commands?survey=phq9", {"type": "answer", "step": "Q1", "value": 2}
    assert client.post(url, json=body, headers={"Idempotency-Key": "k9"}).get_json()["duplicate"] is False
    again = client.post(url, json={**body, "id": "k9"}, headers={"Idempotency-Key": '"k9"'})
    assert (again.get_json()["id"], again.get_json()["duplicate"]) == ("k9", True)
    for key in ('"p1"', "p1"):
        changed = client.patch(f"{USER}?survey=phq9", json={"is_audio_mode": True}, headers={"Idempotency-Key": key})
        assert changed.get_json()["session"]["version"] == 3
    mode = {"type": "mode", "audio": True}
    escaped = client.post(url, json=mode, headers={"Idempotency-Key": r'"a\"b\\c"'})
    assert escaped.get_json()["id"] == r'a"b\c'


@pytest.mark.parametrize("key", ["", '"', '""', '"k9', 'k9"', '"k9" ;', '"k9", "k8"', r'"k\9"', "k\xe9", "k" * 65])
def test_malformed_idempotency_key_is_refused_in_words(client: FlaskClient, key: str) -> None:
    """Nothing is done."""
    answer = client.put(f"{USER}?survey=phq9", json=STATE, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert "Idempotency-Key must have 1 to 64 characters" in answer.get_json()["detail"]
    assert client.get(f"{USER}?survey=phq9").status_code == 404


def test_history_and_sessions_are_paginated(client: FlaskClient) -> None:
    """Each page's `next` leads to the following one, and the last has none."""
    for number in range(5):
        client.put(f"/api/session/u{number}?survey=phq9", json=STATE)
    seen: list[str] = []
    after = ""
    while True:
        page: dict[str, Any] = client.get(f"/api/sessions?limit=2{after}").get_json()
        seen += [session["user_id"] for session in page["sessions"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == [f"u{number}" for number in range(5)]
    client.patch("/api/session/u1?survey=phq9", json={"current_step": "Q3"})
    first = client.get("/api/session/u1/history?survey=phq9&limit=1").get_json()
    assert [event["version"] for event in first["events"]] == [1]
    second = client.get(f"/api/session/u1/history?survey=phq9&limit=5&after={first['next']}").get_json()
    assert [event["action"] for event in second["events"]] == ["saved"]
    assert client.get("/api/session/u1?survey=phq9&at_version=1").get_json()["session"]["current_step"] == "Q2"


def test_sessions_are_listed_with_the_last_changed_first(client: FlaskClient) -> None:
    """In pages too; the other order's cursors are refused."""
    for number in (*range(5), 1):
        client.put(
            f"/api/session/u{number}?survey=phq9",
            json={**STATE, "answers": {"Q1": number}, "is_audio_mode": number == 1},
        )
    client.patch("/api/session/u3?survey=phq9", json={"current_step": "Q3"})
    seen: list[str] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        after = page["next"] and f"&after={page['next']}"
        page = client.get(f"/api/sessions?order=newest&limit=2{after}").get_json()
        seen += [session["user_id"] for session in page["sessions"]]
    assert seen[0] == "u3"
    assert sorted(seen) == [f"u{number}" for number in range(5)]
    cursor = client.get("/api/sessions?limit=2").get_json()["next"]
    assert client.get(f"/api/sessions?order=newest&after={cursor}").status_code == 422
    assert client.get("/api/sessions?order=oldest").status_code == 422


def test_misspelt_parameter_changes_nothing(client: FlaskClient) -> None:
    """Without `survey` the request would concern another session."""
    client.put(f"{USER}?survey=phq9", json=STATE)
    for send in (client.get, client.delete, lambda path: client.patch(path, json={"current_step": "Q5"})):
        refused = send(f"{USER}?survy=phq9")
        assert refused.status_code == 422
        assert "no parameter 'survy'" in refused.get_json()["detail"]
    assert client.get(f"{USER}?survey=phq9").get_json()["session"]["current_step"] == STATE["current_step"]


def test_delete_erases_session_and_history(client: FlaskClient) -> None:
    """A second DELETE gets 404."""
    client.put(f"{USER}?survey=phq9", json=STATE)
    assert client.delete(f"{USER}?survey=phq9").status_code == 200
    assert client.get(f"{USER}/history?survey=phq9").status_code == 404
    assert client.delete(f"{USER}?survey=phq9").status_code == 404


@pytest.mark.parametrize("body", ["{", "[]", '{"a":1,"a":2}', "[" * 10_000, '{"current_step":"\\u0000"}', '{"answers":{"a":NaN}}', '{"nope":1}', '{"step_history":"S1"}', b"\xff"])  # fmt: skip
def test_invalid_body_is_a_problem_and_saves_nothing(client: FlaskClient, body: str | bytes) -> None:
    """400 or 422, never 500."""
    client.put(f"{USER}?survey=phq9", json=STATE)
    answer = client.patch(f"{USER}?survey=phq9", data=body)
    assert answer.status_code in {400, 422}
    assert answer.mimetype == "application/problem+json"
    assert client.get(f"{USER}?survey=phq9").headers["ETag"] == '"1"'


@pytest.mark.parametrize("user", ["a b", "ä", "x" * 129, "a%00b", "a%2Fb", "%2e", "%2e%2e"])
def test_invalid_user_id_is_refused(client: FlaskClient, user: str) -> None:
    assert client.put(f"/api/session/{user}?survey=phq9", json=STATE).status_code == 422


def test_compressed_body_is_refused_by_its_encoding(client: FlaskClient) -> None:
    """415, not "not UTF-8"."""
    body = gzip.compress(json.dumps(STATE).encode())
    answer = client.put(f"{USER}?survey=phq9", data=body, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.mimetype) == (415, "application/problem+json")
    assert answer.get_json()["detail"] == "Content-Encoding 'gzip' is not supported: send the body uncompressed"
    assert client.put(f"{USER}?survey=phq9", json=STATE, headers={"Content-Encoding": "identity"}).status_code == 201


def test_surveys_health_and_documents_are_served(client: FlaskClient) -> None:
    """Surveys without their routing rules."""
    assert [survey["id"] for survey in client.get("/api/surveys").get_json()["surveys"]] == SHIPPED
    survey = client.get("/api/surveys/phq9").get_json()["survey"]
    assert [step["id"] for step in survey["steps"]] == [*(f"Q{number}" for number in range(1, 10)), "help", "Q10"]
    assert "next" not in survey["steps"][0]
    assert client.get("/api/surveys/none").status_code == 404
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").get_json()["database"] in {"sqlite", "postgresql", "mysql", "mariadb"}
    assert client.get("/openapi.json").get_json()["openapi"] == "3.1.0"
    assert client.get("/asyncapi.json").get_json()["asyncapi"] == "3.0.0"
    jsonschema.Draft202012Validator.check_schema(client.get("/survey.schema.json").get_json())


@pytest.mark.parametrize(("method", "path", "body"), [("GET", "", None), ("GET", "/history", None), ("DELETE", "", None), ("PATCH", "", {"is_audio_mode": True})])  # fmt: skip
def test_missing_session_of_a_misspelled_survey_is_a_missing_survey(
    client: FlaskClient, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """It would seem that the participant is missing. A survey that the request does not name is not misspelled."""

    def refused(query: str) -> tuple[int, str]:
        answer = client.open(f"/api/session/nobody{path}{query}", method=method, json=body)
        return answer.status_code, answer.get_json()["code"]

    assert refused("?survey=phq") == (404, "no_such_survey")
    assert refused("?survey=phq9") == (404, "no_such_session")
    assert refused("") == (404, "no_such_session")


def test_session_of_a_survey_that_is_no_longer_offered_is_found(client: FlaskClient) -> None:
    """Only sessions that do not exist are refused."""
    state = {"current_step": "S1", "answers": {}, "step_history": []}
    assert client.put("/api/session/ada?survey=gone", json=state).status_code == 201
    assert client.get("/api/session/ada?survey=gone").get_json()["session"]["survey_id"] == "gone"


def test_every_route_is_in_the_document(client: FlaskClient) -> None:
    routes = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in client.application.url_map.iter_rules()
        if rule.rule.startswith(("/api/", "/healthz", "/readyz", "/metrics"))
    }
    assert routes | {"/resume", "/leave"} == set(openapi_document()["paths"])


def test_every_reference_of_the_document_resolves() -> None:
    document = openapi_document()
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])


def test_invalid_handshake_is_refused_before_it_is_accepted(client: FlaskClient) -> None:
    """No upgrade: 426; no key: 400."""
    assert client.get("/ws/survey/u").status_code == 426
    assert client.get("/ws/survey/u", headers={"Upgrade": "websocket"}).status_code == 400
