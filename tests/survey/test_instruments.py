"""The shipped instruments, walked to their ends, against their published rules in plain Python."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.survey import END, Answer, Begin, Rejection, SessionState, Survey, apply, decide, parse_survey
from app.survey.conditions import NO_CONTEXT
from tests.conftest import SURVEYS

NOW = 1_790_000_000_000_000


def shipped(name: str) -> Survey:
    return parse_survey((SURVEYS / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def walk(survey: Survey, answers: Mapping[str, Any], *, until: str = END) -> SessionState:
    """Answer each step that is shown, until this one."""
    state: SessionState | None = None
    command: Begin | Answer = Begin(at=NOW)
    while True:
        event = decide(survey, state, command)
        assert not isinstance(event, Rejection), (command, event)
        state = apply(state, event)
        if state.current_step == until:
            return state
        command = Answer(at=NOW, step=state.current_step, value=answers.get(state.current_step))


def gad7(answers: Mapping[str, Any]) -> list[str]:
    """The question about difficulty follows only if there is any problem (Spitzer et al. 2006)."""
    items = [f"Q{number}" for number in range(1, 8)]
    return [*items, *(["difficulty"] if any(answers[item] for item in items) else [])]


def audit(answers: Mapping[str, Any]) -> list[str]:
    """Skip to question 9 after "never", and if both 2 and 3 score 0 (WHO/MSD/MSB/01.6a, box 4)."""
    if answers["Q1"] == 0:
        return ["Q1", "Q9", "Q10"]
    if answers["Q2"] == answers["Q3"] == 0:
        return ["Q1", "Q2", "Q3", "Q9", "Q10"]
    return [f"Q{number}" for number in range(1, 11)]


PHQ9 = st.fixed_dictionaries({f"Q{number}": st.integers(0, 3) for number in range(1, 11)})
GAD7 = st.fixed_dictionaries({name: st.integers(0, 3) for name in (*(f"Q{n}" for n in range(1, 8)), "difficulty")})
AUDIT = st.fixed_dictionaries(
    {f"Q{number}": st.integers(0, 4) if number < 9 else st.sampled_from([0, 2, 4]) for number in range(1, 11)}
)


@given(answers=GAD7 | GAD7.map(lambda answers: dict.fromkeys(answers, 0)))
def test_gad7_asks_about_difficulty_only_after_a_problem(answers: dict[str, int]) -> None:
    assert list(walk(shipped("gad7"), answers).answers) == gad7(answers)


@given(answers=AUDIT | AUDIT.map(lambda answers: answers | {"Q2": 0, "Q3": 0}))
def test_audit_skips_as_published(answers: dict[str, int]) -> None:
    assert list(walk(shipped("audit"), answers).answers) == audit(answers)


def band(total: int, bands: Mapping[int, str]) -> str:
    """Return the band of the greatest limit that the total reaches."""
    return bands[max(least for least in bands if least <= total)]


PHQ9_BANDS = {0: "minimal", 5: "mild", 10: "moderate", 15: "moderately severe", 20: "severe"}
"""Kroenke, Spitzer, Williams 2001."""

GAD7_BANDS = {0: "minimal", 5: "mild", 10: "moderate", 15: "severe"}
"""Spitzer et al. 2006."""

AUDIT_ZONES = {0: "I", 8: "II", 16: "III", 20: "IV"}
"""WHO/MSD/MSB/01.6a, box 6."""


@given(answers=PHQ9 | PHQ9.map(lambda answers: dict.fromkeys(answers, 0)))
def test_phq9_scores_as_published(answers: dict[str, int]) -> None:
    total = sum(answers[f"Q{number}"] for number in range(1, 10))
    assert walk(shipped("phq9"), answers).values == {"total": total, "severity": band(total, PHQ9_BANDS)}


@given(answers=GAD7)
def test_gad7_scores_as_published(answers: dict[str, int]) -> None:
    total = sum(answers[f"Q{number}"] for number in range(1, 8))
    assert walk(shipped("gad7"), answers).values == {"total": total, "severity": band(total, GAD7_BANDS)}


@given(answers=AUDIT | AUDIT.map(lambda answers: answers | {"Q2": 0, "Q3": 0}))
def test_audit_scores_as_published(answers: dict[str, int]) -> None:
    """A question that is skipped scores 0."""
    total = sum(answers[item] for item in audit(answers))
    assert walk(shipped("audit"), answers).values == {"total": total, "zone": band(total, AUDIT_ZONES)}


@pytest.mark.parametrize(
    ("name", "items", "most", "bands"),
    [("phq9", 9, 3, PHQ9_BANDS), ("gad7", 7, 3, GAD7_BANDS), ("audit", 10, 4, AUDIT_ZONES)],
)
def test_every_total_has_its_band(name: str, items: int, most: int, bands: Mapping[int, str]) -> None:
    """Null until the last item is answered."""
    survey = shipped(name)
    for total in range(items * most + 1):
        full, rest = divmod(total, most)
        scores = [most] * full + [rest] * (full < items) + [0] * (items - full - 1)
        answers = {f"Q{number}": score for number, score in enumerate(scores, start=1)}
        values = survey.conditions.scope(answers, NO_CONTEXT).values
        assert [values["total"], *values.values()] == [total, total, band(total, bands)]
        del answers[f"Q{items}"]
        assert list(survey.conditions.scope(answers, NO_CONTEXT).values.values()) == [None, None]


@pytest.mark.parametrize(
    ("name", "without"), [("phq9", {"help", "Q10"}), ("gad7", {"difficulty"}), ("audit", set[str]())]
)
def test_every_item_says_its_period(name: str, without: set[str]) -> None:
    """For participants who resume behind the description."""
    survey = shipped(name)
    for language in survey.offered_languages:
        texts = survey.in_language(language)
        period = {"en": ("2 weeks", "year"), "de": ("2 Wochen", "Jahr")}[language]
        for step in texts.steps:
            assert step.id in without or any(words in (step.help or "") for words in period), (step.id, language)


@pytest.mark.parametrize(
    ("agrees", "asked"),
    [
        ("yes", ["about", "data", "understood", "agrees", "contact", "name", "date"]),
        ("no", ["about", "data", "understood", "agrees"]),
    ],
)
def test_consent_is_signed_only_by_those_who_agree(agrees: str, asked: list[str]) -> None:
    answers = {"understood": True, "agrees": agrees, "contact": ["none"], "name": "Ann Example", "date": "2026-09-21"}
    assert list(walk(shipped("consent"), answers).answers) == asked


def test_consent_is_not_signed_by_those_who_have_not_understood_it() -> None:
    survey = shipped("consent")
    state = walk(survey, {}, until="understood")
    refused = decide(survey, state, Answer(at=NOW, step="understood", value=False))
    assert isinstance(refused, Rejection)
    assert (refused.code, refused.message[:11]) == ("invalid_answer", "Please read")


@pytest.mark.parametrize("name", ["gad7", "audit", "consent"])
def test_every_text_of_a_shipped_instrument_is_translated(name: str) -> None:
    """No participant gets a mixture of languages."""
    survey = shipped(name)
    assert set(survey.languages) >= {"en", "de"}
    assert untranslated(survey.document, survey.languages) == []


def untranslated(value: Any, languages: tuple[str, ...], place: str = "") -> list[str]:
    """Return the places of texts without one of the languages."""
    texts = {"title", "description", "prompt", "help", "audio", "label", "message", "text", "placeholder", "unit"}
    if isinstance(value, list):
        return [found for n, item in enumerate(value) for found in untranslated(item, languages, f"{place}[{n}]")]
    if not isinstance(value, dict):
        return []
    return [
        found
        for key, item in value.items()
        for found in (
            ([] if isinstance(item, dict) and set(item) >= set(languages) else [f"{place}.{key}"])
            if key in texts
            else untranslated(item, languages, f"{place}.{key}")
        )
    ]
