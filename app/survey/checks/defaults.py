"""Whether steps accept the defaults that a survey file has for them."""

from collections.abc import Mapping

from ..types import BaseStep, InvalidAnswer
from .document import Document
from .findings import Findings
from .hints import missing_braces


def check_defaults(document: Document, steps: Mapping[int, BaseStep], findings: Findings) -> None:
    """Add defaults that no participant could send as they are. Computed ones are not known here."""
    for index, step in steps.items():
        problem = None if step.is_empty(step.default) else _problem(step)
        if problem is not None:
            path = ("steps", index, "default")
            findings.add(path, f"default: {problem}{missing_braces(path, document)}")


def _problem(step: BaseStep) -> str | None:
    if not step.takes_answer:
        return "this step takes no answer, so leave out the default"
    try:
        step.check_answer(step.default)
    except InvalidAnswer as error:
        return f"this step does not accept it: {str(error).rstrip('.')}"
    return None
