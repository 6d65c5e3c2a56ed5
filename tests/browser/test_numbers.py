"""Numbers as people type them: understood in one way, asked about, or refused in words; never changed."""

# ruff: noqa: RUF001 - digits and punctuation of other scripts are what is tested

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.participant import Participant, RunningServer

pytestmark = pytest.mark.browser

ENTER = """async ([language, step, inputs]) => {
  document.documentElement.lang = language;
  const { stepType } = await import("/assets/page/controls/index.js");
  const control = stepType({ type: "number" }).createControl({ prompt: "", required: true, ...step });
  return inputs.map((input) => {
    control.field.value = input;
    return control.problem() ?? control.value();
  });
}"""
SHOW = """async ([language, values]) => {
  document.documentElement.lang = language;
  const { stepType } = await import("/assets/page/controls/index.js");
  const control = stepType({ type: "number" }).createControl({ prompt: "" });
  return values.map((value) => {
    control.show(value);
    return [control.field.value, control.problem(), control.value()];
  });
}"""

IN_DIGITS = "Please enter a number in digits, for example 72."
WHOLE = "Please enter a whole number."
TOO_LONG = "This number has too many digits to be stored exactly. Please enter fewer digits."

ANY_LANGUAGE: dict[str, float | str] = {
    "1,234,567": 1234567,
    "1.234.567": 1234567,
    "12,34,567": 1234567,
    "12 000": 12000,
    "12\u00a0000": 12000,
    "12\u202f000": 12000,
    "12\u2009000": 12000,
    "1'000": 1000,
    "1\u2019000": 1000,
    "1.234,5": 1234.5,
    "1,234.5": 1234.5,
    "12 000,25": 12000.25,
    "72,5": 72.5,
    "72.5": 72.5,
    "0,125": 0.125,
    "0.125": 0.125,
    ".5": 0.5,
    "1234,567": 1234.567,
    "007": 7,
    "+5": 5,
    "-5": -5,
    "\u22125,5": -5.5,
    "٧٢": 72,
    "٧٢٫٥": 72.5,
    "١٢٬٣٤٥": 12345,
    "۷۲": 72,
    "७२": 72,
    "７２．５": 72.5,
    "\u200e-\u0665": -5,
    "9007199254740992": 9007199254740992,
    "9007199254740993": TOO_LONG,
    "1" * 400: TOO_LONG,
    "0.1234567890123456789": TOO_LONG,
    "0.123456789012345": 0.123456789012345,
    "1e3": IN_DIGITS,
    "5²": IN_DIGITS,
    "½": IN_DIGITS,
    "12 34": IN_DIGITS,
    "1,2,3": IN_DIGITS,
    "1,234,56": IN_DIGITS,
    "1.234.567.8": IN_DIGITS,
    "1'234'567'8": IN_DIGITS,
    "5.": IN_DIGITS,
    "-": IN_DIGITS,
    "--5": IN_DIGITS,
    "5-": IN_DIGITS,
    "constructor": IN_DIGITS,
    "Infinity": IN_DIGITS,
    "0x10": IN_DIGITS,
}


def enter(page: Page, language: str, step: dict[str, Any], texts: Sequence[str]) -> dict[str, object]:
    """Enter texts into a number step of a survey in this language; return the answers, or why there is none."""
    return dict(zip(texts, page.evaluate(ENTER, [language, step, list(texts)]), strict=True))


@pytest.fixture
def page(new_context: Callable[..., BrowserContext], server: RunningServer) -> Page:
    """A page in a browser whose language is English."""
    page = new_context().new_page()
    page.goto(f"{server.url}/s/phq9")
    return page


@pytest.mark.parametrize("language", ["en", "de", "ar", "en-1"])
def test_number_is_understood_whatever_the_language(page: Page, language: str) -> None:
    """What can be read in one way only is read so; ``en-1`` is a tag that the browser refuses."""
    assert enter(page, language, {}, list(ANY_LANGUAGE)) == ANY_LANGUAGE


def test_language_decides_what_a_separator_before_three_digits_does(
    new_context: Callable[..., BrowserContext], server: RunningServer
) -> None:
    """If the survey and the browser agree; if they do not, or do not use it, the page asks."""
    cases = {
        ("en", "en-US"): {"50,000": 50000, "1.234": 1.234, "-1,234": -1234, "50.000": "Did you mean 50000 or 50.0?"},
        ("de", "de-DE"): {"50.000": 50000, "1,234": 1.234, "50,000": "Did you mean 50000 or 50,0?"},
        ("de-CH", "de-CH"): {"1.234": 1.234, "1,234": "Did you mean 1234 or 1.234?"},
        ("en", "de-DE"): {"50,000": "Did you mean 50000 or 50.0?", "-1.234": "Did you mean -1234 or -1.234?"},
        ("de", "en-US"): {"50,000": "Did you mean 50000 or 50,0?"},
        ("fr", "fr-FR"): {"1,234": 1.234, "1.234": "Did you mean 1234 or 1,234?"},
    }
    for (language, locale), expected in cases.items():
        page = new_context(locale=locale).new_page()
        page.goto(f"{server.url}/s/phq9")
        assert enter(page, language, {}, list(expected)) == expected, (language, locale)


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_separator_only_groups_when_the_step_takes_whole_numbers(page: Page, language: str) -> None:
    assert enter(
        page, language, {"integer": True}, ["50,000", "50.000", "12 000", "72,5", "72.0", "1.234,5", "0,125"]
    ) == {
        "50,000": 50000,
        "50.000": 50000,
        "12 000": 12000,
        "72,5": WHOLE,
        "72.0": WHOLE,
        "1.234,5": WHOLE,
        "0,125": WHOLE,
    }


def test_answer_that_is_shown_again_is_the_same_number(page: Page) -> None:
    """In the language's digits and without grouping; also what nobody can type, such as a program's 1e-7."""
    values = [50000, 1.234, -0.5, 1e-7, 1e21, 0.1]
    shown = page.evaluate(SHOW, ["de", values])
    assert [value for _, _, value in shown] == values
    assert {problem for _, problem, _ in shown} == {None}
    assert [text for text, _, _ in shown][:4] == ["50000", "1,234", "-0,5", "0,0000001"]


def test_participant_chooses_what_an_ambiguous_number_means(
    new_context: Callable[..., BrowserContext], server: RunningServer
) -> None:
    """Nothing is recorded until they have chosen and gone on."""
    participant = Participant(new_context(locale="de-DE"), server.url)
    participant.open("intake")
    participant.expect_step("S1")
    participant.next()
    participant.write("S2", "1980-05-03")
    participant.answer("S3", "A check-up")
    participant.write("S8", "72,500")
    problem = participant.page.locator("#problem")
    expect(problem).to_have_text("Did you mean 72500 or 72.5?")
    assert [step for step, _ in participant.answered("intake")] == ["S1", "S2", "S3"]
    participant.page.get_by_role("button", name="72500").click()
    participant.next()
    expect(problem).to_contain_text("from 1 to 400")
    participant.write("S8", "72,500")
    participant.page.get_by_role("button", name="72.5", exact=True).click()
    expect(problem).to_be_hidden()
    expect(participant.field()).to_have_value("72.5")
    expect(participant.page.locator("#next")).to_be_focused()
    participant.page.keyboard.press("Enter")
    participant.answer("S9", "Yes")
    participant.write("S10", "1.200")
    expect(problem).to_contain_text("from 1 to 200")
    participant.write("S10", "12")
    participant.expect_step("S11")
    assert participant.answered("intake")[3:] == [("S8", 72.5), ("S9", True), ("S10", 12)]
