"""What a part of an expression can be, without answers."""

import datetime
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .frame import StepBudget
from .values import EvaluationError, TypeValue

_MAX_TRIED = 2000
"""Combinations of samples that one call is tried with."""

_MAX_EXACT = 100
"""Combinations whose results are kept one by one."""

_STEPS_OF_CALL = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alternative:
    """Some of the values that a part can have.

    Attributes:
        samples: if a function has a result of a type for any of the values, it has one of this type for a sample.
        is_exact: whether the samples are all the values.
        parts: of a list with one item for each of them.
        is_any: whether nothing is known, or nothing of an item.
    """

    samples: Sequence[Any]
    is_exact: bool = False
    items: "Possible | None" = None
    parts: "tuple[Possible, ...] | None" = None
    fields: "Mapping[str, Possible] | None" = None
    is_any: bool = False
    source: object = None
    name: str = ""


Possible = tuple[Alternative, ...]
"""All values that a part can have are of one of these."""

ANY = Alternative(samples=(), is_any=True)

SAMPLES: Mapping[type, tuple[Any, ...]] = {
    float: (1.0, 0.0, 2.5, -1.0, 12.0, 1000.0, 1e300, -1e300),
    str: (
        "12", "0.5", "true", "Demo", "", "1h", "UTC", "demo@example.org", "+4930123456",
        "2026-01-15", "0001-01-01", "9999-12-31", "2026-01-15T10:30", "0001-01-01T00:00", "9999-12-31T23:59",
        "2026-01", "10:30", "2026-01-15T10:30:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    ),
    bool: (True, False),
    bytes: (b"12",),
    datetime.datetime: tuple(
        datetime.datetime(*day, tzinfo=datetime.UTC) for day in ((2026, 1, 15), (1, 1, 1), (9999, 12, 31))
    ),
    datetime.timedelta: tuple(datetime.timedelta(days=days) for days in (1, 0, 3_000_000, -3_000_000)),
    type(None): (None,),
    TypeValue: (TypeValue("string"),),
}  # fmt: skip
"""Of each type: those that functions need, and the least and greatest."""

TYPED: Mapping[type, Alternative] = {
    kind: Alternative(samples=samples, is_exact=len(samples) == 1 and kind is not bytes and kind is not TypeValue)
    for kind, samples in SAMPLES.items()
}


TODAY = Alternative(samples=("2026-01-15",))
NOW = Alternative(samples=("2026-01-15T10:30",))


def constant(value: object) -> Alternative:
    return TYPED[type(None)] if value is None else Alternative(samples=(value,), is_exact=True)


def list_of(items: Iterable[Alternative], *, may_be_empty: bool) -> Alternative:
    """Return lists with any of these items."""
    possible = union(items)
    singles = [[sample] for item in possible for sample in item.samples]
    samples = [*([[]] if may_be_empty else []), *singles]
    return Alternative(samples=samples, items=possible, is_any=any(item.is_any for item in possible))


def map_of(fields: Mapping[str, Possible]) -> Alternative:
    columns = [[sample for one in possible for sample in one.samples] for possible in fields.values()]
    if not all(columns):
        return replace(ANY, fields=fields)
    count = max(map(len, columns))
    maps = [
        {name: column[number % len(column)] for name, column in zip(fields, columns, strict=True)}
        for number in range(count)
    ]
    return Alternative(samples=maps, fields=fields)


def literal_list(parts: Sequence[Possible]) -> Alternative:
    found = list_of(itertools.chain.from_iterable(parts), may_be_empty=not parts)
    by_type = [{type(sample): sample for item in part for sample in item.samples}.values() for part in parts]
    lists = [list(samples) for samples in itertools.islice(itertools.product(*by_type), _MAX_TRIED + 1)]
    samples = found.samples if len(lists) > _MAX_TRIED else lists
    return replace(found, samples=samples, parts=tuple(parts))


def union(alternatives: Iterable[Alternative]) -> Possible:
    found: dict[object, Alternative] = {}
    for one in alternatives:
        is_constant = one.is_exact and one.source is None and len(one.samples) == 1
        found.setdefault((type(one.samples[0]), one.samples[0]) if is_constant else id(one), one)
    return tuple(found.values())


def applied(function: Callable[..., Any], arguments: Sequence[Possible], budget: StepBudget) -> Possible:
    """Return what a function can give; raise EvaluationError if it always fails."""
    if any(one.is_any for argument in arguments for one in argument):
        return (ANY,)
    results, failure = [], EvaluationError("a list is always empty")
    samples = [[sample for one in argument for sample in one.samples] for argument in arguments]
    count = math.prod(map(len, samples))
    budget.left -= _STEPS_OF_CALL * count
    if count > _MAX_TRIED or budget.left < 0:
        return (ANY,)
    for values in itertools.product(*samples):
        try:
            results.append(function(*values))
        except EvaluationError as error:
            failure = error
    if not results:
        raise failure
    is_exact = count <= _MAX_EXACT and all(one.is_exact for argument in arguments for one in argument)
    return _merged(results, is_exact=is_exact)


def types(possible: Possible) -> frozenset[type] | None:
    """Return None if any type is possible."""
    if any(one.is_any and one.items is None for one in possible):
        return None
    lists = {list for one in possible if one.items is not None}
    return frozenset({*lists, *(type(sample) for one in possible if one.items is None for sample in one.samples)})


def can_be(possible: Possible, value: object) -> bool:
    return any(one.is_any or any(sample is value for sample in one.samples) for one in possible)


def _merged(values: Iterable[Any], *, is_exact: bool) -> Possible:
    values = list(values)
    lists = [value for value in values if type(value) is list]
    items = _merged(itertools.chain.from_iterable(lists), is_exact=is_exact) if any(lists) else ()
    listed = [list_of(items, may_be_empty=not all(lists))] if lists else []
    scalars = (constant(one) if is_exact else TYPED[type(one)] for one in values if type(one) not in {list, dict})
    return union((*listed, *scalars, *([ANY] if any(type(one) is dict for one in values) else [])))
