"""What pages and grids look like: every type, many rows and columns, in each appearance, with problems and read back."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.accessibility import DESK, PHONE, assert_accessible
from tests.browser.participant import Participant
from tests.browser.test_survey_page import double_text
from tests.conftest import Server

pytestmark = pytest.mark.browser

LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
ROWS = "\n".join(
    f"      - {{id: r{n}, label: {{en: '{label}', ar: 'صعوبة في النوم {n}', he: 'קשיי שינה {n}'}}}}"
    for n, label in enumerate(["Sleep", "Trouble concentrating on the newspaper or television", LONG_WORD, *"ABCDEFG"])
)
SURVEY = f"""
id: gallery
title: {{en: Before your visit, ar: قبل زيارتك, he: לפני הביקור שלך}}
language: en
languages: [en, ar, he]
steps:
  - id: every
    type: page
    prompt: {{en: About you, ar: معلومات عنك, he: על עצמך}}
    help: As of today.
    fields:
      - {{id: intro, type: info, prompt: {{en: Read this first, ar: اقرأ هذا أولاً, he: נא לקרוא קודם}}, help: It is short.}}
      - {{id: name, type: text, prompt: {{en: Name, ar: الاسم, he: שם}}, max_length: 80, placeholder: Ada}}
      - {{id: story, type: text, prompt: "What happened?", required: false}}
      - {{id: height, type: number, prompt: Height, min: 0.4, max: 2.6, unit: m}}
      - {{id: pain, type: scale, prompt: Pain, min: 0, max: 10, min_label: none, max_label: the worst}}
      - {{id: mood, type: scale, prompt: Mood, min: 0, max: 100, min_label: low, max_label: high}}
      - {{id: born, type: date, prompt: Date of birth}}
      - {{id: woke, type: time, prompt: "When did you wake up?"}}
      - {{id: fell, type: datetime, prompt: "When did you fall?"}}
      - {{id: since, type: month, prompt: "Since which month?"}}
      - {{id: smokes, type: boolean, prompt: "Do you smoke?"}}
      - {{id: many, type: number, prompt: "How many a day?", integer: true, show_if: answers.smokes}}
      - {{id: mail, type: email, prompt: Email}}
      - {{id: phone, type: phone, prompt: Phone, required: false}}
      - {{id: why, type: choice, prompt: "Why?", options: [{LONG_WORD}, {{value: other, label: Else, other: true}}]}}
      - {{id: heard, type: choice, prompt: "From?", display: dropdown, options: [Friend, Doctor, Web]}}
      - {{id: city, type: choice, prompt: City, display: search, options: [Berlin, Bonn, Bremen]}}
      - {{id: size, type: choice, prompt: Size, display: buttons, options: [S, M, L]}}
      - {{id: tried, type: choices, prompt: Tried, options: [Rest, {{value: none, label: None, exclusive: true}}]}}
      - {{id: matters, type: ranking, prompt: "What matters?", options: [Sleep, {LONG_WORD}, Sport]}}
  - id: ten
    type: grid
    prompt: {{en: "How often?", ar: كم مرة؟, he: באיזו תדירות}}
    help: One answer in each row.
    rows:
{ROWS}
    options: [Never, {{value: 1, label: More than half the days}}, Nearly every day, Always, {LONG_WORD[:30]}]
  - id: eleven
    type: grid
    prompt: {{en: "How strong is the pain?", ar: ما مدى قوة الألم؟, he: כמה חזק}}
    rows: [{{id: a, label: On the left}}, {{id: b, label: On the right}}]
    options: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
  - id: several
    type: grid
    prompt: What did you try?
    multiple: true
    rows: [{{id: night, label: At night}}, {{id: day, label: By day}}]
    options: [Tea, Exercise, Something else entirely]
  - {{id: last, type: info, prompt: One more thing}}
end: [{{title: Thank you, summary: true}}]
"""


def part(page: Page, name: str) -> Locator:
    return page.locator(f"[data-part={name}]")


def fill(page: Page) -> None:
    """Answer each field of the page."""
    texts = {"name": "Ada", "height": "1.7", "mood": "40", "many": "5", "mail": "ann@example.org"}
    part(page, "smokes").get_by_role("radio").first.check()
    for name, text in texts.items():
        part(page, name).locator("input").last.fill(text)
    moments = {"born": "1984-02-29", "woke": "07:30", "fell": "2026-01-01T10:00", "since": "2020-02"}
    for name, text in moments.items():
        part(page, name).locator("input").fill(text)
    for name in ("pain", "size", "tried"):
        part(page, name).locator("input").first.check()
    part(page, "why").get_by_role("radio").last.check()
    part(page, "heard").locator("select").select_option("Friend")
    part(page, "city").get_by_role("combobox").fill("Bonn")
    part(page, "city").get_by_role("option").first.click()
    part(page, "matters").get_by_role("button").last.click()


def states(participant: Participant, change: Callable[[], None]) -> Iterator[str]:
    """Answer the whole survey; ``change`` is called at each state before it is yielded."""

    def shown(state: str) -> str:
        change()
        return state

    page = participant.page
    yield shown("page")
    participant.next()
    yield shown("page with problems")
    fill(page)
    yield shown("page with answers")
    for grid in ("ten", "eleven", "several"):
        participant.next()
        participant.expect_step(grid)
        yield shown(grid)
        participant.next()
        yield shown(f"{grid} with problems")
        for row in page.locator(".grid-row:not(.grid-head)").all():
            row.locator("input").last.check()
        yield shown(f"{grid} with answers")
    participant.next()
    participant.expect_step("last")
    page.locator("#answers-panel summary").click()
    yield shown("list of answers")
    participant.next()
    participant.expect_step("end")
    yield shown("summary")


def appearance(name: str, language: str = "en", *, is_large: bool = False, is_long: bool = True, **options: Any) -> Any:
    marks = [pytest.mark.long] if is_long else []
    return pytest.param(language, is_large, options, id=name, marks=marks)


@pytest.mark.parametrize(
    ("language", "is_large", "options"),
    [
        appearance("desk", viewport=DESK, is_long=False),
        appearance("phone-dark-arabic", "ar", viewport=PHONE, color_scheme="dark", is_long=False),
        appearance("phone-large-text", viewport=PHONE, is_large=True),
        appearance("desk-large-text-arabic", "ar", viewport=DESK, is_large=True),
        appearance("desk-dark-hebrew", "he", viewport=DESK, color_scheme="dark"),
        appearance("phone-forced-colours", viewport=PHONE, forced_colors="active"),
        appearance("desk-forced-colours", viewport=DESK, forced_colors="active"),
    ],
)
def test_pages_and_grids_are_accessible_in_every_state(
    language: str, is_large: bool, options: Any, server: Server, new_context: Callable[..., BrowserContext]
) -> None:
    """All types of fields, ten rows, eleven options, several options a row: no small target, nothing scrolls sideways."""
    participant = Participant(new_context(**options), server.url)
    participant.open("gallery", lang=language)
    participant.expect_step("every")
    change = (lambda: double_text(participant.page)) if is_large else (lambda: None)
    is_forced = "forced_colors" in options
    assert_accessible(participant.page, states(participant, change), has_forced_colours=is_forced)


@pytest.fixture
def done(participant: Participant) -> Page:
    """The page of a participant who has answered everything."""
    participant.open("gallery")
    for _ in states(participant, lambda: None):
        pass
    return participant.page


def test_everything_of_a_page_is_on_paper(done: Page) -> None:
    """Also what was only read; the answer beside its label."""
    done.emulate_media(media="print")
    every = done.locator('#done-answers > [data-step="every"]')
    expect(every.locator('[data-step="intro"]')).to_be_visible()
    expect(every.locator('[data-step="intro"]')).to_contain_text("It is short.")
    expect(every.locator('[data-step="story"] dd')).to_have_text("Skipped")
    label, answer = (every.locator('[data-step="height"]').locator(tag).bounding_box() for tag in ("dt", "dd"))
    assert label is not None
    assert answer is not None
    assert answer["x"] > label["x"] + 100
    expect(done.locator('#done-answers [data-step="r0"] dd')).to_contain_text(LONG_WORD[:30])


def test_short_options_of_a_wide_grid_are_in_one_row(participant: Participant) -> None:
    """On a desk, as those of a scale; eleven of them would not fit into a table beside the labels."""
    participant.open("gallery")
    walk = states(participant, lambda: None)
    while next(walk) != "eleven":
        pass
    row = participant.page.get_by_role("radiogroup", name="On the left")
    boxes = [tile.bounding_box() for tile in row.locator(".choice").all()]
    assert len({box["y"] for box in boxes if box is not None}) == 1
    row.get_by_role("radio", name="7").focus()
    participant.page.keyboard.press("ArrowRight")
    expect(row.get_by_role("radio", name="8")).to_be_checked()


def test_problem_of_a_row_with_several_options_is_read_with_each(participant: Participant) -> None:
    participant.open("gallery")
    walk = states(participant, lambda: None)
    while next(walk) != "several with problems":
        pass
    row = participant.page.get_by_role("group", name="By day")
    for box in row.get_by_role("checkbox").all():
        expect(box).to_have_accessible_description("Please choose an answer to continue.")
        expect(box).to_have_attribute("aria-invalid", "true")
    row.get_by_role("checkbox", name="Tea").check()
    expect(row.get_by_role("checkbox", name="Exercise")).not_to_have_attribute("aria-invalid", "true")
