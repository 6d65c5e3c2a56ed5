"""Each interface once on each database server; all other tests of interfaces run on SQLite."""

from pathlib import Path

import httpx
import pytest

from app.access.principals import SCOPES
from app.survey.snapshot import SessionKey
from tests.conftest import SERVER_KINDS, Servers
from tests.web.conftest import Participant, running_server
from tests.web.production import credentials_of, in_production

USER = "/api/session/ada"
PHQ9 = {"survey": "phq9"}


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_interfaces_work_on_a_database_server(kind: str, servers: Servers, tmp_path: Path) -> None:
    """Socket, REST, pages, exports and webhooks, also after the server was killed."""
    with running_server(kind, servers, tmp_path, **in_production()) as server:
        with credentials_of(server) as credentials:
            key = credentials.create_key("test", SCOPES)
            token, _ = credentials.issue_token(SessionKey("phq9", "ada"))
        participant = Participant(server, "ada", additional_headers={"Authorization": f"Bearer {token}"})
        assert participant.answer("Q1", 2)["version"] == 2
        server.restart()
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as client:
            command = {"type": "answer", "id": "m1", "step": "Q2", "value": 3}
            posts = [client.post(f"{USER}/commands", params=PHQ9, json=command).json() for _ in range(2)]
            assert [(post["version"], post["duplicate"]) for post in posts] == [(3, False), (3, True)]
            assert client.get(USER, params=PHQ9).json()["session"]["answers"] == {"Q1": 2, "Q2": 3}
            history = client.get(f"{USER}/history", params=PHQ9).json()["events"]
            assert [event["version"] for event in history] == [1, 2, 3]
            assert [session["user_id"] for session in client.get("/api/sessions").json()["sessions"]] == ["ada"]
            assert client.get("/api/surveys/phq9/analytics").json()["sessions"]["started"] == 1
            assert client.get("/api/surveys/phq9/export").text.count("ada") == 1
            webhook = {"url": "https://receiver.test/", "events": ["session.completed"]}
            assert client.post("/api/webhooks", json=webhook).status_code == 201
            assert client.delete(USER, params=PHQ9).status_code == 200
            assert client.get(USER, params=PHQ9).status_code == 404
            signed_in = client.post("/sign-in", data={"key": key}, headers={"Origin": server.url})
            cookie = {"Cookie": signed_in.headers["Set-Cookie"].partition(";")[0]}
            for path in ("/readyz", "/metrics", "/s/phq9", "/dashboard"):
                assert client.get(path, headers=cookie).status_code == 200, path
