"""A long scale: a slider beside a field for the number. It is no answer until it is used."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from tests.browser.accessibility import PHONE, assert_accessible, in_every_appearance
from tests.browser.one_survey import serve
from tests.browser.participant import Participant
from tests.browser.test_audio import EAR, VOICE, hear
from tests.conftest import Server

pytestmark = pytest.mark.browser

TEMPLATE = """
id: health
title: Health today
language: {language}
steps:
  - {{id: now, type: scale, prompt: "How is your health?", min: 0, max: 100, min_label: the worst, max_label: the best}}
  - {{id: week, type: scale, prompt: "And last week?", min: -50, max: 50, default: 10, required: false}}
  - {{id: short, type: scale, prompt: "And a year ago?", min: 1, max: 21}}
"""
SURVEY = TEMPLATE.format(language="en")


def slider(participant: Participant) -> Locator:
    return participant.page.get_by_role("slider", name="How is your health?")


def test_slider_is_no_answer_until_it_is_used(participant: Participant) -> None:
    """It says so, and Next asks for one."""
    participant.open("health")
    expect(slider(participant)).to_have_attribute("aria-valuetext", "No answer yet")
    expect(participant.page.locator("output")).to_have_text("No answer yet")
    expect(participant.field()).to_have_value("")
    participant.next()
    expect(participant.page.get_by_role("alert")).to_contain_text("Please enter an answer")
    participant.expect_step("now")
    slider(participant).focus()
    slider(participant).press("End")
    expect(participant.field()).to_have_value("100")
    expect(slider(participant)).to_have_attribute("aria-valuetext", "100: the best")
    slider(participant).press("ArrowLeft")
    expect(participant.page.locator("output")).to_have_text("99 of 100")
    expect(participant.page.locator("#problem-box")).to_be_hidden()
    participant.next()
    participant.expect_step("week")
    assert participant.answered("health") == [("now", 99)]


@pytest.mark.parametrize("how", ["click", "Space"])
def test_middle_can_be_taken(participant: Participant, how: str) -> None:
    """With a click or the space bar, which do not move the slider."""
    participant.open("health")
    participant.expect_step("now")
    if how == "click":
        slider(participant).click()
    else:
        slider(participant).press(how)
    expect(participant.field()).to_have_value("50")
    participant.next()
    participant.expect_step("week")
    assert participant.answered("health") == [("now", 50)]


def test_slider_follows_the_field(participant: Participant) -> None:
    """What is no point of the scale is no answer; a draft comes back in both."""
    participant.open("health")
    participant.expect_step("now")
    participant.type("73")
    expect(slider(participant)).to_have_value("73")
    participant.type("120")
    expect(slider(participant)).to_have_attribute("aria-valuetext", "No answer yet")
    participant.next()
    expect(participant.page.locator("#problem")).to_contain_text("from 0 to 100")
    participant.type("12")
    participant.expect_step("now")
    participant.page.reload()
    participant.expect_step("now")
    expect(slider(participant)).to_have_value("12")
    expect(slider(participant)).to_have_attribute("aria-valuetext", "12 of 100")
    participant.type("")
    expect(slider(participant)).to_have_attribute("data-unset", "")


def test_default_is_shown_and_short_scales_have_buttons(participant: Participant) -> None:
    """Up to 21 points."""
    participant.open("health")
    participant.write("now", "1")
    participant.expect_step("week")
    expect(participant.page.get_by_role("slider")).to_have_value("10")
    participant.skip()
    participant.expect_step("short")
    expect(participant.page.get_by_role("radio")).to_have_count(21)
    expect(participant.page.get_by_role("slider")).to_have_count(0)


def test_slider_is_answered_by_voice(participant: Participant) -> None:
    participant.page.add_init_script(VOICE + EAR)
    participant.open("health", is_audio="true")
    hear(participant, "seventy")
    expect(slider(participant)).to_have_value("70")
    hear(participant, "next")
    participant.expect_step("week")
    assert participant.answered("health") == [("now", 70)]
    spoken = participant.page.evaluate("window.spoken[0]")
    assert spoken == "How is your health? From 0, the worst, to 100, the best."


def test_slider_runs_from_right_to_left(context: BrowserContext, tmp_path: Any) -> None:
    """In Arabic, its lowest point is on the right."""
    with serve(tmp_path, TEMPLATE.format(language="ar")) as server:
        participant = Participant(context, server.url)
        participant.open("health")
        participant.expect_step("now")
        box = slider(participant).bounding_box()
        assert box is not None
        slider(participant).click(position={"x": box["width"] - 16, "y": box["height"] / 2})
        expect(slider(participant)).to_have_value("0")
        slider(participant).press("ArrowLeft")
        expect(slider(participant)).to_have_value("1")


@in_every_appearance
def test_slider_is_accessible(new_context: Any, server: Server, scheme: Any, viewport: Any) -> None:
    check_accessibility(Participant(new_context(color_scheme=scheme, viewport=viewport), server.url))


def test_slider_is_accessible_with_forced_colours(new_context: Any, server: Server) -> None:
    """Those of a high contrast mode."""
    participant = Participant(new_context(viewport=PHONE, forced_colors="active"), server.url)
    check_accessibility(participant, has_forced_colours=True)


def check_accessibility(participant: Participant, *, has_forced_colours: bool = False) -> None:
    """Check the slider in each of its states."""

    def views() -> Iterator[str]:
        participant.open("health")
        participant.expect_step("now")
        yield "without an answer"
        slider(participant).press("End")
        yield "with an answer"
        participant.next()
        participant.expect_step("week")
        yield "without labels"

    assert_accessible(participant.page, views(), has_forced_colours=has_forced_colours)
