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
    """If in doubt, and for a null that is written, they can be equal."""
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
    return not isinstance(step, BaseStep) or any(
        _refused(open_one.name, step, value) is None for value in exact.samples
    )


def _is_null(one: Alternative) -> bool:
    return one.source is None and tuple(one.samples) == (None,)


def _problem(one: Alternative, other: Alternative, findings: Findings) -> str | None:
    if other.fields is not None or (one.source is None and (other.source is not None or one.is_exact)):
        one, other = other, one
    step, value = one.source, _value(other)
    if one.fields is not None and one.name:
        first = f"{one.name}.{next(iter(one.fields))}"
        shown = _noun(other) if value is None else _show(value)
        return f"{one.name} is never {shown}: it has several answers, such as {first}"
    if isinstance(step, tuple):
        is_null = one.samples[:1] == (None,)  # as it is where an answer is missing
        return None if value is None or is_null else _computed_never_is(one.name, step, value, findings)
    if not isinstance(step, BaseStep):
        return None if one.is_exact else f"{_noun(one)} is never {_noun(other) if value is None else _show(value)}"
    if value is not None:
        return _never_is(one, step, value, findings)
    if isinstance(other.source, BaseStep):
        return f"{one.name} and {other.name} are never equal: {_difference(step, other.source)}"
    return f"{one.name} is never {_noun(other)}"


def _computed_never_is(name: str, results: tuple[object, ...], value: Scalar, findings: Findings) -> str:
    meant = (
        findings.nearest(value, [one for one in results if isinstance(one, str)]) if isinstance(value, str) else None
    )
    hint = "" if meant is None else f"; did you mean {_show(meant)}?"
    return f"{name} is never {_show(value)}{hint}"


def _value(one: Alternative) -> Scalar | None:
    value = one.samples[0] if one.is_exact and one.source is None else None
    return value if isinstance(value, Scalar) else None


def _noun(one: Alternative) -> str:
    return _NOUNS.get(next(iter(types((one,)) or ()), object), "of this type")


def _difference(step: BaseStep, other: BaseStep) -> str:
    if not (step.takes_answer and other.takes_answer):
        return "one of them takes no answer"
    return "no value is an answer of both"


def _never_is(one: Alternative, step: BaseStep, value: Scalar, findings: Findings) -> str | None:
    shown = _show(value)
    if not step.takes_answer:
        return f"{one.name} is never {shown}: this step takes no answer"
    if one.items is not None:
        return f"{one.name} is never {shown}: it is a list; write {shown} in {one.name}"
    choices = tuple(step.labels())
    return (
        f"{one.name} is never {shown}{_hint(step, value, choices, findings)}"
        if choices
        else _refused(one.name, step, value)
    )


def _refused(name: str, step: BaseStep, value: Scalar) -> str | None:
    shown = _show(value)
    if step.is_empty(value):
        return f"{name} is never {shown}: an empty answer is null; compare with null"
    if type(value) not in step.value_types and not (isinstance(value, float) and int in step.value_types):
        kind = "numbers" if float in step.value_types else "texts" if str in step.value_types else "of another type"
        is_quoted = isinstance(value, str) and kind == "numbers" and _NUMBER.fullmatch(value)
        bare = f"; write {value}, without quotes" if is_quoted else ""
        return f"{name} is never {shown}: its answers are {kind}{bare}"
    try:
        stored = step.check_answer(value)
    except InvalidAnswer as error:
        return f"{name} is never {shown}: {str(error).rstrip('.')}"
    return None if stored == value else f"{name} is never {shown}: it is stored as {_show(stored)}"


def _hint(step: BaseStep, value: Scalar, choices: tuple[object, ...], findings: Findings) -> str:
    same = next((one for one in choices if _text(one) == _text(value)), None)
    if same is not None:
        return f": write {_show(same)}, {'with' if isinstance(same, str) else 'without'} quotes"
    labelled = next((one for one, label in step.labels().items() if label == value and one != label), None)
    if labelled is not None:
        return f": that is the label; write {_show(labelled)}"
    texts = [one for one in choices if isinstance(one, str)]
    meant = findings.nearest(value, texts) if isinstance(value, str) else None
    if meant is not None:
        return f"; did you mean {_show(meant)}?"
    more = ", ..." if len(choices) > _SHOWN else ""
    return f": its answers are {', '.join(map(_show, choices[:_SHOWN]))}{more}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return number_text(value) if isinstance(value, int | float) else str(value)


def _show(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else _text(value)
