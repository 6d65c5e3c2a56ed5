"""The export columns of a step's answers."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T")

Cell = str | int | float | bool | datetime.date | datetime.time | None

ColumnKind = Literal[
    "text", "whole", "number", "boolean", "date", "time", "choice", "chosen", "rank", "time_of_day", "datetime", "month"
]
"""A ``time`` is naive UTC; a ``time_of_day``, ``datetime`` (at the participant) or ``month`` is as it was answered.

``chosen`` is 1 or 0 for each option of a list; ``rank`` is 1 for the first option.
"""

TYPED_CELLS: Mapping[ColumnKind, Callable[[str], Cell]] = {
    "time_of_day": datetime.time.fromisoformat,
    "datetime": datetime.datetime.fromisoformat,
    "month": lambda text: datetime.date.fromisoformat(f"{text}-01"),
}
"""What formats with types make of cells of these kinds; of a month its first day."""

CODES = range(-2_147_483_647, 2_147_483_621)  # codes in SPSS and Stata: Stata's long without its missing values


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedValue:
    """A value with its code in SPSS and Stata; ``revisions`` are those that have it, newest first."""

    code: int
    value: str | int | float
    label: str
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerColumn:
    """One column; ``suffix`` follows the step's id in its name."""

    kind: ColumnKind
    label: str
    suffix: str = ""
    coded: tuple[CodedValue, ...] = ()
    option: CodedValue | None = None
    unit: str | None = None
    row: str | None = None  # of a grid, by its id


ToCells = Callable[[Any], Sequence[Cell] | None]
"""Returns a non-null answer's cells; None if it does not fit, as one of older revisions or integrators."""


class AnswerColumns(NamedTuple):
    """A step's columns, and an answer's cells."""

    columns: tuple[AnswerColumn, ...]
    to_cells: ToCells


def newest(revisions: Mapping[str, T]) -> T:
    return next(iter(revisions.values()))


def one_column(column: AnswerColumn, *types: type) -> AnswerColumns:
    return AnswerColumns((column,), lambda value: (value,) if type(value) in types else None)
