"""Fields of a page that are shown and hidden, offline and by voice too."""

import datetime
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.participant import Participant
from tests.browser.test_audio import EAR, VOICE
from tests.browser.test_controls import make_unknown
from tests.browser.test_pages import listen, part, type_into
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: fields
title: Fields
language: en
parameters: {clinic: {type: text, from: url, default: north}}
values: {limit: 10 + 8}
steps:
  - {id: lives, type: choice, prompt: "Where do you live?", options: [alone, family]}
  - id: habits
    type: page
    prompt: Your habits
    fields:
      - {id: intro, type: info, prompt: Please be honest., help: Nobody else reads it.}
      - {id: smokes, type: boolean, prompt: "Do you smoke?"}
      - {id: many, type: number, prompt: "How many a day?", integer: true, show_if: answers.smokes}
      - {id: advice, type: info, prompt: That is a lot., show_if: answers.many > 20}
  - id: person
    type: page
    prompt: About you
    fields:
      - {id: born, type: date, prompt: "When were you born?"}
      - {id: guardian, type: text, prompt: "Who looks after you?", max_length: 80,
         show_if: 'age(answers.born, today) < values.limit && answers.lives == "family"'}
      - {id: code, type: text, prompt: Your code, max_length: 80, required: false}
      - {id: north, type: boolean, prompt: "Do you like the north?",
         show_if: 'parameters.clinic == "north" && type(answers.code) == string && answers.code < "O"'}
  - id: days
    type: grid
    prompt: How often?
    rows: [{id: sleep, label: Trouble sleeping, audio: "How often did you sleep badly?"}, {id: energy, label: Little energy}]
    options: [{value: 0, label: Not at all}, {value: 1, label: Several days}]
  - {id: last, type: info, prompt: Thank you.}
"""


def begin(participant: Participant, lives: str = "family") -> Participant:
    participant.open("fields")
    participant.answer("lives", lives)
    participant.expect_step("habits")
    return participant


def answer_habits(participant: Participant) -> None:
    part(participant, "smokes").get_by_label("No").check()
    participant.next()


def to_grid(participant: Participant) -> None:
    answer_habits(participant)
    participant.expect_step("person")
    part(participant, "born").locator("input").fill(years_ago(30))
    participant.next()
    participant.expect_step("days")


def questions(page: Page) -> list[str]:
    """Return what was spoken, without the answers that are read back."""
    spoken: list[str] = page.evaluate("window.spoken")
    return [text for text in spoken if "Say next" not in text]


def years_ago(years: int) -> str:
    return (datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=366 * years)).isoformat()


def test_info_among_the_fields_is_read_and_not_answered(participant: Participant) -> None:
    """It has a heading of its own, appears as it applies, and is in neither the draft nor the answer."""
    begin(participant)
    page = participant.page
    expect(page.locator("h2[aria-level='3']", has_text="Please be honest.")).to_be_visible()
    expect(part(participant, "intro")).to_contain_text("Nobody else reads it.")
    expect(part(participant, "advice")).to_be_hidden()
    part(participant, "smokes").get_by_label("Yes").check()
    type_into(participant, many="30")
    expect(page.get_by_role("heading", name="That is a lot.")).to_be_visible()
    participant.next()
    participant.expect_step("person")
    stored = {"intro": None, "smokes": True, "many": 30, "advice": None}
    assert participant.answered("fields")[1] == ("habits", stored)
    page.locator("#answers-panel summary").click()
    expect(page.locator('#answers [data-step="habits"] .answered')).to_have_count(2)


def test_condition_with_the_time_a_value_and_an_earlier_answer_reacts_at_once(participant: Participant) -> None:
    begin(participant)
    answer_habits(participant)
    participant.expect_step("person")
    guardian = part(participant, "guardian")
    born = part(participant, "born").locator("input")
    expect(guardian).to_be_hidden()
    born.fill(years_ago(10))
    expect(guardian).to_be_visible()
    born.fill(years_ago(30))
    expect(guardian).to_be_hidden()
    participant.next()
    participant.expect_step("days")


def test_field_that_only_the_server_can_decide_on_is_not_in_the_way(participant: Participant) -> None:
    """It is shown and need not be answered; if the server refuses its answer it disappears, and if it needs one it is back."""
    begin(participant)
    answer_habits(participant)
    participant.expect_step("person")
    part(participant, "born").locator("input").fill(years_ago(30))
    north = part(participant, "north")
    expect(north).to_be_visible()
    north.get_by_label("Yes").check()
    participant.next()
    expect(participant.page.locator("#error-summary")).to_be_visible()
    expect(north).to_be_hidden()
    type_into(participant, code="N1")
    participant.next()
    expect(north.locator(".part-problem")).to_be_visible()
    participant.next()
    participant.expect_step("days")
    assert participant.answered("fields")[-1][1]["north"] is True


def test_hidden_field_keeps_what_was_entered(
    participant: Participant, new_context: Callable[[], BrowserContext], server: Server
) -> None:
    """When the page is answered anew without it, in this browser and in another one."""
    begin(participant)
    part(participant, "smokes").get_by_label("Yes").check()
    type_into(participant, many="5")
    participant.next()
    participant.expect_step("person")
    participant.back()
    participant.expect_step("habits")
    part(participant, "smokes").get_by_label("No").check()
    participant.next()
    participant.expect_step("person")
    other = Participant(new_context(), server.url)
    other.page.add_init_script(f"localStorage.setItem('stepkeep:user', '{participant.user_id()}')")
    for tab in (participant, other):
        if tab is other:
            tab.open("fields")
            tab.expect_step("person")
        tab.back()
        tab.expect_step("habits")
        part(tab, "smokes").get_by_label("Yes").check()
        expect(part(tab, "many").get_by_role("textbox")).to_have_value("5")
        part(tab, "smokes").get_by_label("No").check()
        tab.next()
        tab.expect_step("person")


def test_page_asks_to_be_reloaded_when_a_field_has_an_unknown_type(participant: Participant) -> None:
    """It sends neither a draft nor an answer, and continues when a newer page has answered all fields."""
    make_unknown(participant.page, "many")
    begin(participant)
    page = participant.page
    expect(page.get_by_role("heading", name="Please reload this page")).to_be_visible()
    expect(page.get_by_role("button", name="Reload")).to_be_visible()
    expect(page.locator("#step-form")).to_be_hidden()
    page.keyboard.press("Enter")
    page.locator("#audio").evaluate("(button) => button.click()")  # the next message of this page has arrived then
    expect(participant.root).to_have_attribute("data-mode", "audio")
    participant.expect_step("habits")
    assert [event["action"] for event in participant.events("fields")] == ["started", "answered", "mode_set"]
    newer = Participant(page.context, page.url.partition("/s/")[0])
    newer.open("fields")
    answer_habits(newer)
    participant.expect_step("person")
    expect(page.locator("#step-form")).to_be_visible()


def test_edited_page_leads_back_to_where_the_participant_was(participant: Participant) -> None:
    """Also a page that only the server can draw, which comes a moment later."""
    begin(participant)
    to_grid(participant)
    participant.edit("About you")
    participant.expect_step("person")
    participant.page.locator("#return").click()
    participant.expect_step("days")
    expect(participant.page.locator("#return-note")).to_be_hidden()


def test_page_is_answered_offline(participant: Participant, context: BrowserContext, server: Server) -> None:
    """Its fields react; half-filled it survives the tab, and is sent once the server is back."""
    participant.open("fields")
    participant.expect_step("lives")
    server.kill()
    participant.choose("family")
    participant.next()
    participant.expect_offline_step("habits")
    expect(part(participant, "many")).to_be_hidden()
    part(participant, "smokes").get_by_label("Yes").check()
    type_into(participant, many="7")
    server.start()
    participant.expect_step("habits")
    server.kill()
    participant.expect_offline_step("habits")
    type_into(participant, many="8")
    participant.close()
    server.start()
    again = Participant(context, server.url)
    again.open("fields")
    again.expect_step("habits")
    expect(part(again, "many").get_by_role("textbox")).to_have_value("8")
    server.kill()
    again.expect_offline_step("habits")
    again.next()
    expect(again.page.locator("#offline-note")).to_be_visible()  # only the server can draw the next page
    again.expect_offline_step("habits")
    server.start()
    again.expect_step("person")
    assert again.answered("fields")[1] == ("habits", {"intro": None, "smokes": True, "many": 8})


def test_rows_and_problems_of_a_grid_are_announced(participant: Participant) -> None:
    """A group with the question, in it a group for each row; the column heads are read with the options only."""
    begin(participant)
    to_grid(participant)
    page = participant.page
    lines = [line.strip() for line in page.locator("#step").aria_snapshot().splitlines()]
    assert [line for line in lines if not line.startswith(("- text", "- paragraph"))] == [
        '- group "How often?":',
        '- heading "How often?" [level=2]',
        *('- radiogroup "Trouble sleeping":', '- radio "Not at all"', '- radio "Several days"'),
        *('- radiogroup "Little energy":', '- radio "Not at all"', '- radio "Several days"'),
    ]
    participant.next()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link to the second row
    sleep = page.get_by_role("radiogroup", name="Trouble sleeping")
    expect(sleep).to_have_accessible_description("Please choose an answer to continue.")
    expect(sleep.get_by_role("radio", name="Not at all")).to_be_focused()
    page.keyboard.press("Space")
    expect(sleep).not_to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    participant.expect_step("last")
    assert participant.answered("fields")[-1] == ("days", {"sleep": 0, "energy": 1})


def test_fields_and_rows_are_repeated_and_corrected_by_voice(context: BrowserContext, server: Server) -> None:
    """Back leads to the field before and, from the first one, to the step before; a field that appears is asked."""
    participant = Participant(context, server.url)
    page = participant.page
    page.add_init_script(VOICE + EAR)
    participant.open("fields", is_audio="true")
    participant.answer("lives", "alone")
    participant.expect_step("habits")
    for heard in ("next", "yes", "next", "seven", "back", "repeat", "no", "yes", "next", "9", "next"):
        listen(participant, heard)
    participant.expect_step("person")
    assert participant.answered("fields")[-1] == ("habits", {"intro": None, "smokes": True, "many": 9})
    smokes = "Do you smoke? Yes. Or: No."
    assert questions(page)[1:] == [
        "Your habits Please be honest. Nobody else reads it.",
        *(smokes, "How many a day?", smokes, smokes, "How many a day?", "About you When were you born?"),
    ]
    listen(participant, "back")
    participant.expect_step("habits")


def test_rows_of_a_grid_are_corrected_by_voice(context: BrowserContext, server: Server) -> None:
    """Each is asked in its own words; what is heard twice counts as it was heard last."""
    participant = Participant(context, server.url)
    participant.page.add_init_script(VOICE + EAR)
    to_grid(begin(participant))
    participant.page.locator("#audio").click()
    for heard in ("several days", "next", "back", "not at all", "next", "skip", "several days", "next"):
        listen(participant, heard)
    participant.expect_step("last")
    assert participant.answered("fields")[-1] == ("days", {"sleep": 0, "energy": 1})
    options = "Not at all. Or: Several days."
    first, second = f"How often did you sleep badly? {options}", f"Little energy {options}"
    assert questions(participant.page)[:4] == [f"How often? {first}", second, f"How often? {first}", second]
