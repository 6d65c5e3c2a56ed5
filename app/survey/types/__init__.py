"""The step types.

To add one, write its class and list it in ``StepType`` and in ``FieldTypes`` of ``page.py``;
``tests/survey/test_types.py`` names what it lacks.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field

from .choice import chosen_value
from .columns import TYPED_CELLS, AnswerColumn, AnswerColumns, Cell, CodedValue, ColumnKind, ToCells, one_column
from .grid import GridStep, Row
from .page import FieldStep, FieldTypes, PageStep
from .step import BaseStep, Code, SampleRequest, Value

StepType = Literal[
    "choice", "choices", "text", "number", "scale", "date", "boolean", "info",
    "time", "datetime", "month", "email", "phone", "ranking", "page", "grid",
]  # fmt: skip
"""As in survey files; in the order of ``Step``."""

Step = Annotated[FieldTypes | PageStep | GridStep, Field(discriminator="type")]

STEP_TYPES: Mapping[str, type[BaseStep]] = dict(zip(get_args(StepType), get_args(get_args(Step)[0]), strict=True))

__all__ = [
    "STEP_TYPES",
    "TYPED_CELLS",
    "AnswerColumn",
    "AnswerColumns",
    "BaseStep",
    "Cell",
    "Code",
    "CodedValue",
    "ColumnKind",
    "FieldStep",
    "GridStep",
    "PageStep",
    "Row",
    "SampleRequest",
    "Step",
    "StepType",
    "ToCells",
    "Value",
    "chosen_value",
    "one_column",
]
