"""The registry of step types: no type lacks a part, and the parts of each type agree."""

import datetime
import json
import random
from typing import Any, NamedTuple, get_args

import pytest
from pydantic import ValidationError

from app.survey.checks import parse_survey
from app.survey.types import STEP_TYPES, BaseStep, GridStep, PageStep, SampleRequest, Step, StepType, chosen_value
from app.survey.types.moments import MonthStep
from app.survey.types.step import InvalidAnswer
from tests.conftest import ROOT

EXAMPLES = parse_survey((ROOT / "tests/survey/every_field.yaml").read_text(), "every_field.yaml").steps
NO_ANSWERS = [None, {}, {"a": 1}, [["a"]], float("nan")]
"""Values that no step accepts as an answer."""

examples = pytest.mark.parametrize("step", EXAMPLES, ids=lambda step: step.id)


def is_composite(step: Step) -> bool:
    """Return whether an answer has answers to several questions."""
    return isinstance(step, PageStep | GridStep)


def samples(step: Step) -> list[Any]:
    """Return sample answers over the whole range of what a type can be asked for."""
    chance = random.Random(1)
    return [
        step.sample(
            SampleRequest(random=chance, level=level / 10, lean=chance.random(), today=datetime.date(2026, 3, 1))
        )
        for level in range(11)
    ]


def test_registry_union_and_names_list_the_same_types() -> None:
    """A type missing in one of the three would load but not export, or the reverse."""
    union, _discriminator = get_args(Step)
    assert set(STEP_TYPES.values()) == set(get_args(union))
    assert set(STEP_TYPES) == set(get_args(StepType))
    for name, step_type in STEP_TYPES.items():
        assert get_args(step_type.model_fields["type"].annotation) == (name,)


@pytest.mark.parametrize("name", STEP_TYPES)
def test_type_defines_every_part(name: str) -> None:
    """Its check, its columns, its samples and what analytics and demo data read."""
    step_type = STEP_TYPES[name]
    lacking = [part for part in ("check_answer", "sample", "columns") if vars(BaseStep)[part] is _part(step_type, part)]
    lacking += [part for part in ("value_types", "statistics", "answering_s") if not hasattr(step_type, part)]
    assert not lacking, f"{step_type.__name__} lacks {', '.join(lacking)}"
    assert any(step.type == name for step in EXAMPLES), f"tests/survey/every_field.yaml has no step of type {name}"


def _part(step_type: type[BaseStep], name: str) -> object:
    return next(vars(parent)[name] for parent in step_type.__mro__ if name in vars(parent))


@examples
def test_step_accepts_its_samples_and_possible_answers_as_they_are(step: Step) -> None:
    """A stored answer that is sent again stays the same."""
    for answer in [*samples(step), *(step.possible_answers() or ())]:
        if answer is None:
            assert not (step.takes_answer and step.required) or getattr(step, "pattern", None)
        else:
            assert step.check_answer(answer) == answer


@examples
def test_whatever_is_an_answer_may_be_a_draft(step: Step) -> None:
    """And what is half of one; no draft is much longer than the longest answer."""
    for answer in [*samples(step), *(step.possible_answers() or ())]:
        assert step.accepts_draft(answer)
        assert step.accepts_draft([answer])
    for value in (None, "", "3 o'cl", 1, [], {"a": 1}):
        assert step.accepts_draft(value)
    for value in ("x" * 100_000, ["x"] * 100_000, [0] * 100_000, {"a": "x" * 100_000}):
        assert not step.accepts_draft(value)


def test_draft_of_options_may_be_as_long_as_all_of_them() -> None:
    """Fewer options than an answer needs are a draft, however long their values are."""
    options = [f"{'x' * 900}{number}" for number in range(40)]
    step = parse_survey(
        json.dumps({
            "id": "long", "title": "T", "language": "en",
            "steps": [{"id": "S1", "type": "choices", "prompt": "P", "options": options, "min_choices": 40}],
        }),
        "long.json",
    ).steps[0]  # fmt: skip
    assert step.accepts_draft(options[:39])
    assert not step.accepts_draft(options * 2)


@pytest.mark.parametrize("bound", ["2026-05", "2026-05-03", "2026-05-03T10:00"])
def test_computed_bound_of_a_month_may_be_a_date(bound: str) -> None:
    """As `today` and `now` in expressions."""
    assert MonthStep(id="S1", type="month", prompt="p").computed_value("max", bound) == "2026-05"


@pytest.mark.parametrize("bound", ["2020-02-99", "2020-01-15", "2020-13"])
def test_bound_of_a_month_in_a_file_is_a_month(bound: str) -> None:
    """Only what is computed is cut."""
    with pytest.raises(ValidationError, match="must be a month, as YYYY-MM"):
        MonthStep(id="S1", type="month", prompt="p", max=bound)


def test_draft_may_have_the_longest_text_beside_an_option() -> None:
    """As long as an answer may be, in characters and not in bytes."""
    step = next(step for step in EXAMPLES if step.id == "c4")
    assert step.accepts_draft({"value": "b", "text": "😀" * 1000})
    assert not step.accepts_draft({"value": "b", "text": "😀" * 1001})


@examples
def test_sample_is_among_the_possible_answers_if_they_can_be_listed(step: Step) -> None:
    """The check of the survey's graph relies on the list being complete."""
    possible = step.possible_answers()
    assert possible is None or all(answer in possible for answer in samples(step))


class Check(NamedTuple):
    """An answer to a step of every_field.yaml: its stored form, or why it is refused."""

    step: str
    value: object
    stored: object = None
    problem: str = ""


# fmt: off
CHECKS = [
    Check("c1", "bare", "bare"), Check("c1", 3, 3), Check("c1", 3.0, 3), Check("c1", 1, 1), Check("c1", 2.5, 2.5),
    Check("c1", "One", problem="one of the options"), Check("c1", "3", problem="one of the options"),
    Check("c1", True, problem="one of the options"), Check("c1", ["bare"], problem="one of the options"),
    Check("c2", ["a", "c"], ["a", "c"]), Check("c2", ("a", "b", "c"), ["a", "b", "c"]),
    Check("c2", ["c", "a"], problem="in the order"), Check("c2", ["a", "a"], problem="each at most once"),
    Check("c2", ["a"], problem="at least 2"), Check("c2", ["a", "d"], problem="one of the options"),
    Check("c2", "a", problem="a list"), Check("c3", [], []), Check("c3", ["a", "b"], ["a", "b"]),
    Check("c4", "a", "a"), Check("c4", "b", {"value": "b", "text": ""}),
    Check("c4", {"value": "b", "text": " mine\n"}, {"value": "b", "text": "mine"}),
    Check("c4", {"value": "b", "text": f" {'x' * 1000} "}, {"value": "b", "text": "x" * 1000}),
    Check("c4", {"value": "b", "text": "x" * 1001}, problem="at most 1000"),
    Check("c4", {"value": "a", "text": ""}, problem="one of the options"),
    Check("c4", {"value": "b"}, problem="one of the options"),
    Check("c4", {"value": "b", "text": 1}, problem="one of the options"),
    Check("c4", {"value": "b", "text": "", "more": 1}, problem="one of the options"),
    Check("c5", ["c", "a"], ["a", "c"]), Check("c5", [2, "a"], ["a", {"value": 2, "text": ""}]),
    Check("c5", ["c", {"value": 2.0, "text": "x"}], [{"value": 2, "text": "x"}, "c"]),
    Check("c5", [2, {"value": 2, "text": "x"}], problem="each at most once"), Check("c5", ["none"], ["none"]),
    Check("c5", ["none", "a"], problem="“none” can't be chosen together"), Check("c5", ["a"], problem="at least 2"),
    Check("t1", "abc", "abc"), Check("t1", "a" * 20, "a" * 20), Check("t1", "a" * 21, problem="at most 20"),
    Check("t1", "abc1", problem="format"), Check("t1", 1, problem="text"),
    Check("n1", 0.5, 0.5), Check("n1", 9, 9), Check("n1", 0.4, problem="at least 0.5"),
    Check("n1", 9.1, problem="at most 9"), Check("n1", "1", problem="a number"), Check("n1", True, problem="a number"),
    Check("n1", float("inf"), problem="a number"), Check("n2", -3.0, -3), Check("n2", 2**53, 2**53),
    Check("n2", 1.5, problem="whole number"), Check("n2", 2**53 + 2, problem="too large"),
    Check("s1", 0, 0), Check("s1", 10.0, 10), Check("s1", 11, problem="at most 10"), Check("s1", 0.5, problem="whole"),
    Check("d1", "1900-01-01", "1900-01-01"), Check("d1", "2028-02-29", "2028-02-29"),
    Check("d1", "2027-02-29", problem="real date"), Check("d1", "1.1.2000", problem="real date"),
    Check("d1", "\uff12000-01-01", problem="real date"), Check("d1", "1899-12-31", problem="before Jan 1, 1900"),
    Check("d1", "2031-01-01", problem="after Dec 31, 2030"),
    Check("n3", 1.25, 1.25), Check("n3", 1.125, problem="at most 2 digits"), Check("n3", 1e300, 1e300),
    Check("n3", 0.07, 0.07), Check("n3", 1.005, problem="at most 2 digits"),
    Check("h1", "06:00", "06:00"), Check("h1", "22:30", "22:30"), Check("h1", "05:59", problem="before 6:00\u202fAM"),
    Check("h1", "22:31", problem="after 10:30\u202fPM"), Check("h1", "24:00", problem="HH:MM"),
    Check("h1", "7:00", problem="HH:MM"), Check("h1", "07:00:00", problem="HH:MM"), Check("h1", 7, problem="HH:MM"),
    Check("h1", "\uff107:00", problem="HH:MM"),
    Check("h2", "2024-02-29T12:00", "2024-02-29T12:00"), Check("h2", "2023-02-29T12:00", problem="real date and time"),
    Check("h2", "2024-02-29T24:00", problem="real date and time"), Check("h2", "2024-02-29", problem="real date and"),
    Check("h2", "2024-02-29 12:00", problem="real date and"), Check("h2", "2019-12-31T23:59", problem="before Jan 1, 2020, 12:00\u202fAM"),
    Check("m1", "1990-01", "1990-01"), Check("m1", "1989-12", problem="before Jan 1990"),
    Check("m1", "2026-13", problem="YYYY-MM"), Check("m1", "2026-1", problem="YYYY-MM"),
    Check("m1", "0085-01", problem="four digits"),
    *(Check("e1", one, one.strip()) for one in (
        "ann@example.org", " a.b+c@x-y.example.co.uk ", "zoë@bücher.example", "a@1.org", f"{'a' * 64}@example.org",
    )),
    *(Check("e1", one, problem="email address") for one in (
        "ann", "ann@example", "@example.org", "ann@", "a b@example.org", "ann@example..org", ".ann@example.org",
        "ann.@example.org", "ann@-x.org", "ann@x-.org", "ann@@x.org", f"{'b' * 65}@example.org", "<ann@example.org>",
        f"a@{'b.' * 130}org", "ann@example.org\nbcc@example.org", 1,
    )),
    *(Check("p1", one, stored) for one, stored in (
        ("+49 (30) 123-45.67", "+49301234567"), ("+123456", "+123456"), ("+123456789012345", "+123456789012345"),
        ("+49\u00a030\u2011123456", "+4930123456"), ("[+1] 202 555 0100", "+12025550100"),
    )),
    *(Check("p1", one, problem="country code") for one in (
        "030 123456", "+12345", "+1234567890123456", "+49 30 12345x", "++4930123456", "+\u0664\u0669301234567", "+", 49301234,
    )),
    Check("r1", ["c", "a", 2], ["c", "a", 2]), Check("r1", (2.0, "a", "c"), [2, "a", "c"]),
    Check("r1", ["c", "a"], problem="all of the options"), Check("r1", [], problem="all of the options"),
    Check("r1", ["c", "a", "a"], problem="all of the options"),
    Check("r1", ["c", "a", 2, "a"], problem="all of the options"),
    Check("r1", ["c", "a", {"value": 2, "text": ""}], problem="all of the options"),
    Check("r1", "a", problem="a list of options"),
    Check("b1", True, True), Check("b1", False, False), Check("b1", 1, problem="yes or no"),
    Check("i1", "ok", problem="no answer but null"),
]
# fmt: on


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.step} {check.value!r}"[:40])
def test_answer_is_checked(check: Check) -> None:
    """Bounds are inclusive, and nothing is converted but a whole number that is sent as a fraction."""
    step = next(step for step in EXAMPLES if step.id == check.step)
    if check.problem:
        with pytest.raises(InvalidAnswer, match=check.problem):
            step.check_answer(check.value)
    else:
        stored = step.check_answer(check.value)
        assert (stored, type(stored)) == (check.stored, type(check.stored))


@examples
def test_value_that_is_no_answer_is_refused(step: Step) -> None:
    """With an error that is for the participant, not a TypeError."""
    for value in NO_ANSWERS:
        if not (is_composite(step) and isinstance(value, dict)):
            with pytest.raises(InvalidAnswer):
                step.check_answer(value)


@examples
def test_answer_fills_all_columns_of_its_step(step: Step) -> None:
    """Whatever the step accepts fits; what it never accepts does not."""
    answers = STEP_TYPES[step.type].columns({"revision": step})
    assert bool(answers.columns) is (step.takes_answer and step.type != "page")  # its fields have them
    for answer in samples(step) if answers.columns else ():
        cells = answers.to_cells(answer) if answer is not None else ()
        assert cells is not None
        assert answer is None or len(cells) == len(answers.columns)
    for value in ({}, {"a": 1}, [["a"]]):
        assert answers.to_cells(value) is None or (is_composite(step) and isinstance(value, dict))


@examples
def test_labels_cover_the_possible_answers_if_analytics_count_by_label(step: Step) -> None:
    """Otherwise answers are counted as others. Those of a page or grid are counted by field and row."""
    if is_composite(step):
        return
    answers = samples(step)
    items = [chosen_value(item) for answer in answers for item in (answer if step.is_list else [answer])]
    assert all(type(item) in step.value_types for item in items if item is not None)
    if {"labels", "ranks"} & step.statistics:
        assert all(item in step.labels() for item in items)
    else:
        assert not step.labels()
