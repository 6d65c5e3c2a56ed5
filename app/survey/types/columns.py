"""The columns of a step's answers, as values: exports write them in each file format."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Cell = str | int | float | bool | datetime.date | None
"""A value in a row; None where there is none."""

ColumnKind = Literal["text", "whole", "number", "boolean", "date", "choice", "chosen"]
"""What a column holds; ``chosen`` is 1 if an option of a list was chosen, else 0."""

CODES = range(-2_147_483_647, 2_147_483_621)
"""Whole numbers that can be codes in SPSS and Stata: Stata's type long without its missing values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedValue:
    """A value with a label, and the whole number that represents it in SPSS and Stata.

    Attributes:
        revisions: those that have it, newest first; empty where they make no difference.
    """

    code: int
    value: str | int | float
    label: str
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerColumn:
    """One column.

    Attributes:
        label: its content in words, usually the prompt.
        suffix: what follows the step's id in the name of the column.
        coded: the values that have labels.
        option: the option of a ``chosen`` column.
    """

    kind: ColumnKind
    label: str
    suffix: str = ""
    coded: tuple[CodedValue, ...] = ()
    option: CodedValue | None = None
    unit: str | None = None


ToCells = Callable[[object], Sequence[Cell] | None]
"""Returns one cell a column for an answer that is not null; None if the answer does not fit the columns.

It accepts what the columns can hold, whatever the step accepts: older revisions accepted other answers, and integrators
save any value.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerColumns:
    """The columns of one step, none for a step without answers, and the cells of an answer in them."""

    columns: tuple[AnswerColumn, ...]
    to_cells: ToCells
