"""The step in view when another device edits an earlier answer, on which its texts, options, bounds or fields depend."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.participant import Participant
from tests.browser.test_audio import EAR, VOICE
from tests.browser.test_controls import make_unknown
from tests.browser.test_pages import part
from tests.conftest import Server
from tests.waiting import wait_for

pytestmark = pytest.mark.browser

SURVEY = """
id: edited
title: Edited
language: en
steps:
  - {id: name, type: text, prompt: Your name, max_length: 20}
  - {id: age, type: number, prompt: Your age}
  - id: drinks
    type: choices
    prompt: "What do you drink, {{ answers.name }}?"
    options: [tea, {value: beer, label: beer, show_if: answers.age > 17}, water, juice]
  - {id: years, type: number, prompt: "For how many years?", integer: true, max: "{{ answers.age }}"}
  - {id: note, type: text, prompt: "What else, {{ answers.name }}?", max_length: 900}
  - {id: day, type: date, prompt: "Since which day, {{ answers.name }}?"}
  - id: home
    type: page
    prompt: Your home
    fields:
      - {id: rooms, type: number, prompt: "How many rooms?"}
      - {id: owner, type: boolean, prompt: "Do you own it?", show_if: answers.age > 17}
      - {id: pet, type: text, prompt: "Your pet, {{ answers.name }}?", max_length: 80}
"""

ANSWERS: dict[str, Any] = {"name": "Ann", "age": 30, "drinks": ["tea"], "years": 3, "note": "No.", "day": "2024-05-05"}

TOP = "document.querySelector('#answer').getBoundingClientRect().top"
SELECTED = (
    "(({ value, selectionStart, selectionEnd }) => value.slice(selectionStart, selectionEnd))(document.activeElement)"
)

Devices = tuple[Participant, Participant]


class Session:
    """A session that several devices show."""

    def __init__(self, server: Server, new_context: Callable[..., BrowserContext], user: str) -> None:
        self._server = server
        self._new_context = new_context
        self._request = new_context().request
        self.user = user

    def answer(self, step: str, value: Any) -> None:
        """Answer a step, or edit its answer, as a program of the participant."""
        command = {"type": "answer", "id": str(uuid.uuid4()), "step": step, "value": value}
        url = f"{self._server.url}/api/session/{self.user}/commands?survey=edited"
        response = self._request.post(url, data=command)
        assert response.ok, response.text()

    def answers(self) -> dict[str, Any]:
        response = self._request.get(f"{self._server.url}/api/session/{self.user}?survey=edited")
        answers: dict[str, Any] = response.json()["session"]["answers"]
        return answers

    def walk_to(self, step: str) -> None:
        """Answer the steps before this one."""
        for before in list(ANSWERS)[: list(ANSWERS).index(step) if step in ANSWERS else None]:
            self.answer(before, ANSWERS[before])

    def device(self, prepare: Callable[[Page], None] = lambda _: None, **query: str) -> Participant:
        """Open the survey on another device, whose page can be prepared before."""
        device = Participant(self._new_context(), self._server.url)
        prepare(device.page)
        device.open("edited", user=self.user, **query)
        return device


@pytest.fixture
def session(request: pytest.FixtureRequest, server: Server, new_context: Callable[..., BrowserContext]) -> Session:
    session = Session(server, new_context, request.node.name.removeprefix("test_")[:60])
    session.device().expect_step("name")
    return session


def devices_at(session: Session, step: str) -> Devices:
    session.walk_to(step)
    devices = (session.device(), session.device())
    for device in devices:
        device.expect_step(step)
    return devices


def test_options_and_texts_are_those_after_the_edit_on_every_device(session: Session) -> None:
    devices = devices_at(session, "drinks")
    session.answer("age", 12)
    for device in devices:
        expect(device.page.locator("#step .choice")).to_have_text(["tea", "water", "juice"])
    session.answer("name", "Bea")
    for device in devices:
        expect(device.heading).to_have_text("What do you drink, Bea?")


def test_choices_that_are_still_options_stay(session: Session) -> None:
    """On the device where they were made, and are not submitted yet."""
    chooser, _ = devices_at(session, "drinks")
    chooser.choose("tea", "beer", "juice")
    expect(chooser.page.get_by_role("checkbox", name="juice")).to_be_focused()
    session.answer("age", 12)
    expect(chooser.page.locator("#step .choice")).to_have_text(["tea", "water", "juice"])
    expect(chooser.page.locator("#step :checked")).to_have_count(2)
    expect(chooser.page.get_by_role("checkbox", name="juice")).to_be_focused()
    chooser.next()
    chooser.expect_step("years")
    assert session.answers()["drinks"] == ["tea", "juice"]


def test_focus_is_on_the_heading_when_the_focused_option_no_longer_exists(session: Session) -> None:
    """Not lost: a keyboard would begin at the top of the page."""
    chooser, _ = devices_at(session, "drinks")
    chooser.page.get_by_role("checkbox", name="beer").focus()
    session.answer("age", 12)
    expect(chooser.page.locator("#step .choice")).to_have_text(["tea", "water", "juice"])
    expect(chooser.heading).to_be_focused()


def test_typed_text_stays_with_its_cursor_and_in_place(session: Session) -> None:
    """The device on which the participant types does not scroll, and another one takes no focus."""
    writer, other = devices_at(session, "note")
    writer.page.set_viewport_size({"width": 360, "height": 300})
    writer.type("Water and wine")
    writer.page.evaluate("document.querySelector('#answer').setSelectionRange(5, 9)")
    writer.page.evaluate("scrollBy(0, 60)")
    top = writer.page.evaluate(TOP)
    session.answer("name", "Bartholomew the 2nd")
    for device in (writer, other):
        expect(device.heading).to_have_text("What else, Bartholomew the 2nd?")
    expect(writer.field()).to_have_value("Water and wine")
    expect(writer.field()).to_be_focused()
    assert writer.page.evaluate(SELECTED) == " and"
    assert abs(writer.page.evaluate(TOP) - top) < 1  # a pixel: browsers scroll by whole ones
    expect(other.field()).not_to_be_focused()


def test_typed_number_stays_when_it_is_no_longer_allowed(session: Session) -> None:
    """The page says so by the new bound when it is sent."""
    writer, _ = devices_at(session, "years")
    writer.type("25")
    session.answer("age", 20)
    expect(writer.page.locator("#hint")).to_contain_text("20")
    expect(writer.field()).to_have_value("25")
    writer.next()
    expect(writer.page.locator("#problem")).to_contain_text("20")
    writer.write("years", "19")
    writer.expect_step("note")


def test_half_typed_date_is_completed_before_the_step_is_drawn_anew(session: Session) -> None:
    """Only the browser knows the month and the day of a date without a year."""
    writer, other = devices_at(session, "day")
    writer.field().click(position={"x": 12, "y": 12})
    writer.page.keyboard.type("0505")
    session.answer("name", "Bea")
    expect(other.heading).to_have_text("Since which day, Bea?")
    writer.page.keyboard.type("2024")
    expect(writer.field()).to_have_value("2024-05-05")
    expect(writer.heading).to_have_text("Since which day, Ann?")
    writer.page.locator("#position").click()
    expect(writer.heading).to_have_text("Since which day, Bea?")


def test_field_of_a_page_disappears_and_the_others_keep_their_input(session: Session) -> None:
    """Also the focus; what was entered in the hidden field is there again when it is shown again."""
    writer, _ = devices_at(session, "home")
    page = writer.page
    part(writer, "rooms").locator("input").fill("4")
    part(writer, "owner").get_by_label("Yes").check()
    part(writer, "pet").locator("input").fill("A ca")
    session.answer("age", 12)
    expect(part(writer, "owner")).to_have_count(0)
    expect(part(writer, "pet").locator("input")).to_be_focused()
    page.keyboard.type("t")
    expect(part(writer, "rooms").locator("input")).to_have_value("4")
    expect(part(writer, "pet").locator("input")).to_have_value("A cat")
    session.answer("name", "Bea")
    expect(part(writer, "pet")).to_contain_text("Your pet, Bea?")
    writer.next()
    writer.expect_done()
    assert session.answers()["home"] == {"rooms": 4, "pet": "A cat"}


def test_page_asks_to_be_reloaded_when_a_field_of_an_unknown_type_appears(session: Session) -> None:
    session.walk_to("home")
    session.answer("age", 12)
    device = session.device(lambda page: make_unknown(page, "owner"))
    device.expect_step("home")
    expect(device.page.locator("#step-form")).to_be_visible()
    session.answer("age", 30)
    expect(device.page.get_by_role("heading", name="Please reload this page")).to_be_visible()
    expect(device.page.locator("#step-form")).to_be_hidden()


def test_screen_reader_is_told_when_the_step_looks_different_and_only_then(session: Session) -> None:
    """An edit on which the step does not depend leaves its elements alone."""
    device, _ = devices_at(session, "drinks")
    status = device.page.get_by_role("status").filter(has_text="This question has just changed.")
    device.page.evaluate("window.drawn = document.querySelector('#step').firstChild")
    session.answer("age", 40)
    expect(device.page.locator("#answers [data-step=age] .answer")).to_have_text("40")
    expect(status).to_have_count(0)
    session.answer("age", 12)
    expect(status).to_have_count(1)
    device.choose("tea")
    device.next()
    device.expect_step("years")
    expect(status).to_have_count(0)


def test_changed_step_is_read_again_in_audio_mode(session: Session) -> None:
    session.walk_to("drinks")
    device = session.device(lambda page: page.add_init_script(VOICE + EAR), is_audio="true")

    def expect_spoken(prompt: str) -> None:
        last = "(window.spoken.at(-1) ?? '')"
        wait_for(lambda: str(device.page.evaluate(last)).startswith(prompt), f"the page does not say {prompt}")

    device.page.locator("#audio").click()
    expect_spoken("What do you drink, Ann?")
    session.answer("name", "Bea")
    expect_spoken("What do you drink, Bea?")
