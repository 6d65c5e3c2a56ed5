"""The dashboard's sign-in in production."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.desk import Ward

pytestmark = pytest.mark.browser


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
    expect(page.get_by_role("heading", name=heading, exact=True, level=1)).to_be_visible()


def test_dashboard_is_shown_when_the_key_is_valid(page: Page, ward: Ward) -> None:
    """The key is in no URL, cookie or log, and after signing out the dashboard is not shown."""
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    sign_in(page, ward, ward.key)
    expect_heading(page, "Dashboard")
    assert page.url == f"{ward.url}/dashboard"
    expect(page.locator("[data-survey-id=phq9] [data-status=in_progress]")).to_have_text("11")
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


def test_form_of_another_site_cannot_sign_out(page: Page, ward: Ward) -> None:
    """A cross-site POST is rejected, and the user stays signed in."""
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
    assert_accessible(page, every_view(page, ward), display_depends_on_size=True)
