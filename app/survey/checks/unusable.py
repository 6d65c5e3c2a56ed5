"""Values that the models accept, but no participant could use."""

import zoneinfo
from urllib.parse import urlsplit

from ...core import strict_json
from ...core.formats import MAX_COMMAND_BYTES, MAX_LANGUAGE_LENGTH
from ..endings import inserts_in_query
from ..resolve import hide_options
from ..types import BaseStep, GridStep, PageStep, chosen_value
from ..types.choice import OTHER_LENGTH, Option
from ..types.step import InvalidAnswer
from .document import Document, Path
from .findings import Findings
from .hints import missing_braces
from .structure import Structure

_BYTES_A_CHARACTER = 4
_OTHER_BYTES = 260
"""Of any answer but a text or an option: an e-mail address is the longest."""


def check_unusable(document: Document, structure: Structure, findings: Findings) -> None:
    for path, step in structure.steps_and_fields():
        if isinstance(step, PageStep | GridStep):
            _check_size(path, step, findings)
        if step.default is not None and not step.is_empty(step.default):  # computed ones are not known here
            _check_default((*path, "default"), step, document, findings)
        fewest, together = getattr(step, "min_choices", None), [one for one in _options(step) if not one.exclusive]
        if together and "min_choices" not in step.computed and fewest is not None and fewest > len(together):
            most = f"the number of options that can be chosen together, {len(together)}"
            findings.add((*path, "min_choices"), f"min_choices {fewest} is greater than {most}")
    for number in range(len(document.items(("end",)))):
        _check_redirect(("end", number, "redirect"), document, findings)
    _check_locales(document, findings)


def _check_locales(document: Document, findings: Findings) -> None:
    language = document.at(("language",))
    if isinstance(language, str) and len(language) > MAX_LANGUAGE_LENGTH:
        findings.add(("language",), f"language: must have at most {MAX_LANGUAGE_LENGTH} characters")
    seen: set[str] = set()
    for index, tag in enumerate(document.items(("languages",))):
        if isinstance(tag, str) and tag.lower() in seen:
            findings.add(("languages", index), f"languages[{index}]: {tag} is listed twice")
        seen.add(str(tag).lower())
    name = document.at(("timezone",))
    if isinstance(name, str) and name not in zoneinfo.available_timezones():
        findings.add(("timezone",), f"timezone: {name!r} is not a time zone; write one such as Europe/Berlin")


def _check_size(path: Path, step: PageStep | GridStep, findings: Findings) -> None:
    size_bytes = most_bytes(step)
    if size_bytes > MAX_COMMAND_BYTES:
        name = "fields" if isinstance(step, PageStep) else "rows"
        hint = "reduce max_length of its texts, or split the page" if name == "fields" else "use fewer rows or options"
        findings.add(
            (*path, name),
            f"{name}: an answer could have {size_bytes:,} bytes; at most {MAX_COMMAND_BYTES:,} are allowed: {hint}",
        )


def most_bytes(step: BaseStep) -> int:
    if isinstance(step, PageStep):
        return sum(len(field.id) + 4 + most_bytes(field) for field in step.fields)
    options = [_option_bytes(option) for option in _options(step)]
    if isinstance(step, GridStep):
        a_row = sum(options) if step.multiple else max(options)
        return sum(len(row.id) + 4 + a_row for row in step.rows)
    if options:
        return sum(options) if step.is_list else max(options)
    return _OTHER_BYTES + _BYTES_A_CHARACTER * int(getattr(step, "max_length", 0))


def _option_bytes(option: Option) -> int:
    text_bytes = _OTHER_BYTES + _BYTES_A_CHARACTER * OTHER_LENGTH if option.other else 0
    return len(strict_json.encode(option.value).encode()) + 4 + text_bytes


def default_problem(step: BaseStep, default: object) -> str | None:
    """Return why no participant could send a default, whichever options are shown."""
    if not step.takes_answer:
        return "this step takes no answer, so leave out the default"
    named = [chosen_value(item) for item in (default if isinstance(default, list) else [default])]
    unnamed = frozenset(one.value for one in _options(step) if one.show_if is not None and one.value not in named)
    try:
        step.check_answer(default)
    except InvalidAnswer as error:
        if unnamed and hide_options(step, unnamed).accepts(default):
            return None
        problems = [f"{name}: {message}" for name, message in error.fields.items()] or [str(error)]
        return f"this step does not accept it: {'; '.join(one.rstrip('.') for one in problems)}"
    return None


def _check_default(path: Path, step: BaseStep, document: Document, findings: Findings) -> None:
    if isinstance(step.default, str) and "{{" in step.default:
        message = "{{ }} computes a default only if there is nothing around it; join texts inside it with +"
        findings.add(path, f"{document.place(path)}: {message}", level="warning")
    problem = default_problem(step, step.default)
    if problem is not None:
        findings.add(path, f"{document.place(path)}: {problem}{missing_braces(path, document)}")


def _check_redirect(path: Path, document: Document, findings: Findings) -> None:
    address = document.at(path)
    if not isinstance(address, str):
        return
    if not inserts_in_query(address):
        example = "https://clinic.example/done?score={{ values.score }}"
        findings.add(path, f"{document.place(path)}: insertions can only be values of the query, as in {example}")
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
