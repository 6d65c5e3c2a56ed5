"""The survey's page shows no text of its own that is not in the language file (tests/core/languages/pseudo.py)."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import BrowserContext, Page, expect

from app.survey.types import STEP_TYPES
from tests.browser.accessibility import assert_accessible, in_every_appearance, overflow
from tests.browser.participant import Participant
from tests.browser.test_audio import EAR, VOICE, hear
from tests.browser.test_survey_page import double_text
from tests.conftest import Server
from tests.core.languages.pseudo import PSEUDO, is_english, write_pseudo_catalogue

pytestmark = pytest.mark.browser

SURVEY = f"""
id: greek
title: Επίσκεψη
language: {PSEUDO}
steps:
  - {{id: begin, type: info, prompt: Καλημέρα, help: Βοήθεια}}
  - {{id: well, type: boolean, prompt: Καλά;}}
  - {{id: meal, type: choice, prompt: Φαγητό;, options: [Ψωμί, Τυρί, Ελιές]}}
  - {{id: all, type: choices, prompt: Όλα;, required: false, options: [Ψωμί, Τυρί, Ελιές]}}
  - {{id: some, type: choices, prompt: Μερικά;, min_choices: 2, options: [Ψωμί, Τυρί, Ελιές]}}
  - {{id: few, type: choices, prompt: Λίγα;, min_choices: 1, max_choices: 2, options: [Ψωμί, Τυρί, Ελιές]}}
  - {{id: words, type: text, prompt: Όνομα;, placeholder: λέξη, max_length: 10}}
  - {{id: weight, type: number, prompt: Βάρος;, unit: κιλά, min: 1, max: 9999}}
  - {{id: whole, type: number, prompt: Πόσα;, integer: true, min: 1}}
  - {{id: pain, type: scale, prompt: Πόνος;, min: 0, max: 4, min_label: καθόλου, max_label: πολύ}}
  - {{id: since, type: date, prompt: Από πότε;, min: 2020-05-01, max: 2024-05-31}}
  - {{id: soon, type: date, prompt: Πότε;, min: 2020-05-01}}
  - {{id: late, type: month, prompt: Μήνας;, max: 2024-05}}
  - {{id: clock, type: time, prompt: Ώρα;, min: "08:00", max: "18:00"}}
  - {{id: visit, type: datetime, prompt: Επίσκεψη;, max: "2024-05-31T12:00"}}
  - {{id: mail, type: email, prompt: Διεύθυνση;}}
  - {{id: phone, type: phone, prompt: Τηλέφωνο;}}
  - {{id: order, type: ranking, prompt: Σειρά;, options: [Ψωμί, Τυρί, Ελιές]}}
  - {{id: price, type: number, prompt: Τιμή;, decimals: 1, max: 9}}
  - {{id: long, type: scale, prompt: Πόνος;, min: 0, max: 100, max_label: πολύ}}
  - {{id: dropdown, type: choice, prompt: Φαγητό;, display: dropdown, options: [Ψωμί, Τυρί, Ελιές]}}
  - {{id: search, type: choice, prompt: Φαγητό;, display: search, options: [Ψωμί, Τυρί, Ελιές]}}
  - id: page
    type: page
    prompt: Σελίδα
    fields:
      - {{id: a, type: number, prompt: Βάρος;, max: 9}}
      - {{id: b, type: boolean, prompt: Καλά;}}
  - {{id: grid, type: grid, prompt: Πόσο;, multiple: true, rows: [{{id: a, label: Ύπνος}}], options: [Ψωμί, Τυρί]}}
  - {{id: many, type: choices, prompt: Φαγητά;, display: search, options: [Ψωμί, {{value: 2, label: Άλλο, other: true}}]}}
"""

INPUTS = {
    "words": ["λέξεις και λέξεις", "λέξεις"],
    "weight": ["πολλά", "0", "50.000", "1234567890.12345678", "70"],
    "whole": ["5.5", "0", "3"],
    "since": ["0020-05-05", "2019-05-05", "2025-05-05", "2024-05-05"],
    "soon": ["2019-05-05", "2024-05-05"],
    "late": ["2024-06", "2024-05"],
    "clock": ["19:00", "10:30"],
    "visit": ["2024-05-31T13:00", "2024-05-05T10:30"],
    "mail": ["λέξη", "λέξη@λέξεις.ελ"],
    "phone": ["12", "+3021012345"],
    "price": ["1.23", "10", "1.5"],
    "long": ["101", "70"],
    "search": ["χ", "Τυρί"],
}
"""What is typed into a step's field, one after the other; the last is accepted."""


def fill(page: Page, text: str) -> None:
    """Type the input that is accepted; a list of found options closes."""
    if text:
        page.locator("#answer").fill(text)
        page.keyboard.press("Tab")


def check(page: Page, _: str) -> None:
    """Choose the first two options, or the second of several."""
    for option in page.locator("#step .choices input:is([type=radio], [type=checkbox])").all()[:2]:
        option.check()


def search(page: Page, _: str) -> None:
    """Find an option, and write beside another."""
    page.locator("#search").fill("Ψ")
    check(page, "")
    page.locator("#step .other input").fill("λέξη")


def choose(page: Page, _: str) -> None:
    page.locator("#answer").select_option("Τυρί")


def move(page: Page, _: str) -> None:
    """Move the first option down."""
    page.locator("#step ol button").nth(1).click()


def fill_page(page: Page, _: str) -> None:
    page.locator("#step .field").fill("5")
    page.locator("#step [type=radio]").first.check()


ACCEPTED: dict[str, Callable[[Page, str], None]] = {
    **dict.fromkeys(("boolean", "choice", "choices"), check),
    "page": fill_page,
    "grid": lambda page, _: page.locator("#step .grid input").first.check(),
    "pain": check,
    "dropdown": choose,
    "search": fill,
    "many": search,
    "ranking": move,
}
"""How a step, or a type, is answered; by typing otherwise."""

SHOWN = """() => {
  const names = ["aria-label", "title", "placeholder", "alt", "aria-valuetext", "aria-description"];
  const walker = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) {
    if (walker.currentNode.parentElement.closest("script, style, noscript, #reference") === null) {
      texts.push(walker.currentNode.data);
    }
  }
  const attributes = names.flatMap((name) => [...document.querySelectorAll(`[${name}]`)].map((each) => each.getAttribute(name)));
  return [...texts, ...attributes];
}"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with the survey and the pseudo-language."""
    for folder in ("surveys", "languages"):
        (tmp_path / folder).mkdir()
    (tmp_path / "surveys" / "greek.yaml").write_text(SURVEY, encoding="utf-8")
    write_pseudo_catalogue(tmp_path / "languages")
    server = Server(tmp_path, tmp_path / "surveys", environment={"STEPKEEP_LANGUAGES_DIR": str(tmp_path / "languages")})
    server.start()
    yield server
    server.stop()


def english(page: Page) -> list[str]:
    """Return the texts of the page that no translation can replace; times are written as in English."""
    texts: list[str] = page.evaluate(SHOWN)
    return [text for text in texts if is_english(re.sub(r"\b(May|at|AM|PM)\b", "", text))]


def states(participant: Participant) -> Iterator[str]:
    """Take the survey; yield the name of each state: each step, its problems and its answer, and the end."""
    page = participant.page
    participant.open("greek")
    for step in yaml.safe_load(SURVEY)["steps"]:
        name = step["id"]
        participant.expect_step(name)
        yield name
        if step["type"] not in {"info", "ranking"} and step.get("required", True):
            participant.next()
            yield f"{name} without an answer"
        for text in INPUTS.get(name, [])[:-1]:
            participant.type(text)
            participant.next()
            yield f"{name}: {text}"
        ACCEPTED.get(name, ACCEPTED.get(step["type"], fill))(page, INPUTS.get(name, [""])[-1])
        yield f"{name} with an answer"
        participant.next()
    participant.expect_step("end")
    page.locator("#restart").click()
    yield "end"


def test_page_shows_no_text_outside_the_catalogue(context: BrowserContext, server: Server) -> None:
    """With hints, problems, answers and the end of every type of step, by text."""
    assert {step["type"] for step in yaml.safe_load(SURVEY)["steps"]} == set(STEP_TYPES)
    participant = Participant(context, server.url)
    found = {state: english(participant.page) for state in states(participant)}
    assert {state: texts for state, texts in found.items() if texts} == {}


@in_every_appearance
def test_page_is_accessible_in_every_state(
    scheme: str, viewport: dict[str, int], server: Server, new_context: Callable[..., BrowserContext]
) -> None:
    """And never scrolls sideways, on the smallest phone and at twice the text size either."""
    participant = Participant(new_context(color_scheme=scheme, viewport=viewport), server.url)
    page = participant.page
    wide: list[str] = []

    def walk() -> Iterator[str]:
        for state in states(participant):
            page.set_viewport_size({"width": 320, "height": 740})
            wide.extend(f"{state}: {problem}" for problem in overflow(page))
            double_text(page)
            wide.extend(f"{state}, doubled: {problem}" for problem in overflow(page))
            page.evaluate("document.documentElement.style.fontSize = ''")
            page.set_viewport_size(viewport)
            yield state

    assert_accessible(page, walk())
    assert wide == []


def test_page_shows_no_text_outside_the_catalogue_in_audio_mode(context: BrowserContext, server: Server) -> None:
    """And speaks none."""
    participant = Participant(context, server.url)
    page = participant.page
    page.add_init_script(VOICE + EAR)
    participant.open("greek", is_audio="true")
    participant.expect_step("begin")
    participant.next()
    participant.expect_step("well")
    hear(participant, "δεν ξέρω")
    expect(page.locator("html")).to_have_attribute("data-listens", "yes")
    found = english(page)
    page.locator("#step input").first.check()
    participant.next()
    participant.expect_step("meal")
    for heard in ("Τυρί", "τίποτα"):
        hear(participant, heard)
        expect(page.locator("html")).to_have_attribute("data-listens", "yes")
        found += english(page)
    assert found + [text for text in page.evaluate("window.spoken") if is_english(text)] == []


def test_page_shows_no_text_outside_the_catalogue_without_a_connection(context: BrowserContext, server: Server) -> None:
    """And when the survey can't be opened."""
    participant = Participant(context, server.url)
    participant.open("greek")
    server.kill()
    expect(participant.root).to_have_attribute("data-save", "offline")
    assert english(participant.page) == []
