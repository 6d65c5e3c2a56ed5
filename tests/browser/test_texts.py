"""The page's own texts, in the participant's language."""

# ruff: noqa: RUF001 - Arabic digits are what is tested

from typing import Any

import pytest
from playwright.sync_api import Page, Route

from app.core.languages import page_texts
from tests.browser.participant import Participant, RunningServer

pytestmark = pytest.mark.browser

TEXT = """async ([received, cases]) => {
  const { text, useTexts } = await import("/assets/page/texts.js");
  useTexts(received);
  return cases.map(([key, values]) => text(key, values));
}"""

CLIENT = """async (problems) => {
  const { describeInEnglish } = await import("/assets/client/strict-json.js");
  const { FINAL_CLOSE_CODES } = await import("/assets/client/protocol.js");
  const named = { before: "{before}", depth: "{depth}" };
  return [problems.map((problem) => describeInEnglish(problem, named)), Object.fromEntries(FINAL_CLOSE_CODES)];
}"""

CHANGE = """async (language) => {
  const { changeLanguage } = await import("/assets/page/texts.js");
  window.changeLanguage = changeLanguage;
  window.asked = changeLanguage(language);
}"""

TEXTS: dict[str, Any] = {
    "script": {
        "plain": "Weiter",
        "place": "{number} von {total}, {number}",
        "left": {
            "zero": "nothing",
            "one": "one",
            "two": "a pair",
            "few": "{count} few",
            "many": "{count} many",
            "other": "{count} of them",
        },
        "always": {"other": "{count} other"},
        "phrases": ["one", "two"],
    }
}


@pytest.fixture
def page(participant: Participant, server: RunningServer) -> Page:
    """A page that can import the survey page's modules."""
    participant.page.goto(server.url)
    return participant.page


def texts(page: Page, language: str, *cases: tuple[str, dict[str, Any]]) -> list[str]:
    """Return the texts of this file in a language."""
    found: list[str] = page.evaluate(
        TEXT, [{"language": language, "direction": "ltr", "texts": TEXTS}, [list(case) for case in cases]]
    )
    return found


def test_text_has_its_values_in_the_place_of_their_names(page: Page) -> None:
    """Text is inserted as it is, and a name without a value stays."""
    cases = (
        ("script.plain", {}),
        ("script.place", {"number": 3, "total": "{number}"}),
        ("script.place", {"number": "<b>", "total": 0}),
        ("script.place", {"number": 1}),
    )
    assert texts(page, "de", *cases) == ["Weiter", "3 von {number}, 3", "<b> von 0, <b>", "1 von {total}, 1"]


def test_text_that_is_missing_is_its_key(page: Page) -> None:
    """Also the names of objects' own methods, and a section."""
    keys = ["script.no", "nothing.at.all", "script.constructor", "script.plain.length", "script.phrases", "script"]
    assert texts(page, "en", *((key, {}) for key in keys)) == keys


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["0 of them", "one", "2 of them", "5 of them", "11 of them"]),
        ("ar", ["nothing", "one", "a pair", "٥ few", "١١ many"]),
        ("pl", ["0 many", "one", "2 few", "5 many", "11 many"]),
        ("ja", ["0 of them", "1 of them", "2 of them", "5 of them", "11 of them"]),
    ],
)
def test_count_chooses_the_plural_form_of_the_language(page: Page, language: str, expected: list[str]) -> None:
    counts = [0, 1, 2, 5, 11]
    found = texts(
        page, f"{language}-EG" if language == "ar" else language, *(("script.left", {"count": n}) for n in counts)
    )
    assert found == expected


def test_form_that_is_missing_is_other(page: Page) -> None:
    assert texts(page, "pl", ("script.always", {"count": 2})) == ["2 other"]


def test_number_is_formatted_in_the_language_of_the_page(page: Page) -> None:
    case = ("script.always", {"count": 12345.5})
    assert [texts(page, language, case) for language in ("en", "de", "ar-EG")] == [
        ["12,345.5 other"],
        ["12.345,5 other"],
        ["١٢٬٣٤٥٫٥ other"],
    ]


def test_client_says_in_english_what_the_page_says(page: Page) -> None:
    """The package that other pages use has no language files."""
    english = page_texts("en")["script"]
    problems, reasons = page.evaluate(CLIENT, list(english["unsendable"]))
    assert problems == list(english["unsendable"].values())
    assert reasons == {code: english["closed"][code] for code in reasons}


def test_last_language_that_was_asked_for_is_shown(participant: Participant, server: RunningServer) -> None:
    """Also if the texts of an earlier one arrive after it."""
    page = participant.page
    held: list[Route] = []
    page.route("**/de.json", lambda route: held.append(route))  # noqa: PLW0108 - Playwright takes no built-in function
    page.goto(f"{server.url}/s/phq9")
    with page.expect_request("**/de.json"):
        page.evaluate(CHANGE, "de")
    assert page.evaluate("(async () => await window.changeLanguage('fr'))()") is True
    held[0].continue_()
    assert page.evaluate("window.asked") is True
    assert page.evaluate("document.documentElement.lang") == "fr"
