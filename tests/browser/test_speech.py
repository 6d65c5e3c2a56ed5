"""What the page understands by voice: the whole of what was said, or nothing."""

# ruff: noqa: RUF001 - digits and punctuation of other scripts are what is tested

from typing import Any

import pytest
from playwright.sync_api import Page

from app.survey.types import STEP_TYPES
from tests.browser.participant import Participant, RunningServer

pytestmark = pytest.mark.browser

INTERPRET = """async ([language, cases]) => {
  const { changeLanguage } = await import("/assets/page/texts.js");
  if (!(await changeLanguage(language))) throw new Error("The texts can't be loaded.");
  const { interpret } = await import("/assets/page/audio-mode.js");
  return cases.map(([step, transcript]) => interpret(step, transcript));
}"""

BOOLEAN: dict[str, Any] = {"type": "boolean"}
NUMBER: dict[str, Any] = {"type": "number"}
WHOLE: dict[str, Any] = {"type": "number", "integer": True}
WEIGHT: dict[str, Any] = {"type": "number", "unit": "kg", "min": 1, "max": 400}
SCALE: dict[str, Any] = {"type": "scale", "min": 0, "max": 10}
DATE: dict[str, Any] = {"type": "date"}
TEXT: dict[str, Any] = {"type": "text"}
INFO: dict[str, Any] = {"type": "info"}
TIME: dict[str, Any] = {"type": "time"}
DATETIME: dict[str, Any] = {"type": "datetime"}
MONTH: dict[str, Any] = {"type": "month"}
EMAIL: dict[str, Any] = {"type": "email"}
PHONE: dict[str, Any] = {"type": "phone"}


def options(type_: str, *labels: str, values: tuple[Any, ...] = (), **fields: Any) -> dict[str, Any]:
    """Return a step with options, whose values are their labels unless they are given."""
    pairs = zip(labels, values or labels, strict=True)
    return {"type": type_, "options": [{"value": value, "label": label} for label, value in pairs], **fields}


REMEDY = options("choice", "Rest", "Ice", values=("a", 2))
PHQ = options("choice", "Not at all", "Several days", "More than half the days", values=(0, 1, 2))
COUNTS = options("choice", "0", "1", "2 or more")
SOME = options("choices", "Rest", "Ice", "Cold drinks", values=("a", 2, "c"), required=True)
RANKED = options("ranking", "Rest", "Ice", "Cold drinks", values=("a", 2, "c"))
OTHER: dict[str, Any] = {
    "type": "choices",
    "options": [{"value": "a", "label": "Rest"}, {"value": "b", "label": "Other", "other": True},
                {"value": "c", "label": "None", "exclusive": True}],
    "min_choices": 2,
}  # fmt: skip

ANSWERS: list[tuple[dict[str, Any], str, object]] = [
    (BOOLEAN, "Yes.", True),
    (BOOLEAN, "no I don’t", False),
    (NUMBER, "seven", 7),
    (NUMBER, "-7", -7),
    (NUMBER, "minus seven point five", -7.5),
    (NUMBER, "one hundred twenty one", 121),
    (NUMBER, "a hundred and five", 105),
    (NUMBER, "fifty thousand", 50000),
    (NUMBER, "two million three hundred thousand and twelve", 2300012),
    (NUMBER, "50 thousand", 50000),
    (NUMBER, "1.5 million", 1500000),
    (NUMBER, "50,000", 50000),
    (NUMBER, "72.5.", 72.5),
    (NUMBER, "٧٢", 72),
    (WHOLE, "1.000", 1000),
    (WEIGHT, "72.5 kilograms", 72.5),
    (WEIGHT, "seventy-two kg", 72),
    (SCALE, "seven", 7),
    (SCALE, "10", 10),
    (DATE, "the 3rd of May 1980", "1980-05-03"),
    (DATE, "May 3rd, 1980", "1980-05-03"),
    (DATE, "third of May 1980", "1980-05-03"),
    (DATE, "3 Feb 1980", "1980-02-03"),
    (DATE, "29 February 2024", "2024-02-29"),
    (DATE, "1980-05-03", "1980-05-03"),
    (TEXT, "My knee hurts", "My knee hurts"),
    (TIME, "7:30", "07:30"),
    (TIME, "19.45", "19:45"),
    (TIME, "7:30 p.m.", "19:30"),
    (TIME, "seven pm", "19:00"),
    (TIME, "12 a.m.", "00:00"),
    (TIME, "eight o'clock", "08:00"),
    (TIME, "seven thirty", "07:30"),
    (TIME, "seven forty five", "07:45"),
    (TIME, "seven oh five", "07:05"),
    (TIME, "half past seven", "07:30"),
    (TIME, "a quarter to eight", "07:45"),
    (TIME, "ten minutes past seven pm", "19:10"),
    (TIME, "noon", "12:00"),
    (DATETIME, "3 May 1980 at 7:30 p.m.", "1980-05-03T19:30"),
    (DATETIME, "May 3rd, 1980, 19:45", "1980-05-03T19:45"),
    (MONTH, "May 1980", "1980-05"),
    (MONTH, "feb of 2024", "2024-02"),
    (MONTH, "2024-02", "2024-02"),
    (EMAIL, "ann@example.org", "ann@example.org"),
    (EMAIL, "Ann dot Lee at example dot org", "ann.lee@example.org"),
    (EMAIL, "a n n underscore 1 @ example.org.", "ann_1@example.org"),
    (PHONE, "+49 30 123-4567", "+49301234567"),
    (PHONE, "plus four nine 30 one two three four", "+49301234"),
    (RANKED, "ice, cold drinks, rest", [2, "c", "a"]),
    (RANKED, "cold drinks, ice and rest", ["c", 2, "a"]),
    (OTHER, "none", ["c"]),
    (OTHER, "rest and other", ["a", "b"]),
    (REMEDY, "Rest!", "a"),
    (REMEDY, "two", 2),
    (REMEDY, "number two", 2),
    (REMEDY, "the second", 2),
    (REMEDY, "the first one", "a"),
    (REMEDY, "2nd", 2),
    (PHQ, "several days", 1),
    (PHQ, "the second", 1),
    (COUNTS, "one", "1"),
    (COUNTS, "2 or more", "2 or more"),
    (options("choice", "Next", "Last", values=(3, 4)), "next", 3),
    (options("choice", "constructor", "Rest"), "constructor", "constructor"),
    (SOME, "ice and rest", ["a", 2]),
    (SOME, "cold drinks, rest", ["a", "c"]),
    (SOME, "Rest, ice, and cold drinks.", ["a", 2, "c"]),
]

COMMANDS = [("go back", "back"), ("Next.", "next"), ("Repeat", "repeat"), ("skip", "skip")]

NOT_UNDERSTOOD: list[tuple[dict[str, Any], str]] = [
    (BOOLEAN, "perhaps"),
    (BOOLEAN, "yes or no"),
    (BOOLEAN, "not yes"),
    (BOOLEAN, "yes no"),
    (NUMBER, "72.5 kilograms"),
    (NUMBER, "one two"),
    (NUMBER, "twenty eleven"),
    (NUMBER, "one hundred and"),
    (NUMBER, "five or six"),
    (NUMBER, "about five"),
    (NUMBER, "five thousand thousand"),
    (NUMBER, "five thousand hundred"),
    (NUMBER, "a dozen"),
    (NUMBER, "1 2"),
    (NUMBER, "1, 200 and 5"),
    (NUMBER, "50%"),
    (NUMBER, "7/10"),
    (NUMBER, "7:30"),
    (NUMBER, "minus -7"),
    (NUMBER, "5 to 6"),
    (NUMBER, "the second"),
    (NUMBER, "point"),
    (NUMBER, "seven point"),
    (NUMBER, "seven point twelve"),
    (NUMBER, "12345678901234567890"),
    (WHOLE, "72.5"),
    (WHOLE, "seven point five"),
    (WEIGHT, "500 kg"),
    (WEIGHT, "minus 72 kg"),
    (WEIGHT, "72 pounds"),
    (SCALE, "eleven"),
    (SCALE, "minus seven"),
    (SCALE, "seven thousand"),
    (SCALE, "7.5"),
    (SCALE, "not seven"),
    (DATE, "31 February 1980"),
    (DATE, "3 May 0085"),
    (DATE, "30 February 2024"),
    (DATE, "29 February 2023"),
    (DATE, "0 May 1980"),
    (DATE, "3 May 80"),
    (DATE, "May 1980"),
    (DATE, "not the 3rd of May 1980"),
    (DATE, "3 or 4 May 1980"),
    (DATE, "3 constructor 1980"),
    (DATE, "3/5/1980"),
    (DATE, "1980-02-31"),
    ({**DATE, "min": "1980-06-01"}, "3 May 1980"),
    ({**DATE, "max": "1980-04-01"}, "3 May 1980"),
    (COUNTS, "two or more"),
    (REMEDY, "not rest"),
    (REMEDY, "rest or ice"),
    (REMEDY, "rest and ice"),
    (REMEDY, "three"),
    (REMEDY, "zero"),
    (REMEDY, "the third"),
    (REMEDY, "minus two"),
    (REMEDY, "constructor"),
    (REMEDY, "toString"),
    (REMEDY, "go back please"),
    (PHQ, "two"),
    (PHQ, "number one"),
    (COUNTS, "option one"),
    (options("choice", "Other", "other?"), "other"),
    (SOME, "not rest"),
    (SOME, "rest or ice"),
    (SOME, "rest and"),
    (SOME, "and rest"),
    (SOME, "cold"),
    (options("choices", "Rest", "Ice", "Rest and ice"), "rest and ice"),
    (options("choices", "Rest", "Ice", min_choices=2), "rest"),
    (options("choices", "Rest", "Ice", max_choices=1), "rest and ice"),
    (INFO, "seven"),
    (TIME, "seven"),
    (TIME, "25:00"),
    (TIME, "7:60"),
    (TIME, "13:00 p.m."),
    (TIME, "seven five"),
    (TIME, "half past"),
    (TIME, "about seven thirty"),
    ({**TIME, "max": "12:00"}, "seven pm"),
    (DATETIME, "3 May 1980"),
    (DATETIME, "31 February 1980 at 7:30"),
    (DATETIME, "7:30"),
    (MONTH, "1980"),
    (MONTH, "May 80"),
    (MONTH, "3 May 1980"),
    (MONTH, "2024-13"),
    (EMAIL, "ann example org"),
    (EMAIL, "ann at example"),
    (EMAIL, "my address is ann@example.org"),
    (PHONE, "030 1234567"),
    (PHONE, "plus 49"),
    (PHONE, "plus 49 thirty 1234567"),
    (RANKED, "ice and rest"),
    (RANKED, "ice, rest, ice"),
    (RANKED, "ice, rest, cold drinks, ice"),
    (OTHER, "rest and none"),
    (OTHER, "rest"),
]

UNKNOWN = ["not", "or", "please", "__proto__"]


@pytest.fixture
def page(participant: Participant, server: RunningServer) -> Page:
    """A page that can import the survey page's modules."""
    participant.page.goto(f"{server.url}/s/phq9")
    return participant.page


def interpret(page: Page, cases: list[tuple[dict[str, Any], str]], language: str = "en") -> list[Any]:
    """Return what the page understands of each transcript at its step."""
    understood: list[Any] = page.evaluate(INTERPRET, [language, cases])
    return understood


def test_speech_is_understood_when_it_is_an_answer(page: Page) -> None:
    understood = interpret(page, [(step, speech) for step, speech, _ in ANSWERS])
    heard = zip(ANSWERS, understood, strict=True)
    assert [(step["type"], speech, one) for (step, speech, answer), one in heard if one != {"value": answer}] == []


def test_speech_is_a_command_only_as_a_whole(page: Page) -> None:
    """Within other words it is part of an answer, or not understood."""
    assert interpret(page, [(SCALE, speech) for speech, _ in COMMANDS]) == [{"command": name} for _, name in COMMANDS]
    assert interpret(page, [(SCALE, f"{speech} please") for speech, _ in COMMANDS]) == [None] * len(COMMANDS)
    assert interpret(page, [(TEXT, "go back home")]) == [{"value": "go back home"}]


def test_speech_that_is_not_an_answer_is_none(page: Page) -> None:
    """No word is skipped, and what can be meant in two ways is not guessed."""
    understood = interpret(page, NOT_UNDERSTOOD)
    cases = zip(NOT_UNDERSTOOD, understood, strict=True)
    assert [(step["type"], speech, answer) for (step, speech), answer in cases if answer is not None] == []


def test_speech_with_an_unknown_word_is_none(page: Page) -> None:
    """At any place in an answer of any type that is asked as one; a text is whatever was said."""
    assert {step["type"] for step, _, _ in ANSWERS} | {"info", "page", "grid"} == set(STEP_TYPES)
    cases = [
        (step, " ".join([*words[:place], added, *words[place:]]))
        for step, speech, _ in ANSWERS
        if step["type"] != "text"
        for words in [speech.split()]
        for place in range(len(words) + 1)
        for added in UNKNOWN
    ]
    understood = interpret(page, cases)
    assert [case for case, answer in zip(cases, understood, strict=True) if answer is not None] == []
