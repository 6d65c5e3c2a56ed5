"""Links, revocation and cookies of several people in one browser; what is written with a key is in the audit log."""

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


def signed_in(app: App, key: str) -> str:
    """Return the cookie of a new sign-in."""
    return str(app.request("POST", "/sign-in", data={"key": key}).headers["Set-Cookie"].partition(";")[0])


def of_browser(*cookies: str) -> dict[str, str]:
    """Return the headers of a page of ours in a browser that has these cookies."""
    return {"Cookie": "; ".join(cookies), "Origin": SITE}


@contextlib.contextmanager
def noted(app: App, reader: str) -> Iterator[list[dict[str, Any]]]:
    """Give a list that holds what was noted in the audit log meanwhile, the oldest first."""
    found: list[dict[str, Any]] = []
    newest = app.request("GET", "/api/audit?limit=1", reader).json["entries"][0]["id"]
    yield found
    entries = app.request("GET", "/api/audit", reader).json["entries"]
    found += [one for one in reversed(entries) if one["id"] > newest][:-1]  # the last is this reading


def write(app: App, user_id: str, token: str, *, whole: bool) -> None:
    """Write in every way that there is; a participant writes by commands alone."""
    path = f"/api/session/{user_id}{{}}?survey=phq9"
    command = {"type": "answer", "id": f"m-{token[-20:]}", "step": "Q1", "value": 1}
    if whole:
        state = {"current_step": "Q1", "answers": {}, "step_history": []}
        assert app.request("PUT", path.format(""), token, json=state).status_code in {200, 201}
        assert app.request("PATCH", path.format(""), token, json={"answers": {}}).status_code == 200
    assert app.request("POST", path.format("/commands"), token, json=command).status_code == 200
    with listening(app.flask) as port, socket_to(port, user_id, token) as ws:
        assert refusal(ws) is None


def test_writes_with_a_key_are_in_the_audit_log_and_the_participants_own_are_not(app: App) -> None:
    """Each by REST, and each socket, with the key's name; what he does himself is in his history alone."""
    writer, reader = app.create_key("sessions:write"), app.create_key("admin")
    with noted(app, reader) as entries:
        write(app, "wilma", writer, whole=True)
    name = f"key:{writer.split('_')[1]} (ward 3)"
    seen = [(one["actor"], one["action"], one["survey_id"], one["user_id"]) for one in entries]
    assert seen == [(name, "session_written", "phq9", "wilma")] * 4
    assert [one["detail"] for one in entries] == [{}, {}, {}, {"door": "socket"}]
    with noted(app, reader) as entries:
        write(app, "wilma", app.create_token("wilma"), whole=False)
    assert entries == []


def test_write_that_may_not_be_is_not_in_the_audit_log(app: App) -> None:
    """A key without the scope is refused before anything is noted, by REST and on a socket."""
    app.begin_session("walt")
    reading, reader = app.create_key("sessions:read"), app.create_key("admin")
    with noted(app, reader) as entries:
        answer = app.request("PATCH", "/api/session/walt?survey=phq9", reading, json={"answers": {}})
        assert answer.status_code == 403
        with listening(app.flask) as port, socket_to(port, "walt", reading) as ws:
            assert refusal(ws) == 4403
    assert entries == []


def test_who_revokes_for_another_gets_no_cookie_of_his(app: App) -> None:
    """A researcher with a key or a sign-in, in a browser that has anybody's cookie, goes on as himself."""
    app.begin_session("rosa")
    key, mine = app.create_key("sessions:write"), f"{COOKIE}={app.create_token('researcher')}"
    path = "/api/session/rosa/tokens?survey=phq9"
    asks: list[tuple[str | None, dict[str, str]]] = [
        (key, {}),
        (key, of_browser(mine)),
        (None, of_browser(signed_in(app, key))),
        (None, of_browser(mine, signed_in(app, key))),
        (None, of_browser(f"{COOKIE}=dead", signed_in(app, key))),
    ]
    for token, headers in asks:
        answer = app.request("DELETE", path, token, headers=headers)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (200, False), headers
    hers = of_browser(f"{COOKIE}={app.create_token('rosa')}")
    assert "Set-Cookie" not in app.request("DELETE", path, key, headers=hers).headers
    assert app.credentials.verify_token(mine.partition("=")[2]).key == SessionKey("phq9", "researcher")


def test_who_revokes_his_own_goes_on_if_he_came_by_cookie(app: App) -> None:
    """The browser gets a new one, which holds; a program that showed its token gets none."""
    app.begin_session("rolf")
    path, before = "/api/session/rolf/tokens?survey=phq9", app.create_token("rolf")
    answer = app.request("DELETE", path, headers=of_browser(f"{COOKIE}={before}"))
    renewed = answer.headers["Set-Cookie"].partition(";")[0]
    assert renewed.startswith(f"{COOKIE}=")
    token = renewed.partition("=")[2]
    assert app.credentials.verify_token(token).key == SessionKey("phq9", "rolf")
    for is_in_a_browser in (False, True):
        shown = app.create_token("rolf")
        headers = of_browser(f"{COOKIE}={app.create_token('rolf')}") if is_in_a_browser else {}
        answer = app.request("DELETE", path, shown, headers=headers)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (200, False)
        assert app.request("GET", "/api/session/rolf?survey=phq9", shown).status_code == 401


def life_us(app: App, answer: Any) -> int:
    """Return for how long the token of a link holds from now."""
    token = answer.json["link"].partition("#")[2]
    return app.credentials.verify_token(token).expires_at - app.clock()


@pytest.mark.parametrize(("hours", "expected"), [(1, 1), (0.5, 0.5), (90 * 24, 24)])
def test_link_of_a_participant_holds_no_longer_than_what_it_was_made_with(
    app: App, hours: float, expected: float
) -> None:
    """Nor longer than STEPKEEP_LINK_HOURS: by token and by cookie, and a link of a link neither."""
    app.begin_session("lars")
    token, _ = app.credentials.issue_token(SessionKey("phq9", "lars"), int(hours * HOUR_US))
    asks: list[tuple[str | None, dict[str, str]]] = [(token, {}), (None, of_browser(f"{COOKIE}={token}"))]
    for shown, headers in asks:
        answer = app.request("POST", "/api/session/lars/link?survey=phq9", shown, headers=headers)
        assert answer.status_code == 200
        assert life_us(app, answer) <= expected * HOUR_US + SECOND_US
    second = app.request("POST", "/api/session/lars/link?survey=phq9", answer.json["link"].partition("#")[2])
    assert 0 < life_us(app, second) <= expected * HOUR_US + SECOND_US


def test_time_of_a_link_is_for_a_key_to_say(app: App) -> None:
    """``hours`` is 403 for the participant, whatever it is; a key's are kept to, longer ones than STEPKEEP_LINK_HOURS too."""
    app.begin_session("liv")
    path, key = "/api/session/liv/link?survey=phq9", app.create_key("sessions:write")
    for hours in (0.1, 48):
        assert app.request("POST", path, app.create_token("liv"), json={"hours": hours}).status_code == 403
        found = life_us(app, app.request("POST", path, key, json={"hours": hours}))
        assert abs(found - hours * HOUR_US) < 60 * SECOND_US
    assert life_us(app, app.request("POST", path, key)) <= 24 * HOUR_US


def test_dead_resume_cookie_does_not_shut_out_who_is_signed_in(app: App) -> None:
    """The browser of a researcher who tried a survey himself; without the sign-in it is refused, not a stranger's."""
    app.begin_session("dora")
    dead = f"{COOKIE}={app.create_token('dora')}"
    app.credentials.revoke_tokens(SessionKey("phq9", "dora"))
    signed = signed_in(app, app.create_key("sessions:read"))
    path = "/api/session/dora?survey=phq9"
    for cookie in (dead, f"{COOKIE}=nonsense"):
        assert app.request("GET", path, headers=of_browser(cookie, signed)).status_code == 200
        assert app.request("GET", path, headers=of_browser(cookie)).status_code == 401


def test_cookie_of_a_sign_in_opens_no_socket(app: App) -> None:
    """It would stay open when the sign-in ends: 4401; the key itself, and a participant's cookie beside it, do."""
    app.begin_session("sofia")
    key = app.create_key()
    signed = signed_in(app, key)
    with listening(app.flask) as port:
        with socket_to(port, "sofia", Cookie=signed, Origin=SITE) as ws:
            ws.send('{"type": "ping"}')  # who shows no token in the first frame is nobody
            assert refusal(ws) == 4401
        both = f"{signed}; {COOKIE}={app.create_token('sofia')}"
        with socket_to(port, "sofia", Cookie=both, Origin=SITE) as ws:
            assert refusal(ws) is None
        with socket_to(port, "sofia", key) as ws:
            assert refusal(ws) is None
