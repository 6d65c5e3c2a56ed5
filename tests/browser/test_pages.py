"""Pages and grids: several questions with one Next, and what is wrong with each."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.accessibility import assert_accessible, in_every_appearance, overflow
from tests.browser.one_survey import serve
from tests.browser.participant import Participant
from tests.browser.test_audio import EAR, VOICE, hear
from tests.browser.test_survey_page import double_text
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: intake
title: Before your visit
language: en
languages: [en, ar]
steps:
  - {id: sex, type: choice, prompt: "Sex?", options: [{value: f, label: Female}, {value: m, label: Male}]}
  - id: body
    type: page
    prompt: About you
    help: As of today.
    fields:
      - {id: height, type: number, prompt: Height, min: 0.4, max: 2.6, unit: m}
      - {id: weight, type: number, prompt: Weight, min: 1, max: 400, unit: kg, help: With clothes.}
      - {id: pregnant, type: boolean, prompt: "Pregnant?", show_if: 'answers.sex == "f"'}
      - {id: week, type: number, prompt: "Which week?", integer: true, show_if: answers.pregnant}
      - {id: note, type: text, prompt: "Anything else?", required: false, default: no}
    check:
      - {that: answers.weight > answers.height, message: Please look at the units.}
  - id: days
    type: grid
    prompt: How often?
    rows: [{id: sleep, label: Trouble sleeping}, {id: energy, label: Little energy}]
    options: [{value: 0, label: Not at all}, {value: 1, label: Several days}, {value: 2, label: Nearly every day}]
  - id: where
    type: grid
    prompt: Where does it hurt?
    required: false
    multiple: true
    rows: [{id: left, label: On the left}, {id: right, label: On the right}]
    options: [arm, leg]
  - {id: last, type: info, prompt: Thank you.}
"""


@pytest.fixture(scope="module")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("pages"), SURVEY) as server:
        yield server


@pytest.fixture
def ann(context: BrowserContext, intake: Server) -> Participant:
    """A participant at the page."""
    return begin(Participant(context, intake.url), "Female")


def begin(participant: Participant, sex: str, **query: str) -> Participant:
    participant.open("intake", **query)
    participant.answer("sex", sex)
    participant.expect_step("body")
    return participant


def part(participant: Participant, name: str) -> Locator:
    return participant.page.locator(f"[data-part={name}]")


def read_back(page: Page, step: str) -> dict[str, str]:
    """Return the answers in the list in view, by the label of the field or row."""
    rows = page.locator(f'[data-step="{step}"] .answered-parts .answered:visible')
    rows.first.wait_for()
    return {row.locator("dt").inner_text(): row.locator("dd").inner_text() for row in rows.all()}


def type_into(participant: Participant, **texts: str) -> None:
    for name, text in texts.items():
        part(participant, name).get_by_role("textbox").fill(text)


def pass_body(participant: Participant) -> None:
    type_into(participant, height="1.8", weight="80")
    part(participant, "pregnant").get_by_label("No").check()
    participant.next()
    participant.expect_step("days")


def test_page_is_answered_with_one_answer(ann: Participant) -> None:
    """The fields have the controls of their types, defaults, units and names of their own."""
    page = ann.page
    expect(page.get_by_role("group", name="About you")).to_contain_text("As of today.")
    expect(page.locator(".part:visible h2[aria-level='3']")).to_have_text(
        ["Height", "Weight", "Pregnant?", "Anything else? (optional)"]
    )
    expect(page.get_by_role("textbox", name="Weight")).to_have_accessible_description(
        re.compile(r"With clothes\..* kg")
    )
    expect(page.get_by_role("textbox", name="Anything else?")).to_have_value("no")
    expect(page.locator("#skip")).to_be_hidden()
    pass_body(ann)
    body = {"height": 1.8, "weight": 80, "pregnant": False, "week": None, "note": "no"}
    assert ann.answered("intake")[1:] == [("body", {name: body[name] for name in body if name != "week"})]
    page.locator("#answers-panel summary").click()
    assert read_back(page, "body") == {"Height": "1.8 m", "Weight": "80 kg", "Pregnant?": "No", "Anything else?": "no"}


def test_field_appears_as_what_it_reads_is_entered(ann: Participant) -> None:
    """At once; what was entered in it comes back with it, and is not sent while it is hidden."""
    week = part(ann, "week")
    expect(week).to_be_hidden()
    part(ann, "pregnant").get_by_label("Yes").check()
    expect(week).to_be_visible()
    type_into(ann, height="1.8", weight="80", week="12")
    part(ann, "pregnant").get_by_label("No").check()
    expect(week).to_be_hidden()
    part(ann, "pregnant").get_by_label("Yes").check()
    expect(week.get_by_role("textbox")).to_have_value("12")
    part(ann, "pregnant").get_by_label("No").check()
    ann.next()
    ann.expect_step("days")
    assert "week" not in ann.answered("intake")[1][1]


def test_every_problem_is_beside_its_field_and_in_the_summary(ann: Participant) -> None:
    """Those that the page finds, and those of the server; a link leads to the field; typing there clears its own only."""
    page = ann.page
    type_into(ann, height="180", weight="80")
    ann.next()
    summary = page.locator("#error-summary")
    expect(summary).to_be_focused()
    expect(summary.get_by_role("link")).to_have_text(
        [
            "Please check the answers that are marked.",
            "Height: Please enter a number from 0.4 to 2.6.",
            "Pregnant? Please choose an answer to continue.",
        ]
    )
    expect(page).to_have_title(re.compile("^Error: "))
    expect(page.get_by_role("textbox", name="Height")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("textbox", name="Height")).to_have_accessible_description(re.compile("from 0.4 to 2.6.$"))
    summary.get_by_role("link", name=re.compile("^Height")).click()
    expect(page.get_by_role("textbox", name="Height")).to_be_focused()
    type_into(ann, height="1.8")
    expect(part(ann, "height").locator(".part-problem")).to_be_hidden()
    expect(part(ann, "pregnant").locator(".part-problem")).to_be_visible()
    part(ann, "pregnant").get_by_label("No").check()
    expect(summary).to_be_hidden()
    expect(page).not_to_have_title(re.compile("^Error: "))
    type_into(ann, weight="1.2")
    ann.next()
    expect(page.locator("#problem")).to_have_text("Please look at the units.")


def test_refused_fields_are_marked(ann: Participant) -> None:
    """What only the server knows."""
    refusal = {"type": "reject", "code": "invalid_answer", "message": "Please check.", "step": None}

    def refuse(message: dict[str, object], reply: Callable[[dict[str, object]], None]) -> bool:
        if message["type"] == "answer" and message["step"] == "body":
            reply({**refusal, "id": message["id"], "fields": {"weight": "Too much.", "week": "Needed."}})
            return False
        return True

    ann.intercept(refuse)
    ann.page.reload()
    ann.expect_step("body")
    type_into(ann, height="1.8", weight="80")
    part(ann, "pregnant").get_by_label("No").check()
    ann.next()
    expect(part(ann, "weight").locator(".part-problem")).to_have_text("Too much.")
    expect(part(ann, "week").locator(".part-problem")).to_have_text("Needed.")
    expect(ann.page.locator("#error-link")).to_have_text("Please check.")


def test_half_filled_page_survives_the_tab(ann: Participant, context: BrowserContext, intake: Server) -> None:
    """As typed, however wrong, in another tab and on another device."""
    type_into(ann, height="1.8", weight="lots", note="")
    ann.expect_step("body")
    ann.close()
    again = Participant(context, intake.url)
    again.open("intake")
    again.expect_step("body")
    for name, text in {"height": "1.8", "weight": "lots", "note": ""}.items():
        expect(part(again, name).get_by_role("textbox")).to_have_value(text)


def test_grid_is_answered_row_by_row(ann: Participant) -> None:
    """By keyboard; a row without an option is named."""
    pass_body(ann)
    page = ann.page
    sleep = page.get_by_role("radiogroup", name="Trouble sleeping")
    sleep.get_by_role("radio", name="Not at all").focus()
    page.keyboard.press("ArrowDown")
    expect(sleep.get_by_role("radio", name="Several days")).to_be_checked()
    ann.next()
    expect(page.locator("#error-summary").get_by_role("link")).to_have_text(
        [
            "Please check the answers that are marked.",
            "Little energy: Please choose an answer to continue.",
        ]
    )
    expect(page.get_by_role("radiogroup", name="Little energy")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("radiogroup", name="Little energy").get_by_role("radio", name="Nearly every day").check()
    ann.next()
    ann.expect_step("where")
    left = page.get_by_role("group", name="On the left")
    for option in ("arm", "leg"):
        left.get_by_role("checkbox", name=option).check()
    ann.next()
    ann.expect_step("last")
    assert ann.answered("intake")[2:] == [
        ("days", {"sleep": 1, "energy": 2}),
        ("where", {"left": ["arm", "leg"], "right": None}),
    ]
    ann.next()
    ann.expect_step("end")
    page.locator("#done-answers").locator("xpath=..").locator("summary").click()
    assert read_back(page, "days") == {"Trouble sleeping": "Several days", "Little energy": "Nearly every day"}


def is_table(page: Page) -> bool:
    """Whether the options of a row stand beside its label."""
    label, option = page.locator(".grid-row:not(.grid-head)").first.locator("> *").all()[:2]
    first, second = label.bounding_box(), option.bounding_box()
    assert first is not None
    assert second is not None
    return second["y"] < first["y"] + first["height"]


def test_grid_is_a_table_where_it_fits(ann: Participant) -> None:
    """Else a list of rows; the labels of the options are read in both."""
    pass_body(ann)
    for width, expected in ((1280, True), (360, False)):
        ann.page.set_viewport_size({"width": width, "height": 740})
        assert is_table(ann.page) == expected
        expect(ann.page.get_by_role("radio", name="Several days")).to_have_count(2)
    ann.page.set_viewport_size({"width": 1280, "height": 740})
    ann.page.get_by_role("radio", name="Several days").first.click()
    expect(ann.page.get_by_role("radio", name="Several days").first).to_be_checked()


@in_every_appearance
@pytest.mark.parametrize("language", ["en", "ar"])
def test_pages_and_grids_are_accessible(
    scheme: str, viewport: dict[str, int], language: str, intake: Server, new_context: Callable[..., BrowserContext]
) -> None:
    """With their problems, from left to right and from right to left; nothing scrolls sideways at twice the text size."""
    participant = Participant(new_context(color_scheme=scheme, viewport=viewport), intake.url)
    wide: list[str] = []

    def states() -> Iterator[str]:
        begin(participant, "Female", lang=language)
        yield "page"
        participant.next()
        yield "page with problems"
        type_into(participant, height="1.8", weight="80")
        part(participant, "pregnant").get_by_role("radio").last.check()
        participant.next()
        participant.expect_step("days")
        yield "grid"
        participant.next()
        yield "grid with problems"
        double_text(participant.page)
        wide.extend(overflow(participant.page))

    assert_accessible(participant.page, states())
    assert wide == []


def test_page_is_asked_field_by_field_in_audio_mode(context: BrowserContext, intake: Server) -> None:
    """And a grid row by row; a problem is said before the next one is asked."""
    participant = Participant(context, intake.url)
    page = participant.page
    page.add_init_script(VOICE + EAR)
    participant.open("intake", is_audio="true")
    participant.answer("sex", "Male")
    participant.expect_step("body")
    for name, heard, value in (("height", "one point eight", "1.8"), ("weight", "80", "80")):
        listen(participant, heard)
        expect(part(participant, name).get_by_role("textbox")).to_have_value(value)
        listen(participant, "next")
    listen(participant, "next")
    participant.expect_step("days")
    listen(participant, "next")
    expect(page.locator("#voice-note")).to_contain_text("Please choose an answer to continue.")
    for heard in ("Several days", "next", "Not at all", "next"):
        listen(participant, heard)
    participant.expect_step("where")
    assert participant.answered("intake")[2:] == [("days", {"sleep": 1, "energy": 0})]
    spoken = page.evaluate("window.spoken")
    assert "About you As of today. Height" in spoken
    assert any(text.startswith("Weight With clothes.") for text in spoken)
    assert any(text.startswith("How often? Trouble sleeping") for text in spoken)
    assert any(text.startswith("Little energy") for text in spoken)


def listen(participant: Participant, heard: str) -> None:
    expect(participant.page.locator("html")).to_have_attribute("data-listens", "yes")
    hear(participant, heard)
