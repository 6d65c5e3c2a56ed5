"""Comparisons that no answer can make true."""

import re
from collections.abc import Iterable, Iterator

from ..expressions import Alternative, Possible, number_text, types
from ..types import BaseStep
from ..types.step import InvalidAnswer
from .findings import Findings

_SHOWN = 8
"""Values that a message names."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")

_NOUNS = {float: "a number", str: "a text", bool: "true or false", list: "a list", dict: "several answers"}

Scalar = float | str | bool


def impossible_comparisons(comparisons: Iterable[tuple[Possible, Possible]], findings: Findings) -> Iterator[str]:
    for left, right in comparisons:
        pairs = [(one, other) for one in left for other in right]
        if not any(_can_be_equal(one, other) for one, other in pairs):
            problems = (_problem(one, other, findings) for one, other in pairs)
            yield from list(filter(None, problems))[:1]


def _can_be_equal(one: Alternative, other: Alternative) -> bool:
    """Return True if in doubt, and for a null that is written."""
    kinds, others = types((one,)), types((other,))
    if kinds is None or others is None or _is_null(one) or _is_null(other):
        return True
    if kinds.isdisjoint(others):
        return False
    if kinds & {list, dict}:
        return True
    if one.is_exact == other.is_exact:
        return any(sample in one.samples for sample in other.samples)
    open_one, exact = (one, other) if other.is_exact else (other, one)
    step = open_one.source
    return not isinstance(step, BaseStep) or any(_refusal(step, value) is None for value in exact.samples)


def _is_null(one: Alternative) -> bool:
    return one.source is None and tuple(one.samples) == (None,)


def _problem(one: Alternative, other: Alternative, findings: Findings) -> str | None:
    if other.fields is not None or (one.source is None and (other.source is not None or one.is_exact)):
        one, other = other, one
    constant = other.samples[0] if other.is_exact and other.source is None else None
    step, value = one.source, constant if isinstance(constant, Scalar) else None
    never = f"{one.name or _noun(one)} is never {_noun(other) if value is None else _show(value)}"
    if one.fields is not None and one.name:
        return f"{never}: it has several answers, such as {one.name}.{next(iter(one.fields))}"
    if isinstance(step, tuple):  # the known results of a computed value
        is_null = one.samples[:1] == (None,)  # as it is where an answer is missing
        return None if value is None or is_null else f"{never}{_meant(value, step, findings)}"
    if not isinstance(step, BaseStep):
        return None if one.is_exact else never
    if value is not None:
        reason = _reason(one, step, value, findings)
        return None if reason is None else f"{never}{reason}"
    if isinstance(other.source, BaseStep):
        have_answers = step.takes_answer and other.source.takes_answer
        difference = "no value is an answer of both" if have_answers else "one of them takes no answer"
        return f"{one.name} and {other.name} are never equal: {difference}"
    return never


def _meant(value: Scalar, known: Iterable[object], findings: Findings) -> str:
    texts = [one for one in known if isinstance(one, str)]
    meant = findings.nearest(value, texts) if isinstance(value, str) else None
    return "" if meant is None else f"; did you mean {_show(meant)}?"


def _noun(one: Alternative) -> str:
    return _NOUNS.get(next(iter(types((one,)) or ()), object), "of this type")


def _reason(one: Alternative, step: BaseStep, value: Scalar, findings: Findings) -> str | None:
    if not step.takes_answer:
        return ": this step takes no answer"
    if one.items is not None:
        return f": it is a list; write {_show(value)} in {one.name}"
    choices = tuple(step.labels())
    return _hint(step, value, choices, findings) if choices else _refusal(step, value)


def _refusal(step: BaseStep, value: Scalar) -> str | None:
    if step.is_empty(value):
        return ": an empty answer is null; compare with null"
    if type(value) not in step.value_types and not (isinstance(value, float) and int in step.value_types):
        kind = "numbers" if float in step.value_types else "texts" if str in step.value_types else "of another type"
        is_quoted = isinstance(value, str) and kind == "numbers" and _NUMBER.fullmatch(value)
        bare = f"; write {value}, without quotes" if is_quoted else ""
        return f": its answers are {kind}{bare}"
    try:
        stored = step.check_answer(value)
    except InvalidAnswer as error:
        return f": {str(error).rstrip('.')}"
    return None if stored == value else f": it is stored as {_show(stored)}"


def _hint(step: BaseStep, value: Scalar, choices: tuple[object, ...], findings: Findings) -> str:
    same = next((one for one in choices if _text(one) == _text(value)), None)
    if same is not None:
        return f": write {_show(same)}, {'with' if isinstance(same, str) else 'without'} quotes"
    labelled = next((one for one, label in step.labels().items() if label == value and one != label), None)
    if labelled is not None:
        return f": that is the label; write {_show(labelled)}"
    more = ", ..." if len(choices) > _SHOWN else ""
    known = f": its answers are {', '.join(map(_show, choices[:_SHOWN]))}{more}"
    return _meant(value, choices, findings) or known


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return number_text(value) if isinstance(value, int | float) else str(value)


def _show(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else _text(value)
