"""What a check says of an expression is true: no answers make it true, or give it a value."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from app.core import strict_json
from app.survey.checks import check_survey
from app.survey.conditions import NO_CONTEXT
from app.survey.definition import Survey
from app.survey.expressions import EvaluationError, InvalidExpression, Names, Scope, compile_expression
from app.survey.pages import shown_fields
from app.survey.types import FieldStep, PageStep, Step
from tests.conftest import examples

TEXTS = (
    "", "x", "y", "z", "12", "-3", "1e3", "0.5", "true", "f", "1h", "-90m", "2026-02-01", "1999-12-31T08:00", "0300-01-01",
    "2026-02", "08:00", "2026-02-01T00:00:00Z", "9999-12-31T23:59:59-05:00", "Europe/Berlin", "+01:00", "a@b.example",
)  # fmt: skip
STEPS: Mapping[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "a": ({"type": "choice", "options": ["x", "y"]}, ("x", "y")),
    "b": ({"type": "choice", "options": ["y", "z", "12", 1]}, ("y", "z", "12", 1)),
    "c": ({"type": "choice", "options": [1, 2, {"value": "2026-02-01", "other": True}]}, (1, 2, "2026-02-01")),
    "m": ({"type": "choices", "options": ["x", "z"]}, (["x"], ["z"], ["x", "z"])),
    "k": ({"type": "choices", "options": ["y", 1], "min_choices": 0, "required": False}, ([], ["y"], [1], ["y", 1])),
    "o": ({"type": "boolean"}, (True, False)),
    "s": ({"type": "scale", "min": 0, "max": 2}, (0, 1, 2)),
    "n": ({"type": "number", "min": -3}, (-3, 0, 0.5, 1, 12, 1e6)),
    "t": ({"type": "text"}, TEXTS[1:]),
    "d": ({"type": "date"}, ("2026-02-01", "1000-01-01", "9999-12-31", "1999-12-31")),
    "h": ({"type": "month", "max": "2026-12"}, ("2026-02", "1000-01")),
    "i": ({"type": "info"}, (None,)),
}  # fmt: skip
NAMES = Names(answers=frozenset(STEPS))

LEAVES = st.one_of(
    st.sampled_from([f"answers.{step}" for step in STEPS]),
    st.sampled_from(
        ["answers.m[0]", "answers.k[1]", "today", "now", "null", "true", "false", "0", "1", "2", "12", "0.5"]
    ),
    st.sampled_from([*TEXTS, "Yes"]).map(lambda text: f'"{text}"'),
)
ONE = [
    "(-{})", "(!{})", "[{}]", "int({})", "double({})", "string({})", "bool({})", "timestamp({})", "duration({})", "size({})",
    "sum({})", "minimum({})", "count({})", "round({})", "abs({})", "answered({})", "dyn({})", "{}.getHours()",
    '{}.matches("^[0-9]+$")', "{}[0]", "{{{}: 1}}",
]  # fmt: skip
TWO = [
    "({} == {})", "({} != {})", "({} < {})", "({} + {})", "({} - {})", "({} * {})", "({} / {})", "({} && {})", "({} || {})",
    "({} in {})", "({} in [{}, 1])", "[{}, {}]", "coalesce({}, {})", "mod({}, {})", "round({}, {})", "age({}, {})",
    "days_between({}, {})", "add_days({}, {})", "add_years({}, {})", "{}.startsWith({})", "{}.getHours({})", "{{{}: {}}}",
    "{}.exists(v, v == {})", "{}.all(v, v < {})", "{}.map(v, v + {})", "{}.filter(v, v != {})", "{}.exists_one(v, {} == v)",
    "{}.map(v, {} == v, [v])", "{}[{}]",
]  # fmt: skip


def joined(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(st.sampled_from(ONE), children).map(lambda one: one[0].format(one[1])),
        st.tuples(st.sampled_from(TWO), children, children).map(lambda one: one[0].format(*one[1:])),
        st.tuples(children, children, children).map(lambda one: "({} ? {} : {})".format(*one)),
    )


EXPRESSIONS = st.recursive(LEAVES, joined, max_leaves=6)


def found_in(condition: str) -> list[str]:
    """Return what is wrong with the condition of a step that follows all others."""
    steps = [{"id": step_id, "prompt": "P", **fields} for step_id, (fields, _) in STEPS.items()]
    steps.append({"id": "last", "type": "info", "prompt": "P", "show_if": condition})
    document = strict_json.encode({"id": "a", "title": "t", "language": "en", "steps": steps})
    return [finding.message.removeprefix("step last: show_if: ") for finding in check_survey(document, "a.json")[1]]


def answers_of(condition: str, *, with_null: bool) -> Iterator[dict[str, Any]]:
    """Yield all answers to the steps that a condition reads, or some if there are many."""
    read = sorted(compile_expression(condition, NAMES).step_ids or ())
    values = [(*STEPS[step][1], *((None,) if with_null else ())) for step in read]
    combinations = list(itertools.product(*values))
    for chosen in combinations[:: 1 + len(combinations) // 2000]:
        yield dict(zip(read, chosen, strict=True))


def value(expression: str, answers: Mapping[str, Any]) -> Any:
    """Return the value; raise EvaluationError if there is none."""
    return compile_expression(expression, NAMES).value(Scope(answers, all_ids=tuple(STEPS), now="2026-03-01T12:00"))


@given(EXPRESSIONS)
@examples(300)
def test_expression_that_is_refused_has_a_boolean_value_for_no_answers(condition: str) -> None:
    """Whatever is inferred of it."""
    try:
        compile_expression(condition, NAMES)
    except InvalidExpression:
        return
    refused = [finding for finding in found_in(condition) if "this never has a value" in finding]
    event(f"refused: {bool(refused)}")
    for answers in answers_of(condition, with_null=False) if refused else ():
        try:
            result = value(condition, answers)
        except EvaluationError:
            continue
        assert not isinstance(result, bool), (answers, refused)


OPERANDS = st.one_of(
    LEAVES,
    st.tuples(LEAVES, LEAVES).map(lambda one: "coalesce({}, {})".format(*one)),
    st.tuples(LEAVES, LEAVES).map(lambda one: "(answers.o ? {} : {})".format(*one)),
    st.tuples(LEAVES, LEAVES).map(lambda one: "[{}, {}][1]".format(*one)),
    st.sampled_from(
        ["string(answers.s)", "answers.s + 1", "answers.t + answers.a", "size(answers.m)", "answers.m + answers.k"]
    ),
)


@given(OPERANDS, OPERANDS, st.sampled_from(["{} == {}", "{} != {}", "{} in [{}]", "[{}].exists(v, v == {})"]))
@examples(500)
def test_comparison_that_is_refused_is_equal_for_no_answers(left: str, right: str, comparison: str) -> None:
    """But for null on both sides, which nobody means."""
    condition = comparison.format(left, right)
    refused = [finding for finding in found_in(condition) if "never" in finding and "has a value" not in finding]
    event(f"refused: {bool(refused)}")
    for answers in answers_of(condition, with_null=True) if refused else ():
        try:
            is_equal = value(f"{left} == {right}", answers) and value(f"{left} != null", answers)
        except EvaluationError:
            continue
        assert not is_equal, (answers, refused)


@given(st.data())
@examples(300)
def test_comparison_of_two_steps_is_refused_exactly_if_no_answers_are_equal(data: st.DataObject) -> None:
    """Of those whose answers can be listed."""
    listed = ("a", "b", "c", "o", "s")
    left, right = data.draw(st.sampled_from(listed)), data.draw(st.sampled_from(listed))
    can_be_equal = any(
        value(f"answers.{left} == answers.{right}", {left: one, right: other})
        for one, other in itertools.product(STEPS[left][1], STEPS[right][1])
        if left != right or one == other
    )
    assert bool(found_in(f"answers.{left} == answers.{right}")) is not can_be_equal


BOOLEANS = "abcde"


@st.composite
def booleans(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw steps that may be left out, skipped and passed; two may be the fields of a page."""
    steps: list[dict[str, Any]] = []
    for number, step_id in enumerate(BOOLEANS):
        reads = st.sampled_from([f"answers.{other}" for other in BOOLEANS[:number]] or ["answers.a"])
        wholes = st.sampled_from(["{} == true", "!{}", "answered({})", "{} == null"])
        step: dict[str, Any] = {"id": step_id, "type": "boolean", "prompt": "P", "required": draw(st.booleans())}
        if number and draw(st.booleans()):
            step["show_if"] = draw(wholes).format(draw(reads))
        if number < len(BOOLEANS) - 1 and draw(st.booleans()):
            go = draw(st.sampled_from([*BOOLEANS[number + 1 :], "end"]))
            step["next"] = [{"when": draw(wholes).format(draw(st.one_of(reads, st.just("answer")))), "go": go}]
        steps.append(step)
    first = draw(st.integers(0, len(BOOLEANS)))
    return with_page(steps, first) if first + 2 <= len(BOOLEANS) else steps


def with_page(steps: list[dict[str, Any]], first: int) -> list[dict[str, Any]]:
    """Return the steps with two of them as the fields of a page, which has the rule of the first one."""
    fields = [{name: value for name, value in step.items() if name != "next"} for step in steps[first : first + 2]]
    ids = [field["id"] for field in fields]
    rules = [
        {"when": re.sub(r"\banswer\b", f"answers.{ids[0]}", rule["when"]), "go": rule["go"]}
        for rule in steps[first].get("next", ())
        if rule["go"] not in ids
    ]
    before = [
        {**step, "next": [{**rule, "go": "page" if rule["go"] in ids else rule["go"]} for rule in step.get("next", ())]}
        for step in steps[:first]
    ]
    page = {"id": "page", "type": "page", "prompt": "P", "fields": fields, "next": rules}
    return [*before, page, *steps[first + 2 :]]


def possible_answers(survey: Survey, step: Step | FieldStep, answers: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what a participant can answer; to a page the answers of the fields that are then shown."""
    if not isinstance(step, PageStep):
        yield from (True, False, *(() if step.required else (None,)))
        return
    for chosen in itertools.product(*(possible_answers(survey, field, answers) for field in step.fields)):
        values, given = dict(zip([field.id for field in step.fields], chosen, strict=True)), dict[str, Any]()
        for field in shown_fields(survey, step, answers, NO_CONTEXT, given):
            given[field.id] = values[field.id]
        yield given


def answers_at(survey: Survey, place: str, step: str, answers: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the answers of all walks to a step or the end."""
    if step == place:
        yield answers
    elif step != "end":
        for answer in possible_answers(survey, survey.steps_by_id[step], answers):
            after = {**answers, step: answer}
            yield from answers_at(survey, place, survey.graph.next_step(step, after)[0], after)


INSERTED = st.tuples(
    st.sampled_from(["{}", "coalesce({}, {})", "{} ? 1 : {}", "answered({}) ? {} : 0", "values.both"]),
    *[st.sampled_from([f"answers.{step}" for step in BOOLEANS])] * 2,
).map(lambda one: one[0].format(*one[1:]))


@given(booleans(), st.integers(0, len(BOOLEANS)), INSERTED)
@examples(300)
def test_insertion_without_a_warning_has_a_value_on_every_route(
    steps: list[dict[str, Any]], index: int, inserted: str
) -> None:
    """Whatever rules and show_if leave out before it."""
    text = f"{{{{ {inserted} }}}}"
    place = steps[index]["id"] if index < len(steps) else "end"
    shown = [{**step, "prompt": text} if step["id"] == place else step for step in steps]
    fields = {"id": "a", "title": "t", "language": "en", "steps": shown, "values": {"both": "answers.a && answers.b"}}
    end = {"end": [{"title": text}]} if place == "end" else {}
    survey, findings = check_survey(strict_json.encode({**fields, **end}), "a.json")
    is_warned = any("may have no value" in one.message for one in findings)
    event(f"warned: {is_warned}")
    if survey is None or is_warned:
        return
    expression = survey.conditions.insertion(inserted)
    for answers in answers_at(survey, place, survey.graph.first_step(), {}):
        assert expression.value(survey.conditions.scope(answers, NO_CONTEXT)) is not None, answers
