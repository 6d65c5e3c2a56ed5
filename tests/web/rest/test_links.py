"""Links, revocation and cookies of several people in one browser; the audit log of writes with a key."""

import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core.timestamps import format_timestamp
from app.store.tables import leases
from app.survey.snapshot import SessionKey
from tests.conftest import Servers, each_kind
from tests.web.production import SITE, App, listening, production_app, production_app_on
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


def link_token(answer: Any) -> str:
    """Return the token of a response's link."""
    return str(answer.json["link"].partition("#")[2])


def lifetime_us(app: App, answer: Any) -> int:
    """Return for how long the token of a link is valid from now."""
    return app.credentials.verify_link(link_token(answer)).expires_at - app.clock()


@pytest.mark.parametrize(("hours", "expected"), [(1, 1), (0.5, 0.5), (90 * 24, 24)])
def test_link_of_a_participant_expires_no_later_than_the_token_it_was_created_with(
    app: App, hours: float, expected: float
) -> None:
    """Nor later than STEPKEEP_LINK_HOURS."""
    app.begin_session("lars")
    token, _ = app.credentials.issue_token(SessionKey("phq9", "lars"), int(hours * HOUR_US))
    cases: list[tuple[str | None, dict[str, str]]] = [(token, {}), (None, browser_headers(f"{COOKIE}={token}"))]
    for credential, headers in cases:
        answer = app.request("POST", "/api/session/lars/link?survey=phq9", credential, headers=headers)
        assert answer.status_code == 200
        assert 0 < lifetime_us(app, answer) <= expected * HOUR_US + SECOND_US


def test_hours_of_a_link_are_accepted_with_a_key_only(app: App) -> None:
    """403 for the participant; with a key also more than STEPKEEP_LINK_HOURS."""
    app.begin_session("liv")
    path, key = "/api/session/liv/link?survey=phq9", app.create_key("sessions:write")
    for hours in (0.1, 48):
        assert app.request("POST", path, app.create_token("liv"), json={"hours": hours}).status_code == 403
        lifetime = lifetime_us(app, app.request("POST", path, key, json={"hours": hours}))
        assert abs(lifetime - hours * HOUR_US) < 60 * SECOND_US
    assert lifetime_us(app, app.request("POST", path, key)) <= 24 * HOUR_US


def device_link(app: App, user_id: str) -> str:
    """Return the token of a link that a participant created."""
    return link_token(app.request("POST", f"/api/session/{user_id}/link?survey=phq9", app.create_token(user_id)))


def open_link(app: App, token: str, cookie: str | None = None, **more: object) -> Any:
    """Send what the page of a link sends."""
    headers = browser_headers(*([] if cookie is None else [cookie]))
    return app.request("POST", "/resume", json={"token": token, **more}, headers=headers)


def test_link_of_a_participant_is_exchanged_only_when_confirmed(app: App) -> None:
    """The refusal says when the session began; nothing is used or set before."""
    key = app.begin_session("fay")
    snapshot = app.store.queries.load(key)
    assert snapshot is not None
    token = device_link(app, "fay")
    for _ in range(2):
        answer = open_link(app, token)
        assert (answer.status_code, answer.json["code"], "Set-Cookie" in answer.headers) == (
            409,
            "link_unconfirmed",
            False,
        )
        facts = {name: answer.json[name] for name in ("survey_id", "started_at", "has_other_session")}
        started_at = format_timestamp(snapshot.state.started_at)
        assert facts == {"survey_id": "phq9", "started_at": started_at, "has_other_session": False}
    assert open_link(app, token, confirm=True).status_code == 200


def test_link_is_never_a_credential(app: App) -> None:
    """Else it would work more than once."""
    app.begin_session("flo")
    token = device_link(app, "flo")
    assert app.request("GET", "/api/session/flo?survey=phq9", token).status_code == 401
    assert app.request("GET", "/s/phq9", headers=browser_headers(f"{COOKIE}={token}")).status_code == 401
    with listening(app.flask) as port:
        with socket_to(port, "flo", token) as ws:
            assert refusal(ws) == 4401
        with socket_to(port, "flo") as ws:
            ws.send(json.dumps({"type": "auth", "token": token}))
            assert refusal(ws) == 4401


def test_token_made_by_anyone_is_exchanged_only_when_confirmed(app: App) -> None:
    """An attacker could put the token of their own session into a link; invitations are not asked about."""
    created = app.request("POST", "/api/surveys/phq9/participants").json
    for token in (created["token"], app.create_token("anyone")):
        assert open_link(app, token).json["code"] == "link_unconfirmed"
        assert open_link(app, token, confirm=True).status_code == 200
    key = app.create_key("sessions:write")
    invited = app.request("POST", "/api/surveys/phq9/participants", key, json={"user_id": "ines"}).json["token"]
    again = link_token(app.request("POST", "/api/session/ines/link?survey=phq9", key))
    for token in (invited, again, invited, again):
        answer = open_link(app, token)
        assert answer.status_code == 200
        cookie = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        assert open_link(app, cookie).json["code"] == "link_unconfirmed"


def test_link_of_a_participant_works_once(app: App) -> None:
    """Also if it is not confirmed; the same exchange may repeat, because its response may have been lost."""
    app.begin_session("finn")
    token = device_link(app, "finn")
    first = open_link(app, token, confirm=True, exchange_id="first")
    assert first.status_code == 200
    assert open_link(app, token, confirm=True, exchange_id="first").status_code == 200
    for body in ({"confirm": True, "exchange_id": "second"}, {"confirm": True}, {}):
        answer = open_link(app, token, **body)
        assert (answer.status_code, answer.json["code"], "Set-Cookie" in answer.headers) == (409, "link_used", False)
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    assert open_link(app, token, cookie).status_code == 200  # that browser continues anyway
    assert open_link(app, device_link(app, "finn"), confirm=True).status_code == 200


def test_own_link_is_not_used_up_in_a_browser_that_continues(app: App) -> None:
    app.begin_session("fred")
    token = device_link(app, "fred")
    assert open_link(app, token, f"{COOKIE}={app.create_token('fred')}").status_code == 200
    assert open_link(app, token, confirm=True).status_code == 200


def test_link_that_would_replace_a_session_is_not_used_up_by_the_refusal(app: App) -> None:
    """The question says that the browser has another session; `replace` is needed too."""
    app.begin_session("fritz")
    token, cookie = device_link(app, "fritz"), f"{COOKIE}={app.create_token('other')}"
    assert open_link(app, token, cookie).json["has_other_session"]
    assert open_link(app, token, cookie, confirm=True).json["code"] == "participant_conflict"
    answer = open_link(app, token, cookie, confirm=True, replace=True)
    assert app.credentials.verify_token(survey_token(answer)).key == SessionKey("phq9", "fritz")


def survey_token(answer: Any) -> str:
    """Return the token in the cookie that a response sets."""
    return str(answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2])


def test_one_device_gets_the_session_when_many_open_a_link_at_once(app: App) -> None:
    """Through two processes; the others learn that it was used."""
    app.begin_session("fran")
    with production_app(app.store.settings, secret_key=app.store.settings.secret_key) as other:
        for _ in range(5):
            token, start = device_link(app, "fran"), threading.Barrier(8)

            def race(server: App, token: str = token, start: threading.Barrier = start) -> str:
                start.wait(30)
                answer = open_link(server, token, confirm=True)
                return "opened" if answer.status_code == 200 else str(answer.json["code"])

            with ThreadPoolExecutor(8) as pool:
                outcomes = list(pool.map(race, [app, other] * 4))
            assert sorted(outcomes) == ["link_used"] * 7 + ["opened"]


def test_uses_of_expired_links_are_removed(app: App) -> None:
    """A link that has not expired stays used."""
    app.begin_session("fern")

    def uses() -> int:
        query = select(func.count()).select_from(leases).where(leases.c.name.like("link %"))
        return int(app.store.run_read(lambda connection: connection.execute(query).scalar()) or 0)

    token = device_link(app, "fern")
    assert open_link(app, token, confirm=True).status_code == 200
    used = uses()
    app.clock.ahead_us = 23 * HOUR_US
    app.credentials.revocations._drop_before(0)
    assert uses() == used
    assert open_link(app, token, confirm=True).json["code"] == "link_used"
    app.clock.ahead_us = 25 * HOUR_US
    app.credentials.revocations._drop_before(0)
    assert uses() == 0
    assert open_link(app, token, confirm=True).status_code == 401
    app.clock.ahead_us = 0


def test_revoked_link_is_not_exchanged(app: App) -> None:
    app.begin_session("faye")
    token = device_link(app, "faye")
    app.credentials.revoke_tokens(SessionKey("phq9", "faye"))
    assert open_link(app, token, confirm=True).status_code == 401


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
