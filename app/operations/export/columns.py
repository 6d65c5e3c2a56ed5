"""What a column of an export is, and the columns that every export begins and ends with. Values; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ...survey.types import CodedValue, ColumnKind, Step

Kind = ColumnKind | Literal["time"]
"""What a column holds; a ``time`` is naive UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column.

    Attributes:
        name: what it is called in all formats but SPSS's and Stata's, whose rules are narrower.
        label: what it holds, in words: of a step its prompt.
        steps: the step by revision, newest first; empty where it is of no step.
        coded: the answers that have labels.
        option: with ``chosen``, the option.
    """

    name: str
    kind: Kind
    label: str
    steps: Mapping[str, Step]
    coded: tuple[CodedValue, ...] = ()
    option: CodedValue | None = None
    unit: str | None = None

    @property
    def step(self) -> Step | None:
        """The step as its newest revision has it."""
        return next(iter(self.steps.values()), None)


def _column(name: str, kind: Kind, label: str) -> Column:
    return Column(name=name, kind=kind, label=label, steps={})


FRONT = (
    _column("user_id", "text", "The participant"),
    _column("survey_id", "text", "The survey"),
    _column("revision", "text", "The revision of the survey that the session is pinned to"),
    _column("status", "text", "in_progress, completed or expired, at the time of the export"),
    _column("mode", "text", "text or audio: the mode that the session is in"),
    _column("started_at", "time", "When the session began (UTC)"),
    _column("updated_at", "time", "When it changed last (UTC)"),
    _column("completed_at", "time", "When it was completed (UTC)"),
    _column("duration_s", "number", "Seconds from its begin to its completion, pauses among them"),
    _column("version", "whole", "The number of its events"),
    _column("current_step", "text", "The step that it is at; end: completed"),
)
"""What stands before the answers."""

BACK = (
    _column("skipped", "text", "The steps that were passed without an answer, by spaces"),
    _column("other_answers", "text", "The answers that fit no column, as JSON by step"),
)
"""What stands behind them."""
