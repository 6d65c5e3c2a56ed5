"""What the answers of a step can be, for expressions."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..expressions import ANY, SAMPLES, Alternative, Possible, list_of
from ..types import BaseStep


def possible_answers(steps: Mapping[str, BaseStep]) -> Callable[[str], Possible]:
    """Return a function that returns what the answer of a step can be, if it is answered.

    Args:
        steps: those that are right, by id; the answers of others can be anything.
    """
    known: dict[str, Possible] = {}

    def of_step(step_id: str) -> Possible:
        if step_id not in known:
            step = steps.get(step_id)
            known[step_id] = (ANY,) if step is None else (possible_answer(step, f"answers.{step_id}"),)
        return known[step_id]

    return of_step


def possible_answer(step: BaseStep, name: str) -> Alternative:
    """Return what the answer of a step can be.

    Args:
        name: as expressions write it.
    """
    values = tuple(float(value) if type(value) is int else value for value in step.labels())
    if not step.takes_answer:
        one = Alternative(samples=(None,), is_exact=True)
    elif values:
        one = Alternative(samples=values, is_exact=True)
    else:
        one = Alternative(
            samples=[sample for samples in SAMPLES.values() for sample in samples if step.has_form(sample)]
        )
    if not step.is_list:
        return replace(one, source=step, name=name)
    item = replace(one, source=step, name=f"an item of {name}")
    return replace(list_of((item,), may_be_empty=_can_be_empty(step)), source=step, name=name)


def _can_be_empty(step: BaseStep) -> bool:
    """Return whether a list can be empty; it can if options are hidden, or bounds computed."""
    is_fixed = not step.computed and all(option.show_if is None for option in getattr(step, "options", ()))
    return step.accepts([]) or not is_fixed
