"""The dashboard's sign-in in production."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.access.credentials import Credentials
from app.access.principals import SCOPES
from app.sessions.service import open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.conftest import SURVEYS, Server

pytestmark = pytest.mark.browser


class Ward:
    """A server in production with some sessions and two API keys."""

    def __init__(self, folder: Path) -> None:
        secret = secrets.token_urlsafe(32)
        self.server = Server(folder, environment={"STEPKEEP_ENVIRONMENT": "production", "SECRET_KEY": secret})
        self.url = self.server.url
        store = open_store(
            Settings(database_url=self.server.database_url, surveys_dir=SURVEYS, environment="development")
        )
        credentials = Credentials(store, [secret])
        self.key = credentials.create_key("Dr. Anna Weiß, ward 3", SCOPES)
        self.export_key = credentials.create_key("nightly export", ["export"])
        for user_id in ("p-1", "p-2"):
            store.turns.get_or_create(SessionKey("phq9", user_id), is_audio_mode=False)
        store.close()
        self.server.start()


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """A ward for one test."""
    ward = Ward(tmp_path)
    yield ward
    ward.server.stop()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab that is not signed in."""
    return context.new_page()


def sign_in(page: Page, ward: Ward, key: str) -> None:
    """Open the dashboard, type the key in its form and press Enter."""
    page.goto(f"{ward.url}/dashboard")
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.insert_text(key)
    page.keyboard.press("Enter")


def expect_heading(page: Page, heading: str) -> None:
    """Wait until the page has this heading."""
    expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()


def test_dashboard_is_shown_when_the_key_is_valid(page: Page, ward: Ward) -> None:
    """The key is in no URL, cookie or log, and after signing out the dashboard is not shown."""
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    sign_in(page, ward, ward.key)
    expect_heading(page, "Dashboard")
    assert page.url == f"{ward.url}/dashboard"
    expect(page.locator("[data-survey-id=phq9] [data-status=in_progress]")).to_have_text("2")
    expect(page.locator(".account")).to_contain_text("Dr. Anna Weiß, ward 3")
    expect(page.get_by_role("region", name="Recent activity")).to_contain_text("signed in")
    page.goto(ward.url)
    page.get_by_role("link", name="Dashboard").click()
    page.get_by_role("button", name="Sign out").click()
    expect_heading(page, "Sign in to the dashboard")
    page.go_back()
    page.goto(f"{ward.url}/dashboard")
    expect_heading(page, "Sign in to the dashboard")
    assert page.context.cookies() == []
    assert ward.key not in ward.server.log
    assert errors == []


def test_wrong_key_is_rejected_with_a_message(page: Page, ward: Ward) -> None:
    """An alert is shown; the field is empty, invalid and focused."""
    sign_in(page, ward, f"{ward.key[:-1]}!")
    expect(page.get_by_role("alert")).to_contain_text("does not open the dashboard")
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert ward.key[:-1] not in page.content()


def test_form_of_another_site_cannot_sign_out(
    new_context: Callable[..., BrowserContext], ward: Ward, tmp_path: Path
) -> None:
    """A cross-site POST is rejected, and the user stays signed in."""
    page = new_context().new_page()
    sign_in(page, ward, ward.key)
    expect_heading(page, "Dashboard")
    url = ward.url.replace("127.0.0.1", "localhost")  # the same server as another site
    page.route(
        f"{url}/evil",
        lambda route: route.fulfill(
            content_type="text/html", body=f'<form method=post action="{ward.url}/sign-out"><button>Win</button></form>'
        ),
    )
    page.goto(f"{url}/evil")
    page.get_by_role("button", name="Win").click()
    expect_heading(page, "This is not possible here")
    page.goto(f"{ward.url}/dashboard")
    expect_heading(page, "Dashboard")


def every_view(page: Page, ward: Ward) -> Iterator[str]:
    """Open each of the dashboard's first pages, and yield its name."""
    page.goto(f"{ward.url}/sign-in")
    yield "sign-in"
    sign_in(page, ward, "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    yield "a wrong key"
    sign_in(page, ward, ward.export_key)
    expect_heading(page, "This is not possible here")
    yield "a key without the scope"
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, ward, ward.key)
    expect_heading(page, "Dashboard")
    yield "dashboard"
    page.goto(ward.url)
    yield "the list, signed in"
    page.goto(f"{ward.url}/s/phq9")
    expect(page.locator("#step-form")).to_be_visible()
    yield "a survey, signed in"


@in_every_appearance
def test_sign_in_pages_are_accessible_when_axe_checks_them(
    new_context: Callable[..., BrowserContext], ward: Ward, scheme: str, viewport: dict[str, int]
) -> None:
    """No view has an axe-core violation, scrolls horizontally or has a small target."""
    page = new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce").new_page()
    assert_accessible(page, every_view(page, ward))
