"""Where requests come from: forwarded headers, redirects, and writes from other origins."""

import json
import logging
import re
import socket
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from app.settings import Settings
from tests.store.contents import dump
from tests.waiting import START_S
from tests.web.http_client import all_responses
from tests.web.matrix import ROWS
from tests.web.production import EVIL, SITE, App, listening, production_app

COOKIE = "__Host-stepkeep.phq9"


def logged_address(caplog: pytest.LogCaptureFixture) -> str:
    """Return the address in the last line of the log."""
    match = re.search(r"address='([^']*)'", caplog.records[-1].getMessage())
    assert match is not None
    return match[1]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "192.0.2.7", "127.0.0.1"),
        (1, "192.0.2.7", "192.0.2.7"),
        (1, "198.51.100.1, 192.0.2.7", "192.0.2.7"),
        (2, "198.51.100.1, 192.0.2.7, 192.0.2.8", "192.0.2.7"),
        (2, "192.0.2.7", "127.0.0.1"),
    ],
)
def test_forwarded_headers_are_trusted_for_the_configured_hops_only(
    sqlite_settings: Settings, caplog: pytest.LogCaptureFixture, proxies: int, forwarded: str, address: str
) -> None:
    """STEPKEEP_PROXIES hops, counted from the server; what the client itself sent is ignored."""
    caplog.set_level(logging.WARNING, "stepkeep.security")
    with production_app(sqlite_settings, proxies=proxies, public_url="") as app:
        headers = {
            "X-Forwarded-For": forwarded,
            "X-Forwarded-Host": "forged.test",
            "X-Forwarded-Proto": "https",
            "Forwarded": "for=198.51.100.9;host=forged.test",
            "X-Real-IP": "198.51.100.9",
        }
        assert app.request("GET", "/api/sessions", headers=headers).status_code == 401
        assert logged_address(caplog) == address
        link = app.request("POST", "/api/surveys/phq9/participants", headers=headers).json["link"]
        is_trusted = proxies == 1
        assert link.startswith("https://forged.test/" if is_trusted else f"{SITE}/")


def stored_rows(app: App) -> dict[str, Any]:
    return {name: rows for name, rows in dump(app.store).items() if not name.startswith("audit_")}


def test_safe_methods_change_nothing(app: App) -> None:
    """With any credentials and any override of the method."""
    app.begin_session("somebody")
    token, key = app.create_token("somebody"), app.create_key()
    before = stored_rows(app)
    for row in ROWS:
        if row.method != "GET":
            continue
        for headers in (
            {"Authorization": f"Bearer {token}"},
            {"Authorization": f"Bearer {key}", "X-HTTP-Method-Override": "DELETE"},
            {"Cookie": f"{COOKIE}={token}"},
        ):
            for user_id in ("somebody", "nobody-yet"):
                app.request("GET", row.path.format(user=user_id), headers=headers)
        for method in ("HEAD", "OPTIONS"):
            app.request(method, f"{row.path.format(user='somebody')}&_method=DELETE", key)
    assert stored_rows(app) == before


def test_redirects_stay_on_the_host(app: App) -> None:
    """No path, parameter or header of a request leads elsewhere."""
    seen = 0
    paths = [
        "//evil.test",
        "//evil.test/%2f..",
        "/%2f%2fevil.test",
        "/\\evil.test",
        "/dashboard?next=https://evil.test",
    ]
    answers = [app.request("GET", path) for path in paths] + [answer for _, answer in all_responses(app)]
    answers.append(app.request("POST", "/s/phq9/anew?next=//evil.test", headers={"X-Forwarded-Host": "evil.test"}))
    for answer in answers:
        target = answer.headers.get("Location")
        if target is not None:
            seen += 1
            assert re.match(r"/(?![/\\])", target) or target.startswith(f"{SITE}/"), target
    assert seen > 3


@pytest.mark.parametrize(
    "origin", ["http://survey.test", "http://survey.test:443", EVIL, "https://survey.test.evil.test", "null", "file://"]
)
def test_socket_of_a_foreign_or_plain_http_page_is_refused(app: App, origin: str) -> None:
    """STEPKEEP_PUBLIC_URL is https: other origins get 4403, whatever the cookie."""
    cookie = {"Cookie": f"{COOKIE}={app.create_token('somebody')}"}
    with listening(app.flask) as port:

        def close_code(origin: str) -> int | None:
            raw_socket = socket.create_connection(("127.0.0.1", port))
            with connect(
                "ws://survey.test/ws/survey/somebody?survey=phq9",
                sock=raw_socket,
                origin=Origin(origin),
                additional_headers=cookie,
            ) as ws:
                try:
                    assert json.loads(ws.recv(timeout=START_S))["type"] == "state"
                except ConnectionClosed as closed:
                    return None if closed.rcvd is None else closed.rcvd.code
            return 1000

        assert close_code(origin) == 4403
        assert close_code(SITE) == 1000


def test_developer_of_a_foreign_page_is_told_the_setting(
    sqlite_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """In the server's log, and in the socket's close reason; of REST the browser tells them."""

    def lines() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        return [message for message in messages if "STEPKEEP_ALLOWED_ORIGINS" in message]

    caplog.set_level(logging.WARNING, "stepkeep.security")
    with production_app(sqlite_settings) as app, listening(app.flask) as port:
        for origin, address in ((SITE, "192.0.2.8"), ("https://app.test", "192.0.2.9")):
            preflight = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
            app.request("OPTIONS", "/api/sessions", headers=preflight, environ_base={"REMOTE_ADDR": address})
        raw_socket = socket.create_connection(("127.0.0.1", port))
        url = "ws://survey.test/ws/survey/somebody?survey=phq9"
        with connect(url, sock=raw_socket, origin=Origin("https://app.test")) as ws:
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=START_S)
            assert (ws.close_code, "STEPKEEP_ALLOWED_ORIGINS" in (ws.close_reason or "")) == (4403, True)
    assert ["origin='https://app.test'" in line for line in lines()] == [True, True]


FOREIGN_ORIGINS: list[dict[str, str]] = [
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": "http://survey.test"},
    {"Origin": "https://survey.test.evil.test"},
    {"Origin": "https://survey.test:8443"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": SITE, "Sec-Fetch-Site": "cross-site"},
    {"Origin": EVIL, "Sec-Fetch-Site": "same-origin"},
]


def test_write_with_a_cookie_from_another_origin_is_refused(app: App) -> None:
    """For participants and the dashboard, as a form, text or JSON."""
    app.begin_session("somebody")
    own_cookie = {"Cookie": f"{COOKIE}={app.create_token('somebody')}"}
    signed_in = app.request("POST", "/sign-in", data={"key": app.create_key()}).headers["Set-Cookie"].partition(";")[0]
    writes = [row for row in ROWS if row.method != "GET" and row.endpoint != "sign_in.begin"]
    before = stored_rows(app)
    for row in writes:
        for origin_headers in FOREIGN_ORIGINS:
            for cookie in (own_cookie, {"Cookie": signed_in}):
                for kind in ("application/json", "text/plain"):
                    body = json.dumps(row.options.get("json", {}))
                    answer = app.request(
                        row.method,
                        row.path.format(user="somebody"),
                        data=body,
                        headers={**cookie, **origin_headers, "Content-Type": kind},
                    )
                    is_open = row.endpoint == "participants.create_participant" and cookie is own_cookie
                    if not is_open:  # open to all; a participant's cookie has no effect on it
                        assert answer.status_code in {401, 403}, (row, origin_headers, cookie, answer.text)
                        assert "Set-Cookie" not in answer.headers
    assert stored_rows(app) == before
    own = {**own_cookie, "Origin": SITE, "Sec-Fetch-Site": "same-origin"}
    answer = {"type": "answer", "id": "m-1", "step": "Q1", "value": 2}
    assert (
        app.request("POST", "/api/session/somebody/commands?survey=phq9", json=answer, headers=own).status_code == 200
    )
    token = app.create_token("somebody")  # no browser sends it by itself
    again = {**answer, "id": "m-2"}
    headers = {"Origin": EVIL}
    path = "/api/session/somebody/commands?survey=phq9"
    assert app.request("POST", path, token, json=again, headers=headers).status_code == 200
