"""Nothing personal comes back after signing out or leaving, in a browser that keeps pages in memory."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from tests.browser.clinic import Clinic, expect_heading, open_panel
from tests.browser.conftest import ARGUMENTS
from tests.browser.desk import Ward
from tests.browser.participant import Participant
from tests.conftest import WHOLE_BROWSERS, find_chromium, skip_or_fail

pytestmark = pytest.mark.browser

DISABLE = "--disable-back-forward-cache"
"""Playwright's default."""

COUNT_RESTORED = "addEventListener('pageshow', (event) => event.persisted && sessionStorage.setItem('restored', 'yes'))"


@pytest.fixture(scope="module")
def caching_browser(driver: Playwright) -> Iterator[Browser]:
    """Chromium with its back/forward cache, as people use it."""
    path = find_chromium(*WHOLE_BROWSERS)
    if path is None:
        skip_or_fail("the whole Chromium was not found (Debian: apt install chromium)")
    running = driver.chromium.launch(executable_path=path, args=ARGUMENTS, ignore_default_args=[DISABLE])
    yield running
    running.close()


@pytest.fixture
def page(caching_browser: Browser) -> Iterator[Page]:
    context = caching_browser.new_context(locale="en-US")
    page = context.new_page()
    page.add_init_script(COUNT_RESTORED)
    yield page
    context.close()


def go_back(page: Page) -> None:
    """Go back in the history; Playwright's own method waits for a load, which a restored page has not."""
    page.evaluate("void setTimeout(() => history.back())")


def was_restored(page: Page) -> bool:
    """Return whether the tab showed a page from memory."""
    return bool(page.evaluate("sessionStorage.getItem('restored') === 'yes'"))


def sign_in(page: Page, ward: Ward) -> None:
    page.goto(f"{ward.url}/sign-in")
    page.get_by_label("API key").fill(ward.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Dashboard", exact=True)).to_be_visible()


def test_restored_page_is_loaded_again(page: Page, ward: Ward) -> None:
    """The browser does keep pages in memory, and a restored one is as the server has it now."""
    sign_in(page, ward)
    loaded_at = page.evaluate("performance.timeOrigin")
    page.get_by_role("link", name="Sessions", exact=True).click()
    expect(page.get_by_role("heading", name="Sessions", exact=True)).to_be_visible()
    go_back(page)
    expect(page.get_by_role("heading", name="Dashboard", exact=True)).to_be_visible()
    page.wait_for_function("(before) => performance.timeOrigin > before", arg=loaded_at)
    assert was_restored(page)


@pytest.mark.parametrize(
    "path",
    [
        *(pytest.param(path, marks=pytest.mark.long) for path in ("/dashboard", "/dashboard/sessions")),
        "/dashboard/surveys/phq9",
        pytest.param("/dashboard/surveys/nothing", marks=pytest.mark.long),
    ],
)
def test_dashboard_does_not_come_back_after_signing_out(page: Page, ward: Ward, path: str) -> None:
    """From any of its pages; each has the button."""
    sign_in(page, ward)
    for visited in ("/dashboard/sessions/phq9/p-03", path):
        page.goto(f"{ward.url}{visited}")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to the dashboard")).to_be_visible()
    shown = page.evaluate("performance.timeOrigin")
    for _ in range(3):
        go_back(page)
        page.wait_for_function("(before) => performance.timeOrigin !== before", arg=shown)
        expect(page.get_by_role("heading", name="Sign in to the dashboard")).to_be_visible()
        assert "Anna" not in page.content()
        assert "p-03" not in page.content()
        shown = page.evaluate("performance.timeOrigin")


def test_survey_does_not_come_back_after_leaving(page: Page, clinic: Clinic) -> None:
    """Neither its answers nor its participant, also not from another page of the same tab."""
    participant = Participant(page.context, clinic.url)
    participant.page = page
    participant.open("phq9")
    participant.answer("Q1", "Nearly every day")
    participant.expect_step("Q2")
    before = participant.root.get_attribute("data-user-id")
    page.goto(f"{clinic.url}/")
    participant.open("phq9")
    open_panel(participant)
    page.get_by_role("button", name="Leave this device").click()
    page.get_by_role("button", name="Yes, leave").click()
    expect_heading(page, "This device is cleared")
    go_back(page)
    expect_heading(page, "Surveys")
    go_back(page)
    participant.expect_step("Q1")
    assert participant.root.get_attribute("data-user-id") not in {"", before}
    assert "Nearly every day" not in page.locator("#answers").inner_text()


def test_survey_continues_when_it_is_restored(page: Page, clinic: Clinic) -> None:
    """A half-typed answer is kept, and a restored page is loaded again, unless the device is offline."""
    participant = Participant(page.context, clinic.url)
    participant.page = page
    participant.open("phq9")
    participant.choose("Several days")
    page.goto(f"{clinic.url}/")
    go_back(page)
    participant.expect_step("Q1")
    expect(page.get_by_role("radio", name="Several days")).to_be_checked()
    participant.next()
    participant.expect_step("Q2")
