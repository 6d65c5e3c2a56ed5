"""The graph: what is known of a step's ways without any answer."""

import pytest

from app.survey.definition import Survey, parse_survey
from tests.conftest import SURVEYS


def shipped(name: str) -> Survey:
    """Return a survey that ships."""
    return parse_survey((SURVEYS / f"{name}.yaml").read_text(), f"{name}.yaml")


@pytest.mark.parametrize(
    ("name", "step", "target"),
    [
        ("phq9", "Q1", "Q2"),
        ("phq9", "Q9", None),
        ("phq9", "Q10", "end"),
        ("intake", "S3", None),
        ("intake", "S6", "S8"),
        ("intake", "S7", "S8"),
    ],
)
def test_way_is_known_when_no_condition_comes_first(name: str, step: str, target: str | None) -> None:
    """No rules lead to the next step of the list, a first rule without `when` where it says, others depend."""
    assert shipped(name).graph.fixed_next_step(step) == target


def test_last_step_leads_to_the_end_when_it_has_no_rules() -> None:
    """After the last step of the list comes the end."""
    survey = parse_survey("id: a\ntitle: t\nlanguage: en\nsteps:\n - {id: S1, type: info, prompt: p}\n", "a.yaml")
    assert survey.graph.fixed_next_step("S1") == "end"


def test_reads_names_the_answers_that_decide() -> None:
    """Other steps' answers only, none for a step without conditions, None where a condition may read any."""
    graph = shipped("phq9").graph
    assert graph.dependencies("Q9") == {f"Q{number}" for number in range(1, 9)}
    assert graph.dependencies("Q1") == frozenset()
    assert shipped("intake").graph.dependencies("S3") == frozenset()
    rule = '{when: "answers.exists(id, answers[id] == 1)", go: end}'
    text = f"id: a\ntitle: t\nlanguage: en\nsteps:\n - {{id: S1, type: number, prompt: p, next: [{rule}]}}\n"
    step_2 = " - {id: S2, type: info, prompt: p}\n"
    assert parse_survey(text + step_2, "a.yaml").graph.dependencies("S1") is None
