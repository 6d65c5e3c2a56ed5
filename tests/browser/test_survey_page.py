"""The survey page on small screens, in its title and its notes, and on paper."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import DESK, PHONE, axe_violations, overflow, small_targets
from tests.browser.participant import Participant
from tests.browser.test_audio import DEAF_AND_DUMB, VOICE
from tests.conftest import Server

pytestmark = pytest.mark.browser

COMPOUND = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftsmitgliedsausweis"
LONG_WORD = "Berufsunfähigkeitszusatzversicherung"
ADDRESS = "https://example.org/a/path/without/any/space/or/hyphen/in/it"

SURVEY = f"""
id: small
title: {COMPOUND}
description: {ADDRESS}
language: da
steps:
  - {{id: word, type: choice, prompt: "{LONG_WORD} {COMPOUND}", options: ["{COMPOUND}", "{LONG_WORD}", "{ADDRESS}"]}}
  - {{id: words, type: choices, prompt: "{ADDRESS}", options: ["{COMPOUND}", "{LONG_WORD}"]}}
  - {{id: seven, type: scale, prompt: "Agree?", min: 1, max: 7, min_label: completely disagree, max_label: completely agree}}
  - {{id: eleven, type: scale, prompt: "Pain?", min: 0, max: 10, min_label: "{LONG_WORD}", max_label: the worst}}
  - {{id: born, type: date, prompt: "Born?", min: "1900-01-01", max: "2020-12-31"}}
  - {{id: last, type: number, prompt: "{COMPOUND}?", unit: km, min: 1, max: 9}}
"""

POINTS = """() => {
  const points = [...document.querySelectorAll("#step label.choice")].map((point) => point.getBoundingClientRect());
  const count = (edge) => new Set(points.map((point) => Math.round(point[edge]))).size;
  return [count("top"), count("left"), count("width")];
}"""
"""How many different tops, left edges and widths the points of a scale have."""


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with this survey and one in Arabic."""
    folder = tmp_path_factory.mktemp("small")
    surveys = folder / "surveys"
    surveys.mkdir()
    (surveys / "small.yaml").write_text(SURVEY, encoding="utf-8")
    arabic = 'id: arabic\ntitle: قبل\nlanguage: ar\nsteps:\n  - {id: S1, type: text, prompt: "ما"}\n'
    (surveys / "arabic.yaml").write_text(arabic, encoding="utf-8")
    server = Server(folder, surveys)
    server.start()
    yield server
    server.stop()


Open = Callable[..., Participant]


@pytest.fixture
def new_participant(small_server: Server, new_context: Callable[..., BrowserContext]) -> Open:
    """Open the survey as a new participant, with options of the browser's context."""

    def make(script: str = "", **options: Any) -> Participant:
        participant = Participant(new_context(**options), small_server.url)
        participant.page.add_init_script(script)
        participant.open("small")
        participant.expect_step("word")
        return participant

    return make


def double_text(page: Page) -> None:
    """Set text to twice its size."""
    page.evaluate("document.documentElement.style.fontSize = '225%'")


def walk(participant: Participant) -> Iterator[str]:
    """Answer each step, and yield its id while it is shown."""
    yield "word"
    participant.answer("word", COMPOUND)
    participant.expect_step("words")
    yield "words"
    participant.answer("words", COMPOUND, LONG_WORD)
    participant.expect_step("seven")
    yield "seven"
    participant.answer("seven", "4")
    participant.expect_step("eleven")
    yield "eleven"
    participant.answer("eleven", "10")
    participant.expect_step("born")
    participant.page.locator("#answers-panel summary").click()
    yield "answers"
    participant.write("born", "1980-05-03")
    participant.expect_step("last")
    yield "last"
    participant.write("last", "5")
    participant.expect_done()
    participant.page.locator("#done summary").click()
    yield "end"


@pytest.mark.parametrize("is_doubled", [False, True], ids=["text-100", "text-200"])
def test_page_never_scrolls_sideways_with_long_words(new_participant: Open, *, is_doubled: bool) -> None:
    """Words and addresses longer than the screen is wide are broken, at twice the text size too."""
    participant = new_participant(viewport=PHONE)
    page = participant.page
    if is_doubled:
        double_text(page)
    found = {}
    for step in walk(participant):
        outside = page.evaluate("""() => [...document.querySelectorAll("#survey *")]
          .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth)
          .map((element) => element.outerHTML.slice(0, 200))""")
        found[step] = overflow(page) + outside
    assert {step: problems for step, problems in found.items() if problems} == {}
    assert len(found) == 7


def test_list_of_surveys_never_scrolls_sideways(small_server: Server, context: BrowserContext) -> None:
    """The list names each survey's language as its speakers do."""
    page = context.new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(small_server.url)
    expect(page.locator("[data-survey-id=arabic] .hint bdi")).to_have_text("العربية")
    expect(page.locator("[data-survey-id=small] .hint bdi")).to_have_text("dansk")
    assert overflow(page) == []
    assert axe_violations(page) == []


@pytest.mark.parametrize(
    ("width", "seven", "eleven"),
    [(320, "column", "column"), (360, "row", "column"), (414, "row", "column"), (1280, "row", "row")],
)
def test_scale_is_one_row_or_one_column(new_participant: Open, width: int, seven: str, eleven: str) -> None:
    """The points have one size of at least 44 pixels, and the meaning of both ends stays beside them."""
    participant = new_participant(viewport={"width": width, "height": 740})
    page = participant.page

    def layout(count: int) -> str:
        rows, columns, widths = page.evaluate(POINTS)
        assert widths == 1
        assert (rows, columns) in {(1, count), (count, 1)}
        assert small_targets(page) == overflow(page) == axe_violations(page) == []
        return "row" if rows == 1 else "column"

    participant.answer("word", LONG_WORD)
    participant.answer("words", LONG_WORD)
    participant.expect_step("seven")
    assert layout(7) == seven
    participant.answer("seven", "1")
    participant.expect_step("eleven")
    assert layout(11) == eleven
    ends = [page.locator("#scale-low"), page.locator("#scale-high")]
    for end in ends:
        expect(end).to_be_visible(visible=eleven == "row")
    shown = page.evaluate("""() => [...document.querySelectorAll("#step label.choice")]
      .map((point) => getComputedStyle(point, "::after"))
      .map((style) => [style.content, parseFloat(style.width) > 0])""")
    assert [text for text, _ in shown if text != '""'] == [f'"{LONG_WORD}" / ""', '"the worst" / ""']
    assert [is_wide for _, is_wide in shown] == [eleven == "column"] * 11
    expect(page.get_by_role("radio").first).to_have_accessible_description(re.compile(f"0: {LONG_WORD}"))


def test_scale_turns_into_a_column_when_the_text_grows(new_participant: Open) -> None:
    """Numbers of twice the size do not fit a row that was wide enough before."""
    participant = new_participant(viewport={"width": 360, "height": 740})
    participant.answer("word", LONG_WORD)
    participant.answer("words", LONG_WORD)
    participant.expect_step("seven")
    assert participant.page.evaluate(POINTS)[0] == 1
    double_text(participant.page)
    expect(participant.page.locator("#scale-low")).to_be_hidden()
    assert participant.page.evaluate(POINTS)[:2] == [7, 1]


def test_title_names_the_step_and_the_error(new_participant: Open) -> None:
    """Tabs and screen readers tell the steps apart; no question or answer is in the browser's history."""
    participant = new_participant(viewport=DESK)
    page = participant.page
    name = f"{COMPOUND} · Stepkeep"
    expect(page).to_have_title(f"Step 1 of 6 · {name}")
    participant.next()
    expect(page).to_have_title(f"Error: Step 1 of 6 · {name}")
    participant.choose(LONG_WORD)
    expect(page).to_have_title(f"Step 1 of 6 · {name}")
    for step in walk(participant):
        if step == "seven":
            expect(page).to_have_title(f"Step 3 of 6 · {name}")
    expect(page).to_have_title(f"Completed · {name}")


def test_welcome_is_removed_when_the_step_changes(small_server: Server, context: BrowserContext) -> None:
    """The note names the step of the return, and another tab may continue from there."""
    first = Participant(context, small_server.url)
    first.open("small")
    first.answer("word", LONG_WORD)
    first.expect_step("words")
    second = Participant(context, small_server.url)
    second.open("small")
    welcome = second.page.locator("#resumed")
    expect(welcome).to_have_text("Welcome back. You are at step 2 of 6.")
    first.answer("words", LONG_WORD)
    second.expect_step("seven")
    expect(welcome).to_be_hidden()


def test_nothing_is_called_saved_before_there_is_an_answer(new_participant: Open) -> None:
    """Until then the page says that it is connected."""
    participant = new_participant()
    text = participant.page.locator("#save-text")
    expect(text).to_have_text("Connected")
    participant.answer("word", LONG_WORD)
    participant.expect_step("words")
    expect(text).to_have_text("Saved")
    participant.back()
    participant.expect_step("word")
    expect(text).to_have_text("Saved")


def test_progress_is_visible_in_forced_colors(new_participant: Open) -> None:
    """Its edge has another colour than the page; so has the filled part, whose style scripts can't read."""
    participant = new_participant(forced_colors="active")
    bar, body, width = participant.page.evaluate("""() => {
      const [bar, body] = ["#progress", "body"].map((one) => getComputedStyle(document.querySelector(one)));
      return [bar.borderTopColor, body.backgroundColor, parseFloat(bar.borderTopWidth)];
    }""")
    assert bar != body
    assert width >= 1


def test_buttons_and_states_are_visible_in_forced_colors(new_participant: Open) -> None:
    """A pressed button, and what is saved; a quiet button has no edge that would cover the progress."""
    page = new_participant(forced_colors="active").page
    background = "(element) => getComputedStyle(element).backgroundColor"
    released = page.locator("#audio").evaluate(background)
    page.locator("#audio").click()
    expect(page.locator("#audio")).to_have_attribute("aria-pressed", "true")
    assert page.locator("#audio").evaluate(background) != released
    expect(page.locator("#survey")).to_have_attribute("data-save", "saved")
    assert page.locator("#save .dot").evaluate(background) != page.locator("body").evaluate(background)
    edge = page.locator("#back").evaluate("(element) => getComputedStyle(element).borderTopColor")
    assert edge == page.locator("body").evaluate(background)


def test_edit_stands_below_the_answer_when_the_text_grows(new_participant: Open) -> None:
    """Beside it, long words would be cut into pieces."""
    participant = new_participant(viewport=PHONE)
    page = participant.page
    participant.answer("word", LONG_WORD)
    participant.expect_step("words")
    page.locator("#answers-panel summary").click()
    below = """() => {
      const [answer, action] = [".answer", ".action"].map((name) => document.querySelector(`#answers ${name}`).getBoundingClientRect());
      return action.top >= answer.bottom;
    }"""
    assert page.evaluate(below) is False
    double_text(page)
    assert page.evaluate(below) is True
    assert overflow(page) == []


def test_range_of_dates_is_shown_before_an_error(new_participant: Open) -> None:
    """The hint describes the field."""
    participant = new_participant()
    participant.answer("word", LONG_WORD)
    participant.answer("words", LONG_WORD)
    participant.answer("seven", "1")
    participant.answer("eleven", "1")
    participant.expect_step("born")
    hint = "A date from 1. januar 1900 to 31. december 2020."
    expect(participant.page.locator("#hint")).to_have_text(hint)
    expect(participant.field()).to_have_accessible_description(hint)


def test_answers_can_be_printed_at_the_end(new_participant: Open, tmp_path: Path) -> None:
    """Paper shows the title, a reference and every answer, and none of the page's controls."""
    participant = new_participant("window.print = () => { document.documentElement.dataset.printed = 'yes'; };")
    page = participant.page
    for _ in walk(participant):
        pass
    reference = page.locator("#reference")
    expect(reference).to_have_text(participant.user_id())
    page.locator("#done summary").click()  # closed again
    page.get_by_role("button", name="Print or save your answers").click()
    expect(page.locator("html")).to_have_attribute("data-printed", "yes")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#done-answers .answered")).to_have_count(6)
    expect(page.locator("#done-answers")).to_be_visible()
    expect(reference).to_be_visible()
    for element in ("header", "#done button", "#device", ".bar", ".skip-link"):
        for found in page.locator(element).all():
            expect(found).to_be_hidden()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#done-answers")).to_be_hidden()


def test_buttons_of_a_voice_are_hidden_when_there_is_none(new_participant: Open) -> None:
    """Neither is shown where it could do nothing."""
    participant = new_participant(DEAF_AND_DUMB)
    participant.page.get_by_role("button", name="Audio").click()
    expect(participant.page.locator("#voice-note")).to_contain_text("can't read aloud")
    for name in ("Read again", "Answer by voice"):
        expect(participant.page.get_by_role("button", name=name)).to_be_hidden()


REFUSED_EAR = """
window.SpeechRecognition = class {
  start() { queueMicrotask(() => this.onerror({error: "not-allowed"})); }
  abort() {}
};
"""


def test_button_of_a_refused_microphone_is_hidden(new_participant: Open) -> None:
    """Turning audio off and on again asks once more."""
    participant = new_participant(VOICE + REFUSED_EAR)
    toggle = participant.page.get_by_role("button", name="Audio")
    answer = participant.page.get_by_role("button", name="Answer by voice")
    toggle.click()
    expect(participant.page.locator("#voice-note")).to_contain_text("microphone is not allowed")
    expect(answer).to_be_hidden()
    expect(participant.page.get_by_role("button", name="Read again")).to_be_visible()
    participant.answer("word", LONG_WORD)
    participant.expect_step("words")
    expect(answer).to_be_hidden()
