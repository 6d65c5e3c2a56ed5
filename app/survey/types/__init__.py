"""The step types.

To add one, write its module and list it in ``StepType`` and ``Step``; ``tests/survey/test_types.py`` names what it
lacks.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field

from .boolean import BooleanStep
from .choice import ChoiceStep
from .choices import ChoicesStep
from .columns import AnswerColumn, Cell, CodedValue, ColumnKind, ToCells
from .date import DateStep
from .info import InfoStep
from .number import NumberStep
from .scale import ScaleStep
from .step import BaseStep, InvalidAnswer, SampleRequest, StrictModel, Value
from .text import TextStep

StepType = Literal["choice", "choices", "text", "number", "scale", "date", "boolean", "info"]
"""As in survey files; in the order of ``Step``."""

Step = Annotated[
    ChoiceStep | ChoicesStep | TextStep | NumberStep | ScaleStep | DateStep | BooleanStep | InfoStep,
    Field(discriminator="type"),
]

STEP_TYPES: Mapping[str, type[BaseStep]] = dict(zip(get_args(StepType), get_args(get_args(Step)[0]), strict=True))

__all__ = [
    "STEP_TYPES",
    "AnswerColumn",
    "BaseStep",
    "Cell",
    "CodedValue",
    "ColumnKind",
    "InvalidAnswer",
    "SampleRequest",
    "Step",
    "StepType",
    "StrictModel",
    "ToCells",
    "Value",
]
