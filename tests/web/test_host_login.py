"""The users of the application that Stepkeep is mounted in."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from websockets.sync.client import connect

from app.errors import DatabaseUnavailable
from app.flask import Stepkeep
from app.store import tables
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from tests.flask_host import HOST, NewHost, client_of, get, hosts_in, mounted, user
from tests.web.production import EVIL, listening


@pytest.fixture
def new_host(tmp_path: Path) -> Iterator[NewHost]:
    with hosts_in(tmp_path) as new_host:
        yield new_host


def test_hosts_user_is_the_participant(new_host: NewHost) -> None:
    """Their id is the host's, on each device, and they get no cookie; what it calls them later does not matter."""
    app = new_host()
    for client in (client_of(app, "ada"), client_of(app, "ada")):
        answer = get(client, "/surveys/s/open")
        assert 'data-user-id="ada"' in answer.text
        assert "Set-Cookie" not in answer.headers
        assert 'id="device"' not in answer.text  # they continue on another device by signing in there
    mounted(app).store.turns.get_or_create(SessionKey("open", "ada"), is_audio_mode=False)
    assert get(client_of(app, "ada"), "/surveys/api/session/ada?survey=open").status_code == 200
    assert get(client_of(app, "ben"), "/surveys/api/session/ada?survey=open").status_code == 403
    assert get(client_of(app), "/surveys/api/session/ada?survey=open").status_code == 401


def test_visitor_who_is_not_signed_in_is_sent_to_the_hosts_login(new_host: NewHost) -> None:
    """And can't become an anonymous participant in another way."""
    client = client_of(new_host())
    for survey in ("open", "closed", "none"):
        answer = get(client, f"/surveys/s/{survey}")
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/login?next=/surveys/s/{survey}")
    for path in ("s/open/anew", "api/surveys/open/participants"):
        assert client.post(f"/surveys/{path}", base_url=HOST, headers={"Origin": HOST}).status_code == 401
    anonymous = client_of(new_host(Stepkeep(participant=user)))
    assert get(anonymous, "/surveys/s/open").status_code == 401


def test_closed_survey_is_open_to_users_who_have_a_session(new_host: NewHost) -> None:
    """Which the host has begun for them; for others it does not exist."""
    app = new_host()
    assert get(client_of(app, "ada"), "/surveys/s/closed").status_code == 404
    with app.app_context():
        store = app.extensions["stepkeep"].context.store
        key = store.queries.key("ada", "closed")
        store.turns.submit(key, Begin(at=store.clock()))
    assert get(client_of(app, "ada"), "/surveys/s/closed").status_code == 200
    assert get(client_of(app, "ben"), "/surveys/s/closed").status_code == 404


def test_closed_survey_stays_open_during_an_outage(new_host: NewHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """To users whose session this process knows; for others nobody can say whether they have one."""
    app = new_host(STEPKEEP_RETRY_ATTEMPTS=1)
    store = mounted(app).store
    store.turns.get_or_create(SessionKey("closed", "ada"), is_audio_mode=False)
    (cookie,) = (part.partition(";")[0] for part in client_of(app).get("/login?user=ada").headers.getlist("Set-Cookie"))

    def fail(_work: object) -> None:
        raise DatabaseUnavailable("by this test")

    def open_socket(port: int) -> Any:
        url, headers = "ws://clinic.test/surveys/ws/survey/ada?survey=closed", {"Cookie": cookie}
        return connect(url, sock=socket.create_connection(("127.0.0.1", port)), additional_headers=headers, legacy=True)

    with listening(app) as port, open_socket(port) as first:
        assert json.loads(first.recv(timeout=30))["type"] == "state"
        monkeypatch.setattr(store._connection, "transact", fail)
        monkeypatch.setattr(store.queries, "run", fail)
        monkeypatch.setattr(store.queries._loader, "load", fail)
        with open_socket(port) as second:
            assert json.loads(second.recv(timeout=30))["type"] == "state"
        assert get(client_of(app, "ben"), "/surveys/s/closed").status_code == 503


def test_unreadable_session_of_a_closed_survey_does_not_fail_the_page(new_host: NewHost) -> None:
    """The session exists, which is all that access depends on."""
    app = new_host()
    store = mounted(app).store
    key = SessionKey("closed", "ada")
    store.turns.get_or_create(key, is_audio_mode=False)
    store.run_transaction(lambda connection: connection.execute(update(tables.sessions).values(answers="{")))
    assert get(client_of(app, "ada"), "/surveys/s/closed").status_code == 200


def test_hosts_login_opens_the_dashboard(new_host: NewHost) -> None:
    """To those that the function names; others get 403, and visitors the host's login. No API key does."""
    app = new_host()
    admin, ada, visitor = client_of(app, "admin"), client_of(app, "ada"), client_of(app)
    text = get(admin, "/surveys/dashboard").text
    assert "Sessions by survey" in text
    assert "Sign out" not in text
    assert get(admin, "/surveys/sign-in").headers["Location"] == "/surveys/dashboard"
    assert get(ada, "/surveys/dashboard").status_code == 403
    assert get(visitor, "/surveys/dashboard").headers["Location"] == "/login?next=/surveys/dashboard"
    assert get(admin, "/surveys/api/sessions").status_code == 200
    assert get(ada, "/surveys/api/sessions").status_code == 401
    key = mounted(app).authenticator.credentials.create_key("ward", ["sessions:read"])
    form = visitor.post("/surveys/sign-in", data={"key": key}, base_url=HOST, headers={"Origin": HOST})
    assert (form.status_code, "Set-Cookie" in form.headers) == (403, False)
    with_key = get(visitor, "/surveys/api/sessions", headers={"Authorization": f"Bearer {key}"})
    assert with_key.status_code == 200  # REST is open to keys as before
    assert [recorded.entry.actor for recorded in mounted(app).store.audit_log.page(limit=1).items] == [
        f"key:{key[9:21]} (ward)"
    ]


def test_participants_login_does_not_open_the_dashboard_in_debug_mode(new_host: NewHost) -> None:
    """With ``participant`` alone there is authentication, and an API key opens the dashboard."""
    app = new_host(Stepkeep(participant=user), STEPKEEP_ENVIRONMENT="development")
    client, local = app.test_client(), "http://localhost"
    for name in ("", "?user=ada"):
        client.get(f"/login{name}", base_url=local)
        answer = client.get("/surveys/dashboard", base_url=local)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/surveys/sign-in")
        assert client.get("/surveys/sign-in", base_url=local).status_code == 200
    key = mounted(app).authenticator.credentials.create_key("ward", ["sessions:read"])
    client.post("/surveys/sign-in", data={"key": key}, base_url=local)
    assert client.get("/surveys/dashboard", base_url=local).status_code == 200


@pytest.mark.parametrize("name", ["ada", "admin"])
def test_another_site_can_not_act_for_the_hosts_user(new_host: NewHost, name: str) -> None:
    """Its requests carry the host's cookie; by Origin and Sec-Fetch-Site they have no user."""
    app = new_host(STEPKEEP_ALLOWED_ORIGINS="https://app.test")
    mounted(app).store.turns.get_or_create(SessionKey("open", "ada"), is_audio_mode=False)
    client = client_of(app, name)
    path = "/surveys/api/session/ada?survey=open"
    for origin in (EVIL, "https://app.test", "null"):
        for method in ("DELETE", "PUT", "GET"):
            answer = client.open(path, method=method, base_url=HOST, headers={"Origin": origin}, json={})
            assert answer.status_code == 401, (origin, method)
    cross_site = {"Sec-Fetch-Site": "cross-site"}
    assert client.delete(path, base_url=HOST, headers=cross_site).status_code == 401
    assert client.delete(path, base_url=HOST, headers={"Origin": HOST}).status_code == (200 if name == "admin" else 403)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_sites_request_without_origin_has_no_user(new_host: NewHost, site: str) -> None:
    """Browsers send none with images, scripts and navigations; only a link to a page finds the user signed in."""
    app = new_host()
    mounted(app).store.turns.get_or_create(SessionKey("open", "ada"), is_audio_mode=False)
    client = client_of(app, "admin")
    link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    image = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    frame = {**link, "Sec-Fetch-Dest": "iframe"}
    for path, headers, status in (
        ("api/session/ada?survey=open", image, 401),
        ("api/session/ada?survey=open", link, 401),
        ("api/session/ada?survey=open", {**link, "Sec-Fetch-Site": "same-origin"}, 200),
        ("api/session/ada?survey=open", {**link, "Sec-Fetch-Site": "none"}, 200),
        ("s/open", image, 401),
        ("s/open", frame, 401),
        ("s/open", link, 200),
        ("dashboard", image, 401),
        ("dashboard", link, 200),
    ):
        assert get(client, f"/surveys/{path}", headers=headers).status_code == status, (path, headers)


def test_socket_of_the_hosts_user_works(new_host: NewHost) -> None:
    """On werkzeug's server; without the host's cookie or from another site it is closed with 4401 or 4403."""
    app = new_host(STEPKEEP_ALLOWED_ORIGINS="https://app.test")
    (cookie,) = (part.partition(";")[0] for part in client_of(app).get("/login?user=ada").headers.getlist("Set-Cookie"))

    def open_socket(port: int, **headers: str) -> Any:
        url = "ws://clinic.test/surveys/ws/survey/ada?survey=open"
        return connect(url, sock=socket.create_connection(("127.0.0.1", port)), additional_headers=headers, legacy=True)

    with listening(app) as port:
        with open_socket(port, Cookie=cookie, Origin="http://clinic.test") as ws:
            assert json.loads(ws.recv(timeout=30))["session"]["user_id"] == "ada"
            ws.send(json.dumps({"type": "answer", "id": "m-1", "step": "S1", "value": "well"}))
            assert json.loads(ws.recv(timeout=30))["type"] == "ack"
        for headers, code in (
            ({"Cookie": cookie, "Origin": EVIL}, 4403),
            ({"Cookie": cookie, "Origin": "https://app.test"}, 4401),
        ):
            with open_socket(port, **headers) as ws:
                if code == 4401:
                    ws.send(json.dumps({"type": "auth", "token": "none"}))
                with pytest.raises(Exception, match=str(code)):
                    while True:
                        ws.recv(timeout=30)
    assert mounted(app).store.queries.load(SessionKey("open", "ada")).state.answers == {"S1": "well"}
