"""What REST answers about a survey's export, as models: for the OpenAPI document and for tests."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..operations.export import Kind
from ..survey.types import StepType


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CodebookRevision(_Answer):
    """A revision of the survey."""

    revision: str
    is_newest: bool


class CodebookValue(_Answer):
    """An answer that has a label; ``code`` stands for it in SPSS and Stata."""

    code: int
    value: str | int | float
    label: str
    revisions: list[str]


class CodebookPrompt(_Answer):
    """How a revision asked."""

    revision: str
    prompt: str


class CodebookColumn(_Answer):
    """A column: its names, its kind, and its step by revision."""

    name: str
    spss: str
    stata: str
    kind: Kind
    label: str
    missing: str
    step: str | None
    type: StepType | None
    required: bool | None
    unit: str | None
    revisions: list[str]
    condition: str | None
    values: list[CodebookValue]
    prompts: list[CodebookPrompt]


class CodebookShown(_Answer):
    """The codebook of a survey."""

    format: Literal["stepkeep-codebook-1"]
    survey_id: str
    title: str
    language: str
    description: str | None
    revisions: list[CodebookRevision]
    columns: list[CodebookColumn]
    notes: list[str]


class CodebookAnswer(_Answer):
    """The codebook."""

    success: Literal[True]
    codebook: CodebookShown


EXPORT_ANSWERS = (CodebookAnswer,)
