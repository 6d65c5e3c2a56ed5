"""The step types.

To add one, write its module and list it in ``StepType`` and in ``FieldTypes`` of ``page.py``;
``tests/survey/test_types.py`` names what it lacks.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field

from .choice import (
    OTHER_LENGTH,
    Option,
    OptionItem,
    OptionsStep,
    OptionValue,
    chosen_value,
    require_plain,
)
from .columns import TYPED_CELLS, AnswerColumn, AnswerColumns, Cell, CodedValue, ColumnKind, ToCells, one_column
from .grid import GridStep, Row
from .info import InfoStep
from .page import FieldStep, FieldTypes, PageStep
from .step import (
    MAX_UNKNOWN_FIELDS,
    BaseStep,
    Check,
    Code,
    Expression,
    Flag,
    Image,
    InvalidAnswer,
    SampleRequest,
    StrictModel,
    Value,
    is_absent,
    unknown_fields,
)

StepType = Literal[
    "choice", "choices", "text", "number", "scale", "date", "boolean", "info",
    "time", "datetime", "month", "email", "phone", "ranking", "page", "grid",
]  # fmt: skip
"""As in survey files; in the order of ``Step``."""

Step = Annotated[FieldTypes | PageStep | GridStep, Field(discriminator="type")]

STEP_TYPES: Mapping[str, type[BaseStep]] = dict(zip(get_args(StepType), get_args(get_args(Step)[0]), strict=True))

__all__ = [
    "MAX_UNKNOWN_FIELDS",
    "OTHER_LENGTH",
    "STEP_TYPES",
    "TYPED_CELLS",
    "AnswerColumn",
    "AnswerColumns",
    "BaseStep",
    "Cell",
    "Check",
    "Code",
    "CodedValue",
    "ColumnKind",
    "Expression",
    "FieldStep",
    "Flag",
    "GridStep",
    "Image",
    "InfoStep",
    "InvalidAnswer",
    "Option",
    "OptionItem",
    "OptionValue",
    "OptionsStep",
    "PageStep",
    "Row",
    "SampleRequest",
    "Step",
    "StepType",
    "StrictModel",
    "ToCells",
    "Value",
    "chosen_value",
    "is_absent",
    "one_column",
    "require_plain",
    "unknown_fields",
]
