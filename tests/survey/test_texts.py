"""Texts in several languages, and which of them a participant gets."""

import json
from dataclasses import replace

import pytest

from app.errors import SurveyFileError
from app.survey.checks import parse_survey
from app.survey.commands import Answer, Rejection
from app.survey.definition import Survey, parse_definition
from app.survey.events import Answered
from app.survey.flow import decide
from app.survey.state import SessionContext
from tests.survey.test_flow import at

DAY_US = 24 * 3600 * 1_000_000

FILE = """
id: a
title: {en: Visit, de: Besuch, de-CH: Termin}
language: en
languages: [en, de, de-CH, ar]
steps:
  - id: S1
    type: choice
    prompt: {en: Why, de: Warum}
    options:
      - {value: new, label: {en: A new problem, de: Etwas Neues}}
      - plain
"""


def survey(text: str = FILE) -> Survey:
    return parse_survey(text, "mine.yaml")


@pytest.mark.parametrize(
    ("tag", "title", "label"),
    [
        ("en", "Visit", "A new problem"),
        ("de", "Besuch", "Etwas Neues"),
        ("DE-at", "Besuch", "Etwas Neues"),
        ("de-CH", "Termin", "Etwas Neues"),
        ("ar", "Visit", "A new problem"),
        ("fr", "Visit", "A new problem"),
        (None, "Visit", "A new problem"),
    ],
)
def test_text_falls_back_to_the_parent_language_and_then_to_that_of_the_survey(
    tag: str | None, title: str, label: str
) -> None:
    """Each text by itself: a translation may lack some."""
    shown = survey().in_language(tag)
    assert shown.title == title
    assert shown.client_steps["S1"]["options"][0]["label"] == label
    assert shown.client_steps["S1"]["options"][1]["label"] == "plain"


def test_translations_are_one_revision_with_one_graph() -> None:
    """A session changes its language without changing its revision."""
    original = survey()
    german = original.in_language("de")
    assert (german.shown_language, original.shown_language) == ("de", "en")
    assert german.revision == original.revision
    assert german.definition == original.definition
    assert german.graph is original.graph


def test_stored_definition_has_all_languages_whatever_the_order_of_the_file() -> None:
    """It is parsed again for the sessions pinned to it."""
    stored = parse_definition(survey().definition, "stored")
    assert stored.in_language("de").title == "Besuch"
    assert stored.revision == survey().revision
    reordered = FILE.replace("{en: Why, de: Warum}", "{de: Warum, en: Why}")
    assert survey(reordered).revision == survey().revision
    assert json.loads(stored.definition)["steps"][0]["prompt"] == {"de": "Warum", "en": "Why"}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("{en: Why, de: Warum}", "{}", "missing in every language"),
        ("{en: Why, de: Warum}", '{en: Why, de: ""}', "must not be empty"),
        ("{en: Why, de: Warum}", "{en: Why, de: 3}", "must be text"),
    ],
)
def test_invalid_text_is_refused_in_whichever_language_it_is(old: str, new: str, problem: str) -> None:
    """Not when the first participant chooses the language."""
    with pytest.raises(SurveyFileError, match=problem):
        survey(FILE.replace(old, new))


def test_computed_values_are_kept_apart_from_plain_ones_and_in_the_definition() -> None:
    """What reads a step finds numbers and dates, or nothing."""
    text = FILE + '  - {id: S2, type: date, prompt: When, min: 2020-01-01, max: "{{ today }}"}\n'
    step = survey(text).steps[1]
    assert step.computed == {"max": "today"}
    assert (getattr(step, "min"), getattr(step, "max")) == ("2020-01-01", None)  # noqa: B009 - fields of one type
    assert json.loads(survey(text).definition)["steps"][1]["max"] == "{{ today }}"
    assert parse_definition(survey(text).definition, "stored").steps[1].computed == {"max": "today"}


@pytest.mark.parametrize("tag", ["en", "de", "de-CH", "DE-at"])
def test_server_durations_hold_in_each_language(tag: str) -> None:
    """A translation has other texts, and the same rules."""
    original = survey()
    assert original.in_language(tag).expires_after is None  # also of a survey whose translation is used already
    shown = original.with_defaults(expires_after="1d", retention="2d").in_language(tag)
    assert (shown.expires_after, shown.retention) == ("1d", "2d")
    assert (shown.expires_after_us, shown.retention_us) == (DAY_US, 2 * DAY_US)
    assert original.in_language(tag).expires_after_us is None


@pytest.mark.parametrize("language", ["en", "de"])
def test_session_expires_in_each_language(language: str) -> None:
    """By the duration of the server too."""
    limited = survey().with_defaults(expires_after="1d", retention=None)
    state = replace(at("S1"), context=SessionContext(language=language))
    late = decide(limited, state, Answer(at=DAY_US, step="S1", value="new"))
    assert isinstance(late, Rejection)
    assert late.code == "expired"
    assert isinstance(decide(limited, state, Answer(at=DAY_US - 1, step="S1", value="new")), Answered)


def test_stored_languages_are_parsed_one_by_one_when_they_are_needed() -> None:
    """A language of a long survey takes as long as the survey."""
    stored = parse_definition(survey().definition, "stored")
    assert [tag for tag in ("en", "de", "de-CH", "fr") if stored.has_texts(tag)] == ["en", "fr"]
    german = stored.in_language("de")
    assert [tag for tag in ("de", "de-AT", "de-CH") if stored.has_texts(tag)] == ["de", "de-AT"]
    assert stored.in_language("de") is german
    assert survey().has_texts("de-CH")


def test_stored_text_that_this_release_refuses_is_that_of_the_survey() -> None:
    """Another release may allow longer texts."""
    stored = parse_definition(survey().definition.replace("Warum", ""), "stored")
    assert stored.in_language("de").title == "Visit"
    assert stored.has_texts("de")
