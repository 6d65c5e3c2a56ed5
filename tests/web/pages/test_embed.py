"""A survey's page in a frame of another site: who may show it, and its credentials without a cookie."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from werkzeug.test import TestResponse

from app.settings import Settings
from app.survey.snapshot import SessionKey
from tests.conftest import Servers
from tests.web.http_client import all_responses
from tests.web.production import CLOSED, EVIL, SITE, App, production_app, production_app_on

HOSTS = "https://www.example.org,http://localhost:3000"


@pytest.fixture(scope="module")
def app(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application in production, which two sites may show."""
    folder = tmp_path_factory.mktemp("app")
    with production_app_on("sqlite", servers, folder, frame_ancestors=HOSTS, address_failures="1000000/hour") as app:
        yield app


def page_of(app: App, survey: str, token: str | None = None, **headers: str) -> TestResponse:
    return app.request("GET", f"/embed/{survey}/page", token, headers=headers)


def participant_of(app: App, answer: TestResponse) -> SessionKey:
    (token,) = re.findall('data-token="([^"]+)"', answer.text)
    return app.credentials.verify_token(token).key


def test_only_the_embedded_page_can_be_framed(app: App) -> None:
    """By the named origins; every other response forbids it, in both headers."""
    shown = app.request("GET", "/embed/phq9")
    assert "frame-ancestors https://www.example.org http://localhost:3000" in shown.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in shown.headers
    others = [each for each in all_responses(app) if each[0].removesuffix(" by nobody") != "GET /embed/phq9"]
    for label, answer in [*others, ("page", page_of(app, "phq9"))]:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], label
        assert answer.headers["X-Frame-Options"] == "DENY", label


def test_nothing_can_be_framed_unless_a_site_is_named(sqlite_settings: Settings) -> None:
    """The default."""
    with production_app(sqlite_settings) as app:
        for path in ("/embed/phq9", "/embed/phq9/page"):
            answer = app.request("GET", path)
            assert answer.status_code == 404
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("origin", ["*", "https://*.example.org", "https://example.org/path", "'self'", "example.org"])
def test_site_that_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin"):
        Settings(frame_ancestors=origin)


def test_participant_of_a_token_gets_their_page(app: App) -> None:
    """Also of a closed survey, whose page has its own token."""
    answer = page_of(app, CLOSED, app.create_token("somebody", CLOSED))
    assert answer.status_code == 200
    assert participant_of(app, answer) == SessionKey(CLOSED, "somebody")
    assert 'id="device-link"' not in answer.text  # it needs the cookie that frames don't get


def test_frame_that_was_left_begins_again_as_its_address_says(app: App) -> None:
    """Its site chose the address."""
    page = app.request("GET", "/embed/phq9/page?lang=de&is_audio=true&utm=letter").text
    assert 'data-left-url="/embed/phq9?has-left=&amp;lang=de&amp;is_audio=true"' in page


def test_page_without_valid_credentials_says_nothing_of_a_closed_survey(app: App) -> None:
    """The first page is the same for every id."""
    pages = {app.request("GET", f"/embed/{name}").text.replace(name, "") for name in (CLOSED, "absent", "phq9")}
    assert len(pages) == 1
    assert [page_of(app, name).status_code for name in (CLOSED, "absent")] == [404, 404]
    for token in ("none", app.create_token("somebody", "phq9"), app.create_key("sessions:read")):
        assert page_of(app, CLOSED, token).status_code == 401


def test_partitioned_cookie_remembers_a_new_participant(app: App) -> None:
    """It is sent to these pages only, and gives access to nothing else; a new token comes with each visit."""
    first = page_of(app, "phq9")
    (cookie,) = first.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Secure-stepkeep-embedded.phq9=")
    attributes = {"Secure", "HttpOnly", "Path=/embed/", "SameSite=None", "Partitioned"}
    assert attributes <= {part.strip() for part in cookie.split(";")}
    pair = cookie.partition(";")[0]
    key = participant_of(app, first)
    assert participant_of(app, page_of(app, "phq9", Cookie=pair)) == key
    assert participant_of(app, page_of(app, "phq9")) != key
    app.store.turns.get_or_create(key, is_audio_mode=False)
    path = f"/api/session/{key.user_id}?survey=phq9"
    assert app.request("GET", path, headers={"Cookie": pair}).status_code == 401


def test_revoked_cookie_is_cleared(app: App) -> None:
    """It would be sent for months, and refused each time; a token that is refused leaves it."""
    first = page_of(app, "phq9")
    pair = first.headers["Set-Cookie"].partition(";")[0]
    app.credentials.revoke_tokens(participant_of(app, first))
    refused = page_of(app, "phq9", Cookie=pair)
    assert refused.status_code == 401
    (cookie,) = refused.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Secure-stepkeep-embedded.phq9=;")
    assert {"Max-Age=0", "Path=/embed/", "Partitioned"} <= {part.strip() for part in cookie.split(";")}
    assert "Set-Cookie" not in page_of(app, "phq9", "none", Cookie=pair).headers
    (ended,) = re.findall('<div id="ended".*?</div>', app.request("GET", "/embed/phq9").text, re.DOTALL)
    assert "are saved" not in ended  # the session may be erased


def test_leaving_clears_the_embedded_cookie(app: App) -> None:
    """With its attributes, without which browsers keep it; the page in the frame is the one for frames."""
    first = page_of(app, "phq9")
    (url,) = re.findall('data-leave-url="([^"]+)"', first.text)
    (left_url,) = re.findall('data-left-url="([^"]+)"', first.text)
    left = app.request("POST", url, headers={"Origin": SITE})
    assert left.status_code == 200
    (cookie,) = [each for each in left.headers.getlist("Set-Cookie") if "embedded" in each]
    assert cookie.startswith("__Secure-stepkeep-embedded.phq9=;")
    attributes = {"Max-Age=0", "Secure", "HttpOnly", "Path=/embed/", "SameSite=None", "Partitioned"}
    assert attributes <= {part.strip() for part in cookie.split(";")}
    assert "X-Frame-Options" not in app.request("GET", left_url).headers


def test_shared_device_gets_no_embedded_cookie(sqlite_settings: Settings) -> None:
    """Who opens the page next would see the answers; the page has the dialog that clears the device."""
    settings = sqlite_settings.model_copy(update={"frame_ancestors": HOSTS, "kiosk_minutes": 5})
    with production_app(settings) as app:
        shown = page_of(app, "phq9")
        assert shown.status_code == 200
        assert "Set-Cookie" not in shown.headers
        assert 'id="kiosk"' in shown.text
        assert "data-returning" not in shown.text
        assert "data-returning" in page_of(app, "phq9", app.create_token("somebody", "phq9")).text


def test_another_site_can_not_load_the_page(app: App) -> None:
    """With the cookie of its own frame, it would learn a token."""
    for headers in ({"Origin": EVIL}, {"Origin": "https://www.example.org"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = page_of(app, "phq9", **headers)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert page_of(app, "phq9", Origin=SITE).status_code == 200


def test_script_of_the_page_is_loaded_from_this_server(app: App) -> None:
    """The script that takes the place of the first page's."""
    text = page_of(app, "phq9").text
    (script,) = re.findall('<script type="module" src="([^"]+)"', text)
    assert app.request("GET", script).status_code == 200
    assert Path(script).name == "survey-page.js"
