"""Values that the models accept, since stored surveys may have them, and that no participant could use."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from ..endings import inserts_in_query
from ..resolve import hide_options
from ..types import BaseStep, InvalidAnswer, Option, chosen_value
from .document import Document, Path
from .findings import Findings
from .hints import missing_braces


def check_values(document: Document, steps: Mapping[int, BaseStep], findings: Findings) -> None:
    """Add defaults that are no answer, choices that can't be made, and redirects that lead nowhere."""
    for index, step in steps.items():
        path: Path = ("steps", index)
        if not step.is_empty(step.default):  # computed ones are not known here
            _check_default((*path, "default"), step, document, findings)
        fewest, together = getattr(step, "min_choices", None), [one for one in _options(step) if not one.exclusive]
        if together and "min_choices" not in step.computed and fewest is not None and fewest > len(together):
            most = f"the number of options that can be chosen together, {len(together)}"
            findings.add((*path, "min_choices"), f"min_choices {fewest} is greater than {most}")
    endings = document.at(("end",))
    for number in range(len(endings) if isinstance(endings, list) else 0):
        _check_redirect(("end", number, "redirect"), document, findings)


def default_problem(step: BaseStep, default: object) -> str | None:
    """Return why no participant could send a default, whichever options are shown; None if one could."""
    if not step.takes_answer:
        return "this step takes no answer, so leave out the default"
    named = [chosen_value(item) for item in (default if isinstance(default, list) else [default])]
    unnamed = frozenset(one.value for one in _options(step) if one.show_if is not None and one.value not in named)
    try:
        step.check_answer(default)
    except InvalidAnswer as error:
        if unnamed and hide_options(step, unnamed).accepts(default):
            return None
        return f"this step does not accept it: {str(error).rstrip('.')}"
    return None


def _check_default(path: Path, step: BaseStep, document: Document, findings: Findings) -> None:
    problem = default_problem(step, step.default)
    if problem is not None:
        findings.add(path, f"default: {problem}{missing_braces(path, document)}")


def _check_redirect(path: Path, document: Document, findings: Findings) -> None:
    address = document.at(path)
    if not isinstance(address, str):
        return
    if not inserts_in_query(address):
        example = "https://clinic.example/done?score={{ values.score }}"
        findings.add(path, f"{document.place(path)}: insertions can be values of the query only, as in {example}")
    elif not _has_right_port(address):
        findings.add(path, f"{document.place(path)}: the port must be a number from 1 to 65535")


def _has_right_port(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return True  # no address: the models say so
    try:
        return parts.port != 0
    except ValueError:
        return False


def _options(step: BaseStep) -> tuple[Option, ...]:
    return getattr(step, "options", ())
