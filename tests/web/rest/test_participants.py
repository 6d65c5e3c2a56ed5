"""Participants, links and tokens; closed surveys; an unavailable database; rotated secrets."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.errors import ConfigurationError
from app.settings import read_settings
from app.survey.snapshot import SessionKey
from tests.conftest import SERVER_KINDS, SHIPPED, Server, Servers, each_kind, skip_or_fail
from tests.database_servers import NoServer, OwnServer, own_server
from tests.web.production import (
    SITE,
    App,
    credentials_of,
    in_production,
    production_app,
    production_app_on,
    random_secret,
)

COOKIE = "__Host-stepkeep.phq9"


@pytest.fixture(scope="module", params=each_kind(__name__))
def app(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application in production on each database."""
    with production_app_on(request.param, servers, tmp_path_factory.mktemp("app")) as app:
        yield app


def token_in(link: str) -> str:
    """Return the token of a link: its fragment, which no browser sends."""
    address, _, token = link.partition("#")
    assert address == f"{SITE}/resume"
    return token


def survey_cookie(answer: Any) -> str:
    """Return the survey's cookie that a response sets."""
    return str(answer.headers["Set-Cookie"].partition(";")[0])


def may_read(app: App, user_id: str, token: str, survey: str = "phq9") -> bool:
    answer = app.request("GET", f"/api/session/{user_id}?survey={survey}", token)
    assert answer.status_code in {200, 401, 403}
    return answer.status_code == 200


def test_new_participant_gets_an_id_and_a_token_of_a_public_survey(app: App) -> None:
    """No session exists before the first command; choosing the id or the expiry needs a key."""
    first, second = (app.request("POST", "/api/surveys/phq9/participants") for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    user_id, token = first.json["user_id"], first.json["token"]
    assert user_id != second.json["user_id"]
    assert token_in(first.json["link"]) == token
    assert app.store.queries.load(SessionKey("phq9", user_id)) is None
    answer = {"type": "answer", "id": "m-1", "step": "Q1", "value": 1}
    path = f"/api/session/{user_id}/commands?survey=phq9"
    assert app.request("POST", path, token, json=answer).json["version"] == 2
    assert app.request("POST", path, second.json["token"], json=answer).status_code == 403
    assert app.request("POST", "/api/surveys/none/participants").status_code == 404
    for body in ({"user_id": "chosen"}, {"hours": 1}):
        assert app.request("POST", "/api/surveys/phq9/participants", json=body).status_code == 401
        assert app.request("POST", "/api/surveys/phq9/participants", token, json=body).status_code == 403


@pytest.mark.parametrize("hours", [0, -1, "1", True, 1e9])
def test_hours_of_an_invitation_are_validated(app: App, hours: object) -> None:
    """Above 0 and at most ten years; the token expires after STEPKEEP_TOKEN_DAYS at the latest."""
    key = app.create_key("sessions:write")
    path = "/api/surveys/phq9/participants"
    assert app.request("POST", path, key, json={"hours": hours}).status_code == 422
    longest = app.request("POST", path, key, json={"hours": 87_600}).json["expires_at"]
    assert longest[:10] == app.request("POST", path, key).json["expires_at"][:10]


def test_closed_survey_is_visible_to_the_invited_only(app: App) -> None:
    """To others it is not listed, and its 404 is that of a survey that does not exist."""
    other_token = app.create_token("x")
    for credential in (None, other_token):
        listed = app.request("GET", "/api/surveys", credential)
        assert [survey["id"] for survey in listed.json["surveys"]] == SHIPPED
        closed, absent = (app.request("GET", f"/api/surveys/{survey}", credential) for survey in ("closed", "absent"))
        assert (closed.status_code, closed.text.replace("closed", "absent")) == (404, absent.text)
        assert "A closed survey" not in app.request("GET", "/").text
        responses = [
            app.request("POST", f"/api/surveys/{survey}/participants", credential) for survey in ("closed", "absent")
        ]
        assert [response.status_code for response in responses] == [404, 404]
        assert responses[0].text.replace("closed", "absent") == responses[1].text
    page, missing = app.request("GET", "/s/closed"), app.request("GET", "/s/absent")
    assert (page.status_code, page.text, "Set-Cookie" in page.headers) == (404, missing.text, False)
    invitation = {"user_id": "invited"}
    invited = app.request("POST", "/api/surveys/closed/participants", app.create_key("sessions:write"), json=invitation)
    token = invited.json["token"]
    unreachable = app.request(
        "POST", "/api/surveys/closed/participants", app.create_key("sessions:write"), json={"user_id": "."}
    )
    assert (unreachable.status_code, unreachable.json["code"]) == (422, "invalid_user_id")
    assert app.request("GET", "/api/surveys/closed", token).json["survey"]["title"] == "A closed survey"
    cookie = {"Cookie": survey_cookie(app.request("POST", "/resume", json={"token": token}))}
    assert "A closed survey" in app.request("GET", "/s/closed", headers=cookie).text
    assert "A closed survey" in app.request("GET", "/", headers=cookie).text


def test_link_resumes_the_session_on_another_device(app: App) -> None:
    """It expires after STEPKEEP_LINK_HOURS; /resume sets a cookie with another token and returns the page's path."""
    app.begin_session("lena")
    answer = app.request("POST", "/api/session/lena/link?survey=phq9", app.create_token("lena"))
    token = token_in(answer.json["link"])
    assert answer.json["qr"].startswith("<svg")
    assert app.credentials.verify_link(token).expires_at - app.clock() <= 24 * 3600 * 1_000_000
    resumed = app.request("POST", "/resume", json={"token": token, "confirm": True})
    assert resumed.json["address"] == "/s/phq9"
    cookie = {"Cookie": survey_cookie(resumed)}
    assert token not in cookie["Cookie"]
    assert app.request("GET", "/api/session/lena?survey=phq9", headers=cookie).status_code == 200
    assert 'data-user-id="lena"' in app.request("GET", "/s/phq9", headers=cookie).text
    for body in ({}, {"token": 7}, {"token": f"{token}x"}, {"token": app.create_key()}):
        refused = app.request("POST", "/resume", json=body)
        assert (refused.status_code, "Set-Cookie" in refused.headers) == (401, False)
    assert (
        app.request("POST", "/resume", json={"token": token}, headers={"Origin": "https://evil.test"}).status_code
        == 403
    )


def test_revocation_ends_every_token_and_renews_the_callers_cookie(app: App) -> None:
    """Tokens of other surveys stay valid."""
    app.begin_session("rosa")
    before, other = app.create_token("rosa"), app.create_token("rosa", "intake")
    cookie = {"Cookie": f"{COOKIE}={before}", "Origin": SITE}
    answer = app.request("DELETE", "/api/session/rosa/tokens?survey=phq9", headers=cookie)
    renewed = survey_cookie(answer).partition("=")[2]
    assert [may_read(app, "rosa", token) for token in (before, renewed)] == [False, True]
    assert app.credentials.verify_token(other).key == SessionKey("intake", "rosa")
    answer = app.request("DELETE", "/api/session/rosa/tokens?survey=phq9", app.create_key("sessions:write"))
    assert "Set-Cookie" not in answer.headers
    assert not may_read(app, "rosa", renewed)
    assert may_read(app, "rosa", app.create_token("rosa"))


def test_leave_removes_the_cookie(app: App) -> None:
    """The session stays, and other sites' pages are refused. Pages that Back would show from memory are removed."""
    app.begin_session("lea")
    token = app.create_token("lea")
    cookie = {"Cookie": f"{COOKIE}={token}"}
    answer = app.request("POST", "/leave?survey=phq9", headers=cookie)
    assert answer.headers["Set-Cookie"].startswith(f"{COOKIE}=; Expires=Thu, 01 Jan 1970")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    for storage, cleared in (("true", '"cache", "storage"'), ("false", '"cache"')):
        answer = app.request("POST", f"/leave?survey=phq9&storage={storage}", headers=cookie)
        assert answer.headers["Clear-Site-Data"] == cleared
    assert may_read(app, "lea", token)
    refused = app.request("POST", "/leave?survey=phq9", headers={**cookie, "Sec-Fetch-Site": "cross-site"})
    assert (refused.status_code, "Set-Cookie" in refused.headers) == (403, False)


def test_secret_key_is_rotated_without_losing_participants(app: App) -> None:
    """Tokens of an earlier key are valid while it is in STEPKEEP_SECRET_KEY_FALLBACKS; the newest key signs."""
    app.begin_session("sven")
    earlier = app.store.settings.secret_key
    old = app.create_token("sven")
    newer = SecretStr(random_secret())
    both = {"secret_key": newer, "secret_key_fallbacks": SecretStr(f" {earlier.get_secret_value()} ,")}
    with production_app(app.store.settings, **both) as after:
        assert may_read(after, "sven", old)
        new = after.create_token("sven")
        assert may_read(after, "sven", new)
    assert not may_read(app, "sven", new)
    with production_app(app.store.settings, secret_key=newer) as later:
        assert [may_read(later, "sven", token) for token in (old, new)] == [False, True]


def test_secrets_are_read_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file a setting in STEPKEEP_SECRETS_DIR, without its line end; the environment has precedence."""
    for name in ("SECRET_KEY", "DATABASE_URL", "STEPKEEP_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    secret = random_secret()
    (tmp_path / "secret_key").write_text(f"{secret}\n")
    (tmp_path / "database_url").write_text("sqlite:///from-file.db\n")
    (tmp_path / "stepkeep_answers_keys").write_text("plain\n")
    monkeypatch.setenv("STEPKEEP_SECRETS_DIR", str(tmp_path))
    settings = read_settings()
    assert (settings.secret_key.get_secret_value(), settings.database_url) == (secret, "sqlite:///from-file.db")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///from-environment.db")
    assert read_settings().database_url == "sqlite:///from-environment.db"
    assert settings.answers_keys.get_secret_value() == "plain"
    assert secret not in repr(settings)
    assert secret not in str(settings)


def test_missing_secrets_directory_raises_configuration_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt STEPKEEP_SECRETS_DIR must not pass for an empty one."""
    monkeypatch.setenv("STEPKEEP_SECRETS_DIR", str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match="STEPKEEP_SECRETS_DIR"):
        read_settings()


def status(server: Server, path: str, method: str = "GET", **headers: str) -> int:
    request = urllib.request.Request(f"{server.url}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@contextlib.contextmanager
def connect_socket(server: Server, user_id: str, token: str) -> Iterator[ClientConnection]:
    url = f"{server.ws_url}/ws/survey/{user_id}?survey=phq9"
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, open_timeout=30) as ws:
        yield ws


def receive(ws: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(ws.recv(timeout=60))
    return message


@contextlib.contextmanager
def server_with_own_database(kind: str, folder: Path) -> Iterator[tuple[Server, OwnServer]]:
    """Yield a server in production, not started, and its database, which the test may kill."""
    try:
        database = own_server(kind, durable=False)
    except NoServer as error:
        skip_or_fail(str(error))
    with contextlib.closing(database):
        url = database.create_migrated()
        server = Server(
            folder, database=url, environment=in_production(STEPKEEP_PENDING_AFTER_S="0.3", STEPKEEP_RETRY_ATTEMPTS="1")
        )
        try:
            yield server, database
        finally:
            server.stop()


def close_code(server: Server, user_id: str, token: str) -> int | None:
    """Return the code with which the server closes the socket."""
    with connect_socket(server, user_id, token) as ws, pytest.raises(ConnectionClosed) as closed:
        while True:
            receive(ws)
    return None if closed.value.rcvd is None else closed.value.rcvd.code


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_access_is_refused_when_the_database_is_unavailable(kind: str, tmp_path: Path) -> None:
    """Keys and sign-ins get 503; participants continue, unless their token was revoked."""
    with server_with_own_database(kind, tmp_path) as (server, database):
        with credentials_of(server) as credentials:
            revoked, _ = credentials.issue_token(SessionKey("phq9", "rita"))
            credentials.revoke_tokens(SessionKey("phq9", "rita"))
            token, _ = credentials.issue_token(SessionKey("phq9", "ada"))
            key = credentials.create_key("ward 3", ["sessions:read", "sessions:write"])
        server.start()
        bearer = {"Authorization": f"Bearer {key}"}
        assert status(server, "/api/sessions", **bearer) == 200
        with connect_socket(server, "ada", token) as ws:
            assert receive(ws)["type"] == "state"
            database.kill()
            for path in ("/api/sessions", "/api/session/ada?survey=phq9"):
                assert status(server, path, **bearer) == 503
            assert status(server, "/dashboard", Cookie="__Host-stepkeep-sign-in=x") == 503
            assert status(server, "/api/sessions") == 401
            ws.send(json.dumps({"type": "answer", "id": "m-1", "step": "Q1", "value": 1}))
            assert receive(ws)["type"] == "pending"
            with connect_socket(server, "ada", token) as second:
                assert receive(second)["session"]["answers"] == {"Q1": 1}
            cases = (("rita", revoked), ("ada", key), ("bob", token))
            assert [close_code(server, *case) for case in cases] == [4401, 1013, 4403]
            database.start()
            while (message := receive(ws))["type"] != "ack":
                assert message["type"] in {"pending", "sync"}
            assert message["version"] == 2


def test_export_is_downloaded_under_a_fixed_file_name(app: App) -> None:
    """As an attachment, whatever the participant's id is."""
    token = app.create_token("ann.html")
    app.request("POST", "/api/session/ann.html/commands?survey=phq9", token, json={"type": "back", "id": "m-1"})
    answer = app.request("GET", "/api/session/ann.html/export?survey=phq9", token)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == "attachment; filename=participant.json"
    assert answer.headers["Content-Type"] == "application/json"
    assert [session["survey_id"] for session in answer.json["sessions"]] == ["phq9"]


def test_reads_and_exports_with_a_key_are_in_the_audit_log(app: App) -> None:
    """Reads by the participant are not."""
    token, key = app.create_token("seen"), app.create_key("sessions:read", "sessions:write", "export", "admin")
    path = "/api/session/seen{}?survey=phq9"
    app.request("POST", path.format("/commands"), token, json={"type": "answer", "id": "m-1", "step": "Q1", "value": 1})
    newest = app.request("GET", "/api/audit?limit=1", key).json["entries"][0]["id"]
    for credential in (token, key):
        assert app.request("GET", path.format(""), credential).status_code == 200
        assert app.request("GET", path.format("/history"), credential).status_code == 200
        assert app.request("GET", path.format("/export"), credential).status_code == 200
    assert app.request("GET", "/api/sessions", key).status_code == 200
    assert app.request("DELETE", path.format(""), key).status_code == 200
    entries = [entry for entry in app.request("GET", "/api/audit", key).json["entries"] if entry["id"] > newest]
    actions = [
        "audit_read",
        "session_erased",
        "sessions_listed",
        "participant_exported",
        "history_read",
        "session_read",
    ]
    assert [entry["action"] for entry in entries] == actions
    assert len({entry["actor"] for entry in entries}) == 1
    user_ids = [entry["user_id"] for entry in entries if entry["user_id"] is not None]
    assert len(user_ids) == 4
    assert all(name.startswith("erased:") for name in user_ids)
