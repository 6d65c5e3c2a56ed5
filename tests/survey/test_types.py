"""The registry of step types: no type lacks a part, and the parts of each type agree."""

import datetime
import random
from typing import Any, get_args

import pytest

from app.survey.definition import parse_survey
from app.survey.types import STEP_TYPES, BaseStep, InvalidAnswer, SampleRequest, Step, StepType
from tests.conftest import ROOT

EXAMPLES = parse_survey((ROOT / "tests/survey/every_field.yaml").read_text(), "every_field.yaml").steps
NO_ANSWERS = [None, {}, {"a": 1}, [["a"]], float("nan")]
"""Values that no step accepts as an answer."""

examples = pytest.mark.parametrize("step", EXAMPLES, ids=lambda step: step.id)


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
    lacking = [part for part in ("check", "sample", "columns") if vars(BaseStep)[part] is _part(step_type, part)]
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
            assert step.check(answer) == answer


@examples
def test_sample_is_among_the_possible_answers_if_they_can_be_listed(step: Step) -> None:
    """The check of the survey's graph relies on the list being complete."""
    possible = step.possible_answers()
    assert possible is None or all(answer in possible for answer in samples(step))


@examples
def test_value_that_is_no_answer_is_refused(step: Step) -> None:
    """With an error that is for the participant, not a TypeError."""
    for value in NO_ANSWERS:
        with pytest.raises(InvalidAnswer):
            step.check(value)


@examples
def test_answer_fills_all_columns_of_its_step(step: Step) -> None:
    """Whatever the step accepts fits; what it never accepts does not."""
    answers = STEP_TYPES[step.type].columns({"revision": step})
    assert bool(answers.columns) is step.takes_answer
    for answer in samples(step):
        cells = answers.to_cells(answer) if answer is not None else ()
        assert cells is not None
        assert answer is None or len(cells) == len(answers.columns)
    for value in ({}, {"a": 1}, [["a"]]):
        assert answers.to_cells(value) is None


@examples
def test_labels_cover_the_possible_answers_if_analytics_count_by_label(step: Step) -> None:
    """Otherwise answers are counted as others."""
    items = [item for answer in samples(step) for item in (answer if step.is_list else [answer])]
    assert all(type(item) in step.value_types for item in items if item is not None)
    if "labels" in step.statistics:
        assert all(item in step.labels() for item in items)
    else:
        assert not step.labels()
