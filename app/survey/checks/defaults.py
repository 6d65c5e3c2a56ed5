"""Whether steps accept the defaults that a survey file has for them."""

from collections.abc import Mapping

from ..types import BaseStep, InvalidAnswer
from .findings import Findings


def check_defaults(steps: Mapping[int, BaseStep], findings: Findings) -> None:
    """Add defaults that no participant could send as they are. Computed ones are not known here."""
    for index, step in steps.items():
        problem = None if step.is_empty(step.default) else _problem(step)
        if problem is not None:
            findings.add(("steps", index, "default"), f"default: {problem}")


def _problem(step: BaseStep) -> str | None:
    if not step.takes_answer:
        return "this step takes no answer, so leave out the default"
    try:
        step.check_answer(step.default)
    except InvalidAnswer as error:
        return f"this step does not accept it: {str(error).rstrip('.')}"
    return None
