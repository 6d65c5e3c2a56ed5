"""Accessibility: keyboard, screen reader, small screens, dark mode, restricted browsers."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.participant import Participant, RunningServer

pytestmark = pytest.mark.browser


def every_view(participant: Participant, url: str) -> Iterator[str]:
    """Open each view of the survey's pages, and yield its name."""
    page = participant.page
    page.goto(url)
    yield "the list"
    page.goto(f"{url}/s/nothing")
    yield "no survey"
    participant.open("intake")
    yield from every_step(participant)
    page.locator("#done summary").click()
    page.get_by_role("button", name="Start again", exact=True).click()
    yield "the end"


def every_step(participant: Participant) -> Iterator[str]:
    """Take the intake survey to its end."""
    participant.expect_step("S1")
    yield "info"
    participant.next()
    participant.expect_step("S2")
    yield "date"
    participant.write("S2", "1980-05-03")
    participant.expect_step("S3")
    yield "choice"
    participant.answer("S3", "A new problem")
    participant.expect_step("S4")
    yield "text"
    participant.write("S4", "knee " * 300)
    participant.expect_step("S5")
    yield "scale"
    participant.answer("S5", "10")
    participant.expect_step("S6")
    yield "choices"
    participant.answer("S6", "Rest")
    participant.expect_step("S8")
    yield from every_step_after_the_symptoms(participant)


def every_step_after_the_symptoms(participant: Participant) -> Iterator[str]:
    """Take the intake survey from its number step to its end, with everything that surrounds a step."""
    page = participant.page
    participant.write("S8", "500")
    expect(page.locator("#problem-box")).to_be_visible()
    yield "a problem with a number"
    participant.write("S8", "72")
    participant.expect_step("S9")
    page.locator("#answers-panel summary").click()
    page.get_by_role("button", name="Audio").click()
    expect(page.locator("#voice")).to_be_visible()
    yield "answers and audio"
    page.get_by_role("button", name="Audio").click()
    participant.answer("S9", "No")
    participant.expect_step("S11")
    participant.skip()
    participant.expect_step("S12")
    participant.next()
    participant.expect_done()


@in_every_appearance
def test_views_are_accessible_when_axe_checks_them(
    new_context: Callable[..., BrowserContext], server: RunningServer, scheme: str, viewport: dict[str, int]
) -> None:
    """No view has an axe-core violation, scrolls horizontally or has a small target."""
    context = new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    participant = Participant(context, server.url)
    assert_accessible(participant.page, every_view(participant, server.url))


def test_survey_is_completed_when_only_a_keyboard_is_used(participant: Participant) -> None:
    """Tab, arrows, Space and Enter are enough, and each new question is focused."""
    participant.open("phq9")
    keyboard = participant.page.keyboard
    participant.expect_step("Q1")
    participant.heading.focus()
    for number in range(1, 10):
        participant.expect_step(f"Q{number}")
        expect(participant.heading).to_be_focused()
        keyboard.press("Tab")
        expect(participant.page.get_by_role("radio").first).to_be_focused()
        keyboard.press("Space")
        keyboard.press("ArrowDown")
        expect(participant.page.get_by_role("radio", name="Several days")).to_be_checked()
        keyboard.press("Enter")
    participant.expect_step("help")
    expect(participant.heading).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Enter")
    participant.expect_step("Q10")
    expect(participant.heading).to_be_focused()
    for key in ("Tab", "Space", "Tab"):
        keyboard.press(key)
    expect(participant.page.locator("#next")).to_be_focused()
    keyboard.press("Enter")
    participant.expect_done()
    expect(participant.page.get_by_role("heading", name="Thank you")).to_be_focused()


def test_page_goes_back_when_back_is_pressed_by_keyboard(participant: Participant) -> None:
    """Back is before the question in tab order; the earlier answer is checked, and Enter continues."""
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.expect_step("Q2")
    participant.page.keyboard.press("Shift+Tab")
    expect(participant.page.get_by_role("button", name="Back", exact=True)).to_be_focused()
    participant.page.keyboard.press("Enter")
    participant.expect_step("Q1")
    participant.page.keyboard.press("Tab")
    expect(participant.page.get_by_role("radio", name="Several days")).to_be_focused()
    participant.page.keyboard.press("Enter")
    participant.expect_step("Q2")


def test_page_requests_nothing_from_other_hosts(participant: Participant, server: RunningServer) -> None:
    """The page loads everything from its own server, and the console has no errors."""
    hosts: set[str] = set()
    errors: list[str] = []
    participant.page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    participant.page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).netloc))
    participant.page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    participant.page.on("pageerror", lambda error: errors.append(str(error)))
    participant.page.goto(server.url)
    participant.page.get_by_role("link", name="Open: Patient Health Questionnaire (PHQ-9)").click()
    participant.answer("Q1", "Several days")
    participant.expect_step("Q2")
    assert hosts == {urlsplit(server.url).netloc}
    assert errors == []


@pytest.mark.parametrize(
    "missing",
    [
        "Object.defineProperty(window, 'indexedDB', {value: undefined})",
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('forbidden'); }})",
        "delete Crypto.prototype.randomUUID",
    ],
    ids=["no IndexedDB", "no storage", "no randomUUID"],
)
def test_survey_works_when_the_browser_lacks_a_feature(participant: Participant, missing: str) -> None:
    """The survey works in restricted browsers and over plain http."""
    participant.page.add_init_script(missing)
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.answer("Q2", "Several days")
    participant.expect_step("Q3")


def test_page_links_to_the_surveys_when_there_is_no_such_survey(
    participant: Participant, server: RunningServer
) -> None:
    """An outdated link opens a page that links to the surveys."""
    response = participant.page.goto(f"{server.url}/s/nothing")
    assert response is not None
    assert response.status == 404
    participant.page.get_by_role("link", name="See the surveys").click()
    expect(participant.page.get_by_role("heading", name="Surveys")).to_be_visible()
