"""One gesture answers one step: double clicks and taps, keys that are held, and clicks without a gesture."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from tests.browser.participant import Participant
from tests.browser.test_audio import EAR, VOICE
from tests.conftest import Server
from tests.databases import create_sqlite

pytestmark = pytest.mark.browser

TYPES = {
    "info": "type: info",
    "text": "type: text, required: false",
    "number": "type: number, required: false",
    "date": "type: date, required: false",
    "boolean": "type: boolean, required: false",
    "choice": "type: choice, required: false, options: [A, B, C, D]",
    "choices": "type: choices, required: false, options: [A, B, C, D]",
    "scale": "type: scale, min: 0, max: 3, required: false",
    "time": "type: time, required: false",
    "datetime": "type: datetime, required: false",
    "month": "type: month, required: false",
    "email": "type: email, required: false",
    "phone": "type: phone, required: false",
    "ranking": "type: ranking, required: false, options: [A, B, C]",
    "dropdown": "type: choice, required: false, display: dropdown, options: [A, B, C, D]",
    "search": "type: choice, required: false, display: search, options: [A, B, C, D]",
}
"""By type of step: one that Next accepts without an answer."""


CLICK_TWICE = """() => {
  const next = document.getElementById("next");
  const { dataset } = document.getElementById("survey");
  next.click();
  if (dataset.step === "Q1") return false;
  next.click();
  return true;
}"""


@pytest.fixture(scope="module")
def surveys_of_types(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a survey for each type, which has four steps of it."""
    folder = tmp_path_factory.mktemp("gestures")
    surveys = folder / "surveys"
    surveys.mkdir()
    for name, fields in TYPES.items():
        steps = "".join(f"  - {{id: S{number}, prompt: Question {number}, {fields}}}\n" for number in range(1, 5))
        (surveys / f"{name}.yaml").write_text(f"id: {name}\ntitle: t\nlanguage: en\nsteps:\n{steps}")
    create_sqlite(folder / "sessions.db")
    server = Server(folder, surveys)
    server.start()
    yield server
    server.stop()


def button(participant: Participant, name: str) -> Locator:
    return participant.page.get_by_role("button", name=name, exact=True)


def middle(target: Locator) -> tuple[float, float]:
    """Return the middle of an element, in the viewport's coordinates."""
    box = target.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("name", TYPES)
def test_repeated_next_answers_one_step(
    new_context: Callable[..., BrowserContext], surveys_of_types: Server, name: str
) -> None:
    """Neither an answer nor a choice of the step that comes into view, for each type of step."""
    participant = Participant(new_context(has_touch=True), surveys_of_types.url)
    participant.open(name)
    for number, gesture in enumerate(("double click", "double tap", "triple click"), start=1):
        participant.expect_step(f"S{number}")
        x, y = middle(participant.page.locator("#next"))
        if gesture == "double tap":
            for _ in range(2):
                participant.page.touchscreen.tap(x, y)
        else:
            participant.page.mouse.click(x, y, click_count=2 if gesture == "double click" else 3)
        participant.expect_step(f"S{number + 1}")
        assert participant.page.locator("#step input:checked").count() == 0
        assert participant.answered(name) == [(f"S{answered}", None) for answered in range(1, number + 1)]


@pytest.mark.parametrize(
    ("name", "gesture"),
    [("Next", "double click"), ("Back", "double click"), ("Skip", "held Space"), ("Back", "held Enter")],
)
def test_repeated_press_moves_by_one_step_when_only_the_server_knows_the_next(
    participant: Participant, surveys_of_types: Server, context: BrowserContext, name: str, gesture: str
) -> None:
    """The step appears during the gesture, not at its beginning."""
    participant = Participant(context, surveys_of_types.url)
    participant.page.route("**/api/surveys/*", lambda route: route.abort())
    participant.open("text")
    for step in ("S1", "S2"):
        participant.write(step, "x")
    participant.expect_step("S3")
    pressed = button(participant, name)
    keyboard = participant.page.keyboard
    if gesture == "double click":
        pressed.dblclick()
    else:
        pressed.focus()
        for _ in range(5):
            keyboard.down(gesture.removeprefix("held "))
        keyboard.up(gesture.removeprefix("held "))
    participant.expect_step("S2" if name == "Back" else "S4")
    assert len(participant.events("text")) == 4


def test_held_enter_in_a_field_answers_one_step(context: BrowserContext, surveys_of_types: Server) -> None:
    participant = Participant(context, surveys_of_types.url)
    participant.open("number")
    participant.expect_step("S1")
    participant.type("7")
    participant.field().focus()
    for _ in range(5):
        participant.page.keyboard.down("Enter")
    participant.page.keyboard.up("Enter")
    participant.expect_step("S2")
    assert participant.answered("number") == [("S1", 7)]
    participant.field().focus()
    participant.page.keyboard.press("Enter")
    participant.expect_step("S3")


def test_click_that_began_before_the_step_came_into_view_is_ignored(
    context: BrowserContext, surveys_of_types: Server
) -> None:
    """Another tab answers while the button is down; the optional step that follows is not skipped."""
    participant, other = Participant(context, surveys_of_types.url), Participant(context, surveys_of_types.url)
    participant.open("date")
    participant.expect_step("S1")
    participant.page.mouse.move(*middle(participant.page.locator("#next")))
    participant.page.mouse.down()
    other.open("date")
    other.write("S1", "1980-05-03")
    participant.expect_step("S2")
    participant.page.mouse.up()
    participant.next()
    participant.expect_step("S3")
    assert participant.answered("date") == [("S1", "1980-05-03"), ("S2", None)]


def test_click_without_a_gesture_counts_alone(participant: Participant) -> None:
    """Assistive technology clicks without a pointer or key; a copy of a click, which some devices send, is ignored."""
    participant.open("phq9")
    participant.expect_step("Q1")
    participant.choose("Not at all")
    participant.page.wait_for_function(CLICK_TWICE, polling=1_000)  # milliseconds: more than within a double click
    participant.expect_step("Q2")
    expect(participant.page.locator("#problem-box")).to_be_hidden()
    assert participant.answered("phq9") == [("Q1", 0)]


def test_speech_that_is_reported_twice_answers_one_step(context: BrowserContext, surveys_of_types: Server) -> None:
    """The engine repeats its result after the step has changed."""
    participant = Participant(context, surveys_of_types.url)
    participant.page.add_init_script(VOICE + EAR)
    participant.open("choice")
    participant.page.get_by_role("button", name="Audio").click()
    for number in (1, 2):
        participant.expect_step(f"S{number}")
        expect(participant.page.locator("html")).to_have_attribute("data-listens", "yes")
        participant.page.evaluate("() => { window.repeat?.('skip'); window.repeat = window.say; window.say('skip'); }")
    participant.expect_step("S3")
    assert participant.answered("choice") == [("S1", None), ("S2", None)]


def test_double_click_does_not_confirm_what_it_has_just_asked(participant: Participant) -> None:
    """Start again appears where its confirmation comes into view."""
    participant.open("phq9")
    for number in range(1, 10):
        participant.answer(f"Q{number}", "Not at all")
    participant.expect_done()
    participant.page.evaluate(
        """() => {
            for (const id of ["restart", "restart-yes"]) {
              const { style } = document.getElementById(id);
              [style.position, style.top, style.left] = ["fixed", "0", "0"];
            }
        }"""
    )
    button(participant, "Start again").dblclick()
    expect(button(participant, "Yes, start again")).to_be_visible()
    participant.expect_done()
    assert participant.events("phq9", "restarted") == []
