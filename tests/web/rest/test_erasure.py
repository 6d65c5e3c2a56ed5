"""An erasure is final for clients that continue: over REST and the socket, in one server process and in several."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from websockets.exceptions import ConnectionClosed

from app.errors import DatabaseUnavailable
from app.sessions.service import open_store
from app.survey import SessionKey
from tests.conftest import SERVER_KINDS, Server, Servers, migrated_database
from tests.web.production import App, credentials_of, in_production, listening
from tests.web.rest.test_participants import close_code as close_code_of
from tests.web.rest.test_participants import connect_socket, receive
from tests.web.sockets import close_code, socket_to

THREADS = 4
LIMITS = {
    f"STEPKEEP_{name}": "1000000/minute"
    for name in ("ADDRESS_CONNECTIONS", "ADDRESS_FAILURES", "ADDRESS_REQUESTS", "PARTICIPANT_CONNECTIONS")
}


def answer(number: int) -> dict[str, object]:
    return {"type": "answer", "id": f"m-{number}", "step": "Q1", "value": number % 4}


def test_session_stays_erased_while_a_client_continues_to_answer(app: App) -> None:
    """Its requests under way are refused too: 401, or 404 if they find the session erased."""
    token, key, numbers = app.create_token("racer"), app.create_key(), itertools.count()
    began = app.begin_session("racer")

    def answer_until_refused() -> int:
        while (status := post(app, token, next(numbers))) not in {401, 404}:
            assert status == 200
        return status

    with ThreadPoolExecutor(THREADS) as threads:
        clients = [threads.submit(answer_until_refused) for _ in range(THREADS)]
        assert app.request("DELETE", "/api/session/racer?survey=phq9", key).status_code == 200
        assert {client.result(60) for client in clients} <= {401, 404}
    assert app.store.queries.load(began) is None
    assert post(app, token, next(numbers)) == 401
    assert app.request("GET", "/api/session/racer?survey=phq9", key).status_code == 404


def post(app: App, token: str, number: int) -> int:
    path = "/api/session/racer/commands?survey=phq9"
    return app.request("POST", path, token, json=answer(number)).status_code


def test_tokens_stay_valid_when_the_erasure_fails(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused while it is under way; a revocation that the database does not have would last until a restart."""
    token, key, during = app.create_token("racer"), app.create_key(), []
    began = app.begin_session("racer")

    def fail(_key: SessionKey) -> bool:
        during.append(post(app, token, 1))
        raise DatabaseUnavailable("disk full")

    monkeypatch.setattr(app.store.erasure, "delete", fail)
    for _ in range(2):
        assert app.request("DELETE", "/api/session/racer?survey=phq9", key).status_code == 503
    assert during == [401, 401]
    assert post(app, token, 2) == 200
    monkeypatch.undo()
    app.store.erasure.delete(began)


def test_socket_of_an_erased_session_is_closed_and_not_opened_again(app: App) -> None:
    """At the erasure with 1001; the client's next connections get 4401."""
    token, key = app.create_token("socket"), app.create_key()
    with listening(app.flask) as port:
        with socket_to(port, "socket", token) as ws:
            assert receive(ws)["type"] == "state"  # the session is stored
            ws.send(json.dumps(answer(1)))
            assert app.request("DELETE", "/api/session/socket?survey=phq9", key).status_code == 200
            assert close_code(ws) in {1001, 4401}
        for _ in range(3):
            with socket_to(port, "socket", token) as ws:
                assert close_code(ws) == 4401
    assert app.store.queries.load(SessionKey("phq9", "socket")) is None


def test_open_socket_changes_no_session_that_begins_after_the_erasure(app: App) -> None:
    """Of a caller whose access is not revoked, in a process that has not noticed the erasure; its command is refused, and it must reconnect."""
    app.begin_session("again")
    other_process = open_store(app.store.settings)
    with listening(app.flask) as port, socket_to(port, "again", app.create_key()) as ws:
        assert receive(ws)["type"] == "state"
        other_process.erasure.delete(SessionKey("phq9", "again"))
        other_process.turns.get_or_create(SessionKey("phq9", "again"), is_audio_mode=False)
        ws.send(json.dumps(answer(1)))
        assert receive(ws)["code"] == "not_current"
        assert close_code(ws) == 1001
    snapshot = other_process.queries.load(SessionKey("phq9", "again"))
    assert snapshot is not None
    assert (snapshot.state.version, snapshot.state.answers) == (1, {})
    other_process.close()


def test_socket_whose_session_is_erased_before_it_is_stored_keeps_its_commands(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began without a database, and closes with 4401; no answer makes the client drop a command."""
    key, token = SessionKey("phq9", "early"), app.create_token("early")
    other_process = open_store(app.store.settings)

    def fail(_work: object) -> None:
        raise OperationalError("", None, Exception("lost"), connection_invalidated=True)

    app.store._key_filter.fill()
    with listening(app.flask) as port, monkeypatch.context() as outage:
        outage.setattr(app.store._connection, "transact", fail)
        outage.setattr(app.store.turns, "_read_again_at", float("inf"))
        with socket_to(port, "early", token) as ws:
            assert receive(ws)["version"] == 0
            ws.send(json.dumps(answer(1)))
            assert receive(ws)["type"] == "pending"
            other_process.erasure.delete(key)
            outage.undo()
            refused = receive(ws)
            assert (refused["type"], refused["id"], refused["code"]) == ("error", None, "unauthorized")
            assert close_code(ws) == 4401
    assert app.store.drain(60)
    assert other_process.queries.load(key) is None
    other_process.close()


def exchange(app: App, token: str) -> str:
    """Open a link and confirm that the session is one's own; return the cookie's token."""
    response = app.request("POST", "/resume", json={"token": token, "confirm": True})
    assert response.status_code == 200
    return response.headers["Set-Cookie"].partition(";")[0].partition("=")[2]


def test_link_of_an_erased_participant_begins_no_session(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not read the revocation yet exchanges the link's token for a cookie, which does not begin one."""
    token = app.create_token("linked")
    app.begin_session("linked")
    app.store.erasure.delete(SessionKey("phq9", "linked"))
    monkeypatch.setattr(app.credentials.revocations, "revoked_at", lambda _key: -1)
    tokens = {"cookie": exchange(app, token), "link": token}
    link = app.request("POST", "/api/session/linked/link?survey=phq9", tokens["cookie"])
    tokens["link of the cookie"] = exchange(app, link.json["link"].partition("#")[2])  # type: ignore[index]
    for name, renewed in tokens.items():
        path = "/api/session/linked/commands?survey=phq9"
        assert app.request("POST", path, renewed, json=answer(1)).status_code == 401, name
    assert app.request("DELETE", "/api/session/linked/tokens?survey=phq9", tokens["cookie"]).status_code == 401
    assert app.store.queries.load(SessionKey("phq9", "linked")) is None


@contextlib.contextmanager
def two_servers(kind: str, servers: Servers, folder: Path) -> Iterator[list[Server]]:
    """Yield two servers in production on one database."""
    environment = in_production(**LIMITS)
    with migrated_database(kind, servers, folder) as url, contextlib.ExitStack() as stack:
        both = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            both.append(Server(folder / name, database=url, environment=environment))
            stack.callback(both[-1].stop)
            both[-1].spawn()
        for server in both:
            server.wait_until_it_answers()
        yield both


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_session_stays_erased_in_another_server_process(kind: str, servers: Servers, tmp_path: Path) -> None:
    """REST and socket clients of the one continue while the other erases."""
    with two_servers(kind, servers, tmp_path) as (erasing, serving):
        with credentials_of(erasing) as credentials:
            token, _ = credentials.issue_token(SessionKey("phq9", "ada"))
            key = {"Authorization": f"Bearer {credentials.create_key('ward 3', ['sessions:read', 'sessions:write'])}"}
        path, numbers = "/api/session/ada", itertools.count()

        def answer_until_refused() -> None:
            url, headers = f"{serving.url}{path}/commands?survey=phq9", {"Authorization": f"Bearer {token}"}
            with httpx.Client(headers=headers, timeout=60) as client:
                while client.post(url, json=answer(next(numbers))).status_code != 401:
                    pass

        def connect_until_refused() -> None:
            with contextlib.suppress(ConnectionClosed), connect_socket(serving, "ada", token) as ws:
                while True:
                    ws.send(json.dumps(answer(next(numbers))))
                    receive(ws)
            while close_code_of(serving, "ada", token) != 4401:
                pass

        httpx.put(
            f"{erasing.url}{path}?survey=phq9",
            headers=key,
            json={"current_step": "Q1", "answers": {}, "step_history": []},
        ).raise_for_status()
        with ThreadPoolExecutor(2) as threads:
            clients = [threads.submit(client) for client in (answer_until_refused, connect_until_refused)]
            httpx.delete(f"{erasing.url}{path}?survey=phq9", headers=key, timeout=60).raise_for_status()
            for client in clients:
                client.result(120)
        for server in (erasing, serving):
            assert httpx.get(f"{server.url}{path}?survey=phq9", headers=key, timeout=60).status_code == 404
