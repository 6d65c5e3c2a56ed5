"""The graph of steps: where a step leads whatever is answered, and which answers decide."""

import pytest

from app.survey.checks import parse_survey
from app.survey.definition import Survey
from tests.conftest import SURVEYS


def shipped(name: str) -> Survey:
    """Return a survey that ships."""
    return parse_survey((SURVEYS / f"{name}.yaml").read_text(), f"{name}.yaml")


@pytest.mark.parametrize(
    ("name", "step", "target"),
    [
        ("phq9", "Q1", "Q2"),
        ("phq9", "Q9", None),
        ("phq9", "help", "Q10"),
        ("phq9", "Q10", "end"),
        ("intake", "S3", None),
        ("intake", "S6", "S8"),
        ("intake", "S7", "S8"),
    ],
)
def test_next_step_is_fixed_when_no_condition_comes_first(name: str, step: str, target: str | None) -> None:
    """Without rules it is the next step in the list; otherwise the target of a first rule without `when`."""
    assert shipped(name).graph.fixed_next_step(step) == target


def test_last_step_leads_to_the_end_when_it_has_no_rules() -> None:
    """There is no next step in the list."""
    survey = parse_survey("id: a\ntitle: t\nlanguage: en\nsteps:\n - {id: S1, type: info, prompt: p}\n", "a.yaml")
    assert survey.graph.fixed_next_step("S1") == "end"


def test_dependencies_are_the_other_steps_whose_answers_decide() -> None:
    """Empty for a step without conditions, None if a condition can read any answer."""
    graph = shipped("phq9").graph
    assert graph.dependencies("Q9") == {f"Q{number}" for number in range(1, 9)}
    assert graph.dependencies("Q1") == frozenset()
    assert shipped("intake").graph.dependencies("S3") == frozenset()
    rule = '{when: "answers.exists(id, answers[id] == 1)", go: end}'
    text = f"id: a\ntitle: t\nlanguage: en\nsteps:\n - {{id: S1, type: number, prompt: p, next: [{rule}]}}\n"
    step_2 = " - {id: S2, type: info, prompt: p}\n"
    assert parse_survey(text + step_2, "a.yaml").graph.dependencies("S1") is None


def test_dependencies_are_those_of_all_steps_that_may_be_passed() -> None:
    """Steps with show_if share what is read behind them, so that many in a row are no quadratic work."""
    first = " - {id: Q0, type: boolean, prompt: p}\n"
    gates = "".join(f" - {{id: Q{i}, type: info, prompt: p, show_if: answers.Q0}}\n" for i in range(1, 4))
    last = " - {id: Q4, type: info, prompt: p, show_if: answered(answers.Q1)}\n - {id: Q5, type: info, prompt: p}\n"
    graph = parse_survey(f"id: a\ntitle: t\nlanguage: en\nsteps:\n{first}{gates}{last}", "a.yaml").graph
    assert [graph.dependencies(f"Q{i}") for i in range(6)] == [{"Q1"}, {"Q0"}, {"Q0", "Q1"}, {"Q1"}, set(), set()]
    assert graph.gate_reads["Q1"] is graph.gate_reads["Q3"]


def test_no_step_is_unreachable_when_the_time_decides() -> None:
    """The time is not known when the survey is loaded."""
    rule = "next: [{when: today >= '2030-01-01', go: C}]"
    steps = f" - {{id: A, type: info, prompt: p, {rule}}}\n - {{id: B, type: info, prompt: p, next: [{{go: end}}]}}\n"
    text = f"id: a\ntitle: t\nlanguage: en\nsteps:\n{steps} - {{id: C, type: info, prompt: p}}\n"
    assert parse_survey(text, "a.yaml").graph.unreachable == ()


def test_step_that_may_have_no_option_also_leads_where_null_does() -> None:
    """It is continued without an answer then."""
    rules = "next: [{when: answer == null, go: C}, {go: end}]"
    steps = f"""\
 - {{id: A, type: boolean, prompt: p}}
 - {{id: B, type: choice, prompt: p, options: [{{value: x, show_if: answers.A}}], {rules}}}
 - {{id: C, type: info, prompt: p}}
"""
    graph = parse_survey(f"id: a\ntitle: t\nlanguage: en\nsteps:\n{steps}", "a.yaml").graph
    assert (graph.unreachable, graph.remaining["B"]) == ((), 2)
