"""The dashboard's page of one session: its events, and its state at any version."""

import re
import time

import pytest
from playwright.sync_api import expect

from app.survey.commands import Begin, SetLanguage, SetMode
from app.survey.snapshot import SessionKey
from tests.browser.desk import HOUR_US, SECOND_US, Desk

pytestmark = pytest.mark.browser

NONE = "\u2013"


def test_session_page_lists_events_with_their_times(desk: Desk) -> None:
    """Every event is shown with its pause, and answers and drafts with their labels."""
    desk.open_session("walker")
    events = desk.page.locator("#events button")
    expect(events).to_have_count(7)
    descriptions = [" ".join(text.split()) for text in events.locator(".event").all_inner_texts()]
    assert descriptions == [
        "started",
        "answered Q1: Not at all (0)",
        "answered Q2: Nearly every day (3)",
        "went back to Q2",
        "answered Q2: Several days (1)",
        "switched the mode",
        "typed at Q3, not sent yet: More than half the days (2)",
    ]
    assert [text.rsplit("+", 1)[-1] for text in events.locator(".time").all_inner_texts()[1:]] == [
        "5\u00a0s",
        "7\u00a0s",
        "8\u00a0s",
        "10\u00a0s",
        "10\u00a0s",
        "10\u00a0s",
    ]
    desk.open_session("p-11")
    expect(desk.page.locator(".away")).to_have_text("away for 2\u00a0h")


def test_slider_shows_the_session_at_each_version(desk: Desk) -> None:
    """The keyboard reaches each version with its text, state and changes; the URL leads back to it."""
    desk.open_session("walker")
    slider = desk.page.get_by_role("slider", name="Version")
    slider.focus()
    desk.page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", desk.page.get_by_test_id("version-text").inner_text())
    for _ in range(2):
        desk.page.keyboard.press("ArrowRight")
    expect(desk.page.get_by_test_id("version-text")).to_contain_text("Version 3 of 7: answered Q2")
    expect(slider).to_have_attribute("aria-valuetext", desk.page.get_by_test_id("version-text").inner_text())
    expect(desk.page.locator("#state .answers dd")).to_have_text(["Not at all (0)", "Nearly every day (3)"])
    desk.page.keyboard.press("ArrowRight")
    desk.page.keyboard.press("ArrowRight")
    expect(desk.page.get_by_test_id("version-text")).to_contain_text("Version 5 of 7")
    change = desk.page.locator("#changes div", has_text="Answer to Q2")
    expect(change.locator("del")).to_have_text("Nearly every day (3)")
    expect(change.locator("ins")).to_have_text("Several days (1)")
    expect(desk.page).to_have_url(f"{desk.ward.url}/dashboard/sessions/phq9/walker#5")
    desk.page.reload()
    expect(desk.page.get_by_test_id("version-text")).to_contain_text("Version 5 of 7")
    expect(desk.page.locator("#events [aria-current]")).to_have_attribute("data-version", "5")
    for version in range(1, 8):
        then = desk.get_json(f"/api/session/walker?survey=phq9&at_version={version}")["session"]
        desk.page.locator(f"#events [data-version='{version}']").click()
        expect(desk.page.locator("#state .answers dd")).to_have_count(len(then["answers"]))
        expect(desk.page.locator("#state .facts dd").nth(2)).to_have_text("audio" if then["is_audio_mode"] else "text")
    assert desk.problems == []


def test_long_session_is_shown_in_pages(desk: Desk) -> None:
    """Of 251 events, the slider reaches each, and the list shows the version's page."""
    store = desk.ward.open()
    key = SessionKey("phq9", "long")
    at = time.time_ns() // 1000 - HOUR_US
    modes = [SetMode(at=at + number * SECOND_US, is_audio_mode=number % 2 == 1) for number in range(1, 251)]
    store.turns.submit_many([(key, Begin(at=at)), *((key, mode) for mode in modes)])
    store.close()
    desk.open_session("long")
    events = desk.page.locator("#events button")
    expect(events).to_have_count(51)
    desk.page.get_by_role("button", name="Earlier events").click()
    expect(desk.page.get_by_test_id("version-text")).to_contain_text("Version 101 of 251")
    expect(events).to_have_count(100)
    expect(events.first.locator(".time")).to_contain_text("+1\u00a0s")
    desk.page.get_by_role("slider").focus()
    desk.page.keyboard.press("Home")
    expect(events.first).to_have_attribute("data-version", "1")


def test_language_and_its_change_are_shown(desk: Desk) -> None:
    """By its name in English."""
    store = desk.ward.open()
    key = SessionKey("gad7", "polyglot")
    at = time.time_ns() // 1000 - HOUR_US
    store.turns.submit_many([(key, Begin(at=at)), (key, SetLanguage(at=at, language="de"))])
    store.close()
    desk.page.goto(f"{desk.ward.url}/dashboard/sessions/gad7/polyglot")
    change = desk.page.locator("#changes div", has_text="Language")
    expect(change.locator("del")).to_have_text("English")
    expect(change.locator("ins")).to_have_text("German")
    expect(desk.page.locator("#state .facts").first).to_contain_text("German")
    assert desk.problems == []


def test_session_page_shows_parameters_and_values(desk: Desk) -> None:
    """Values as they change, with the labels of parameters, and without the last digits of arithmetic."""
    desk.open_session("p-10")
    expect(desk.page.locator("#state")).to_contain_text(re.compile(r"Value total\s*12"))
    changes = desk.page.evaluate(
        """async () => {
            const { changesBetween } = await import("/assets/dashboard/session-text.js");
            const state = { current_step: "S1", status: "in_progress", progress: 0, step_history: [], draft: null, answers: {} };
            const parameters = { clinic: 1, urgent: false, constructor: "c", none: null };
            const before = { ...state, parameters, values: { third: null, band: "low" } };
            const after = { ...state, parameters, values: { third: 7 / 3, band: "low", sum: 0.1 + 0.2, chosen: ["a", "b"] } };
            const options = [{ value: 1, label: "North" }];
            const declared = new Map(Object.entries({ clinic: { type: "choice", options }, urgent: { type: "boolean" } }));
            const known = (changes) => changes.map(({ name, before, after }) => [name, before, after]).slice(-4);
            return [known(changesBetween(null, before, new Map(), declared)), known(changesBetween(before, after, new Map(), declared))];
        }"""
    )
    assert changes == [
        [["Parameter clinic", NONE, "North (1)"], ["Parameter urgent", NONE, "no"], ["Parameter constructor", NONE, "c"],
         ["Value band", NONE, "low"]],
        [["Value third", NONE, "2.33333333333"], ["Value sum", NONE, "0.3"], ["Value chosen", NONE, "a, b"]],
    ]  # fmt: skip


def test_confirmed_answer_is_marked(desk: Desk) -> None:
    """So that staff see that an unusual value is no slip."""
    desk.open_session("walker")
    shown = desk.page.evaluate(
        """async () => {
            const { describeEvent } = await import("/assets/dashboard/session-text.js");
            const event = { version: 2, action: "answered", step: "S1", answer: 250, timestamp: "2026-01-01T00:00:00Z" };
            return [{ confirmed: true }, {}].map((data) => describeEvent({ ...event, data }));
        }"""
    )
    assert shown == ["answered S1 and confirmed it", "answered S1"]


def test_unanswered_step_has_no_answer_whatever_its_id(desk: Desk) -> None:
    """A step may be called like a property that every object has."""
    desk.open_session("walker")
    changes = desk.page.evaluate(
        """async () => {
            const { changesBetween } = await import("/assets/dashboard/session-text.js");
            const state = { current_step: "S1", status: "in_progress", progress: 0, step_history: [], draft: null };
            const answered = { ...state, answers: { constructor: "here" } };
            return changesBetween({ ...state, answers: {} }, answered, new Map());
        }"""
    )
    assert [(change["name"], change["after"]) for change in changes] == [("Answer to constructor", "here")]
    assert "function" not in changes[0]["before"].lower()


def test_answer_to_a_page_or_grid_is_shown_with_its_labels(desk: Desk) -> None:
    """A field or row that the survey no longer has stands by its id."""
    desk.open_session("walker")
    shown = desk.page.evaluate(
        """async () => {
            const { describeAnswer } = await import("/assets/dashboard/session-text.js");
            const options = [{ value: 0, label: "Never" }, { value: 1, label: "Often" }];
            const page = { id: "p", type: "page", prompt: "P", fields: [{ id: "a", type: "boolean", prompt: "Well?" }] };
            const grid = { id: "g", type: "grid", prompt: "G", options, rows: [{ id: "r", label: "Sleep" }] };
            return [describeAnswer({ a: true, b: 2 }, page), describeAnswer({ r: 1 }, grid), describeAnswer({ r: null }, grid)];
        }"""
    )
    assert shown == ["Well?: yes; b: 2", "Sleep: Often (1)", "Sleep: skipped"]
