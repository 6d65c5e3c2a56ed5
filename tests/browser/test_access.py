"""For everybody: keyboard, screen reader, small screens, dark rooms, old and locked-down browsers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.participant import Participant, RunningServer

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
PHONE = {"width": 360, "height": 740}


def violations(page: Page) -> list[str]:
    """Return what axe-core has to say against the page, best practices included."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


def fits(page: Page) -> bool:
    """Whether the page needs no scrolling to the side."""
    wide: bool = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    return wide


def every_view(participant: Participant, url: str) -> Iterator[str]:
    """Walk through the page's views, and give the name of each when it is seen."""
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
    """Walk the intake to its end."""
    participant.is_at("S1")
    yield "info"
    participant.next()
    participant.is_at("S2")
    yield "date"
    participant.write("S2", "1980-05-03")
    participant.is_at("S3")
    yield "choice"
    participant.answer("S3", "A new problem")
    participant.is_at("S4")
    yield "text"
    participant.write("S4", "knee " * 300)
    participant.is_at("S5")
    yield "scale"
    participant.answer("S5", "10")
    participant.is_at("S6")
    yield "choices"
    participant.answer("S6", "Rest")
    participant.is_at("S8")
    yield from every_step_after_the_symptoms(participant)


def every_step_after_the_symptoms(participant: Participant) -> Iterator[str]:
    """Walk the intake from its number to its end, with what can be shown around a step."""
    page = participant.page
    participant.write("S8", "500")
    expect(page.locator("#problem-box")).to_be_visible()
    yield "a problem with a number"
    participant.write("S8", "72")
    participant.is_at("S9")
    page.locator("#answers-panel summary").click()
    page.get_by_role("button", name="Audio").click()
    expect(page.locator("#voice")).to_be_visible()
    yield "answers and audio"
    page.get_by_role("button", name="Audio").click()
    participant.answer("S9", "No")
    participant.is_at("S11")
    participant.skip()
    participant.is_at("S12")
    participant.next()
    participant.is_done()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 800}, PHONE], ids=["desk", "phone"])
def test_views_are_accessible_when_axe_looks_at_them(
    new_context: Callable[..., BrowserContext], server: RunningServer, scheme: str, viewport: dict[str, int]
) -> None:
    """No view has a violation that axe-core knows, in light and dark, and none scrolls to the side."""
    context = new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    participant = Participant(context, server.url)
    found: dict[str, list[str]] = {}
    for name in every_view(participant, server.url):
        found[name] = violations(participant.page)
        if not fits(participant.page):
            found[name].append("scrolls to the side")
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_survey_is_walked_when_there_is_only_a_keyboard(participant: Participant) -> None:
    """Tab, arrows, space and Enter are enough, and each new question takes the focus."""
    participant.open("phq9")
    keyboard = participant.page.keyboard
    participant.is_at("Q1")
    participant.heading.focus()
    for number in range(1, 10):
        participant.is_at(f"Q{number}")
        expect(participant.heading).to_be_focused()
        keyboard.press("Tab")
        expect(participant.page.get_by_role("radio").first).to_be_focused()
        keyboard.press("Space")
        keyboard.press("ArrowDown")
        expect(participant.page.get_by_role("radio", name="Several days")).to_be_checked()
        keyboard.press("Enter")
    participant.is_at("Q10")
    expect(participant.heading).to_be_focused()
    for key in ("Tab", "Space", "Tab"):
        keyboard.press(key)
    expect(participant.page.locator("#next")).to_be_focused()
    keyboard.press("Enter")
    participant.is_done()
    expect(participant.page.get_by_role("heading", name="Thank you")).to_be_focused()


def test_keyboard_goes_back_when_back_is_tabbed_to(participant: Participant) -> None:
    """Back stands before the question; the earlier answer is there, and Enter goes on from it."""
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.is_at("Q2")
    participant.page.keyboard.press("Shift+Tab")
    expect(participant.page.get_by_role("button", name="Back", exact=True)).to_be_focused()
    participant.page.keyboard.press("Enter")
    participant.is_at("Q1")
    participant.page.keyboard.press("Tab")
    expect(participant.page.get_by_role("radio", name="Several days")).to_be_focused()
    participant.page.keyboard.press("Enter")
    participant.is_at("Q2")


def test_targets_are_large_enough_when_touched(
    new_context: Callable[..., BrowserContext], server: RunningServer
) -> None:
    """Everything that is pressed is at least 44 pixels high and wide on a phone."""
    participant = Participant(new_context(viewport=PHONE), server.url)
    small: list[str] = []
    for name in every_view(participant, server.url):
        small += participant.page.evaluate(
            """(view) => [...document.querySelectorAll("button, a, summary, label.choice, #answer")]
                .filter((element) => element.checkVisibility() && !element.matches(".skip-link"))
                .filter((element) => Math.min(element.offsetWidth, element.offsetHeight) < 44)
                .map((element) => `${view}: ${element.outerHTML}`)""",
            name,
        )
    assert small == []


def test_page_asks_no_other_host_when_a_survey_is_taken(participant: Participant, server: RunningServer) -> None:
    """All that the page loads comes from the server; and nothing is logged as an error."""
    asked: set[str] = set()
    errors: list[str] = []
    participant.page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    participant.page.on("websocket", lambda socket: asked.add(urlsplit(socket.url).netloc))
    participant.page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    participant.page.on("pageerror", lambda error: errors.append(str(error)))
    participant.page.goto(server.url)
    participant.page.get_by_role("link", name="Open: Patient Health Questionnaire (PHQ-9)").click()
    participant.answer("Q1", "Several days")
    participant.is_at("Q2")
    assert asked == {urlsplit(server.url).netloc}
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
def test_survey_is_taken_when_the_browser_lacks_something(participant: Participant, missing: str) -> None:
    """Locked-down browsers and plain http on a clinic's network still take the survey."""
    participant.page.add_init_script(missing)
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.answer("Q2", "Several days")
    participant.is_at("Q3")


def test_not_found_is_said_kindly_when_there_is_no_such_survey(participant: Participant, server: RunningServer) -> None:
    """An old link leads to a page that leads on."""
    response = participant.page.goto(f"{server.url}/s/nothing")
    assert response is not None
    assert response.status == 404
    participant.page.get_by_role("link", name="See the surveys").click()
    expect(participant.page.get_by_role("heading", name="Surveys")).to_be_visible()
