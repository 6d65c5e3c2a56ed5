"""Date: a day of the calendar."""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from .columns import AnswerColumn, AnswerColumns, Cell
from .step import BaseStep, InvalidAnswer, SampleRequest, newest, require_ordered

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_SCHEMA = {"format": "date", "pattern": f"^{_DATE.pattern}$"}
_FIRST_DATE = "1000-01-01"
"""Earlier ones are two digits of a year, such as 0085 for 1985, unless the step's ``min`` is earlier too."""

_ADULT_YEARS = (18.0, 95.0)


class DateStep(BaseStep):
    """A date, as YYYY-MM-DD."""

    type: Literal["date"]
    min: Annotated[str | None, Field(description="Earliest date accepted", json_schema_extra={**_DATE_SCHEMA})] = None
    max: Annotated[str | None, Field(description="Latest date accepted", json_schema_extra={**_DATE_SCHEMA})] = None

    value_types = frozenset({str})
    statistics = frozenset({"years"})
    answering_s = 8.0

    @field_validator("min", "max")
    @classmethod
    def _is_date(cls, value: str | None) -> str | None:
        if value is not None and not is_date(value):
            raise ValueError("must be a real date, as YYYY-MM-DD")
        return value

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        require_ordered(self.min, self.max)
        return self

    def check(self, value: object) -> str:
        if not isinstance(value, str) or not is_date(value):
            raise InvalidAnswer("The answer must be a real date, as YYYY-MM-DD.")
        if value < _FIRST_DATE and (self.min is None or self.min >= _FIRST_DATE):
            raise InvalidAnswer("The year must have four digits, such as 1985.")
        if self.min is not None and value < self.min:
            raise InvalidAnswer(f"The date must not be before {self.min}.")
        if self.max is not None and value > self.max:
            raise InvalidAnswer(f"The date must not be after {self.max}.")
        return value

    def sample(self, request: SampleRequest) -> object:
        """Prefer a date of birth, else a day of the last year."""
        earliest = self.min or "0001-01-01"
        if earliest < "1950":
            years = min(max(request.random.gauss(48, 17), _ADULT_YEARS[0]), _ADULT_YEARS[1])
            day = request.today - datetime.timedelta(days=int(years * 365.25))
        else:
            day = request.today - datetime.timedelta(days=int(request.random.expovariate(1 / 60)))
        return min(max(day.isoformat(), earliest), self.max or "9999-12-31")

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        return AnswerColumns((AnswerColumn(kind="date", label=newest(revisions).prompt),), _to_cells)


def is_date(text: str) -> bool:
    """Return whether the day exists (RFC 3339 full-date)."""
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _to_cells(value: object) -> Sequence[Cell] | None:
    return (datetime.date.fromisoformat(value),) if isinstance(value, str) and is_date(value) else None
