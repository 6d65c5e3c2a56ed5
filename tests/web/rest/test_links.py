"""Links, revocation and cookies of several people in one browser; the audit log of writes with a key."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from app.survey.snapshot import SessionKey
from tests.conftest import Servers, each_kind
from tests.web.production import SITE, App, listening, production_app_on
from tests.web.sockets import refusal, socket_to

COOKIE = "__Host-stepkeep.phq9"
HOUR_US = 3600 * 1_000_000
SECOND_US = 1_000_000


@pytest.fixture(scope="module", params=each_kind(__name__))
def app(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application in production on each database."""
    with production_app_on(request.param, servers, tmp_path_factory.mktemp("app")) as app:
        yield app


def sign_in_cookie(app: App, key: str) -> str:
    """Return the cookie of a new sign-in."""
    return str(app.request("POST", "/sign-in", data={"key": key}).headers["Set-Cookie"].partition(";")[0])


def browser_headers(*cookies: str) -> dict[str, str]:
    """Return the headers that a browser with these cookies sends from a page of this server."""
    return {"Cookie": "; ".join(cookies), "Origin": SITE}


@contextlib.contextmanager
def audit_entries(app: App, reader: str) -> Iterator[list[dict[str, Any]]]:
    """Yield a list that the block's audit log entries are appended to, oldest first, when it ends."""
    entries: list[dict[str, Any]] = []
    newest = app.request("GET", "/api/audit?limit=1", reader).json["entries"][0]["id"]
    yield entries
    newer = app.request("GET", "/api/audit", reader).json["entries"]
    entries += [entry for entry in reversed(newer) if entry["id"] > newest][:-1]  # the last is this request


def write_session(app: App, user_id: str, token: str, *, is_state: bool) -> None:
    """Write in every way the caller has: participants have commands only."""
    path = f"/api/session/{user_id}{{}}?survey=phq9"
    command = {"type": "answer", "id": f"m-{token[-20:]}", "step": "Q1", "value": 1}
    if is_state:
        state = {"current_step": "Q1", "answers": {}, "step_history": []}
        assert app.request("PUT", path.format(""), token, json=state).status_code in {200, 201}
        assert app.request("PATCH", path.format(""), token, json={"answers": {}}).status_code == 200
    assert app.request("POST", path.format("/commands"), token, json=command).status_code == 200
    with listening(app.flask) as port, socket_to(port, user_id, token) as ws:
        assert refusal(ws) is None


def test_writes_with_a_key_are_in_the_audit_log(app: App) -> None:
    """With the key's name, by REST and by socket; the participant's own commands are in the history only."""
    writer, reader = app.create_key("sessions:write"), app.create_key("admin")
    with audit_entries(app, reader) as entries:
        write_session(app, "wilma", writer, is_state=True)
    name = f"key:{writer.split('_')[1]} (ward 3)"
    written = [(entry["actor"], entry["action"], entry["survey_id"], entry["user_id"]) for entry in entries]
    assert written == [(name, "session_written", "phq9", "wilma")] * 4
    assert [entry["detail"] for entry in entries] == [{}, {}, {}, {"interface": "socket"}]
    with audit_entries(app, reader) as entries:
        write_session(app, "wilma", app.create_token("wilma"), is_state=False)
    assert entries == []


def test_refused_write_is_not_in_the_audit_log(app: App) -> None:
    app.begin_session("walt")
    reading, reader = app.create_key("sessions:read"), app.create_key("admin")
    with audit_entries(app, reader) as entries:
        answer = app.request("PATCH", "/api/session/walt?survey=phq9", reading, json={"answers": {}})
        assert answer.status_code == 403
        with listening(app.flask) as port, socket_to(port, "walt", reading) as ws:
            assert refusal(ws) == 4403
    assert entries == []


def test_revocation_for_another_participant_sets_no_cookie(app: App) -> None:
    """Whatever cookies the researcher's browser has; their own token stays valid."""
    app.begin_session("rosa")
    key, own_cookie = app.create_key("sessions:write"), f"{COOKIE}={app.create_token('researcher')}"
    path = "/api/session/rosa/tokens?survey=phq9"
    cases: list[tuple[str | None, dict[str, str]]] = [
        (key, {}),
        (key, browser_headers(own_cookie)),
        (None, browser_headers(sign_in_cookie(app, key))),
        (None, browser_headers(own_cookie, sign_in_cookie(app, key))),
        (None, browser_headers(f"{COOKIE}=invalid", sign_in_cookie(app, key))),
    ]
    for token, headers in cases:
        answer = app.request("DELETE", path, token, headers=headers)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (200, False), headers
    headers = browser_headers(f"{COOKIE}={app.create_token('rosa')}")
    assert "Set-Cookie" not in app.request("DELETE", path, key, headers=headers).headers
    assert app.credentials.verify_token(own_cookie.partition("=")[2]).key == SessionKey("phq9", "researcher")


def test_revocation_of_the_callers_tokens_renews_their_cookie(app: App) -> None:
    """A caller that sent its token in Authorization gets no cookie."""
    app.begin_session("rolf")
    path, before = "/api/session/rolf/tokens?survey=phq9", app.create_token("rolf")
    answer = app.request("DELETE", path, headers=browser_headers(f"{COOKIE}={before}"))
    renewed = answer.headers["Set-Cookie"].partition(";")[0]
    assert renewed.startswith(f"{COOKIE}=")
    token = renewed.partition("=")[2]
    assert app.credentials.verify_token(token).key == SessionKey("phq9", "rolf")
    for has_cookie in (False, True):
        token = app.create_token("rolf")
        headers = browser_headers(f"{COOKIE}={app.create_token('rolf')}") if has_cookie else {}
        answer = app.request("DELETE", path, token, headers=headers)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (200, False)
        assert app.request("GET", "/api/session/rolf?survey=phq9", token).status_code == 401


def lifetime_us(app: App, answer: Any) -> int:
    """Return for how long the token of a link is valid from now."""
    token = answer.json["link"].partition("#")[2]
    return app.credentials.verify_token(token).expires_at - app.clock()


@pytest.mark.parametrize(("hours", "expected"), [(1, 1), (0.5, 0.5), (90 * 24, 24)])
def test_link_of_a_participant_expires_no_later_than_the_token_it_was_created_with(
    app: App, hours: float, expected: float
) -> None:
    """Nor later than STEPKEEP_LINK_HOURS; a link of a link neither."""
    app.begin_session("lars")
    token, _ = app.credentials.issue_token(SessionKey("phq9", "lars"), int(hours * HOUR_US))
    cases: list[tuple[str | None, dict[str, str]]] = [(token, {}), (None, browser_headers(f"{COOKIE}={token}"))]
    for credential, headers in cases:
        answer = app.request("POST", "/api/session/lars/link?survey=phq9", credential, headers=headers)
        assert answer.status_code == 200
        assert lifetime_us(app, answer) <= expected * HOUR_US + SECOND_US
    second = app.request("POST", "/api/session/lars/link?survey=phq9", answer.json["link"].partition("#")[2])
    assert 0 < lifetime_us(app, second) <= expected * HOUR_US + SECOND_US


def test_hours_of_a_link_are_accepted_with_a_key_only(app: App) -> None:
    """403 for the participant; with a key also more than STEPKEEP_LINK_HOURS."""
    app.begin_session("liv")
    path, key = "/api/session/liv/link?survey=phq9", app.create_key("sessions:write")
    for hours in (0.1, 48):
        assert app.request("POST", path, app.create_token("liv"), json={"hours": hours}).status_code == 403
        lifetime = lifetime_us(app, app.request("POST", path, key, json={"hours": hours}))
        assert abs(lifetime - hours * HOUR_US) < 60 * SECOND_US
    assert lifetime_us(app, app.request("POST", path, key)) <= 24 * HOUR_US


def test_invalid_resume_cookie_does_not_block_a_sign_in(app: App) -> None:
    """As in the browser of a researcher who tried a survey; without the sign-in it gets 401."""
    app.begin_session("dora")
    revoked = f"{COOKIE}={app.create_token('dora')}"
    app.credentials.revoke_tokens(SessionKey("phq9", "dora"))
    sign_in = sign_in_cookie(app, app.create_key("sessions:read"))
    path = "/api/session/dora?survey=phq9"
    for cookie in (revoked, f"{COOKIE}=nonsense"):
        assert app.request("GET", path, headers=browser_headers(cookie, sign_in)).status_code == 200
        assert app.request("GET", path, headers=browser_headers(cookie)).status_code == 401


def test_cookie_of_a_sign_in_opens_no_socket(app: App) -> None:
    """The socket would stay open after the sign-in ends; the key and a participant's cookie do open one."""
    app.begin_session("sofia")
    key = app.create_key()
    sign_in = sign_in_cookie(app, key)
    with listening(app.flask) as port:
        with socket_to(port, "sofia", Cookie=sign_in, Origin=SITE) as ws:
            ws.send('{"type": "ping"}')  # a first frame without a token is anonymous
            assert refusal(ws) == 4401
        both = f"{sign_in}; {COOKIE}={app.create_token('sofia')}"
        with socket_to(port, "sofia", Cookie=both, Origin=SITE) as ws:
            assert refusal(ws) is None
        with socket_to(port, "sofia", key) as ws:
            assert refusal(ws) is None
