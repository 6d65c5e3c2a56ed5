"""Date, time, datetime and month."""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...core.languages import Month
from .columns import AnswerColumn, AnswerColumns, Cell, ColumnKind, newest
from .step import BaseStep, InvalidAnswer, SampleRequest, require_ordered

TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]"
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
MONTH = r"[0-9]{4}-(0[1-9]|1[0-2])"

_Time = Annotated[str | None, Field(json_schema_extra={"pattern": f"^{TIME}$"})]
_Date = Annotated[str | None, Field(json_schema_extra={"format": "date", "pattern": f"^{DATE}$"})]
_Datetime = Annotated[str | None, Field(json_schema_extra={"pattern": f"^{DATE}T{TIME}$"})]
_Month = Annotated[str | None, Field(json_schema_extra={"pattern": f"^{MONTH}$"})]

_MomentType = type[datetime.date] | type[datetime.time]
_DATE_OR_DATETIME = re.compile(f"{DATE}(T{TIME})?")

_ADULT_YEARS = (18.0, 95.0)
_FIRST_YEAR = "1000"
"""Earlier ones are two digits of a year, such as 0085 for 1985, unless the step's ``min`` is earlier too."""


class MomentStep(BaseStep):
    """A step whose answers are texts of one length, which sort by time."""

    type: Literal["date", "time", "datetime", "month"]  # before the bounds, for the revision
    min: str | None = None
    max: str | None = None

    pattern: ClassVar[re.Pattern[str]]  # what matches may still not exist
    described: ClassVar[str]  # how an answer is written
    invalid: ClassVar[str]  # the key of a refusal
    kind: ClassVar[ColumnKind]
    moment_type: ClassVar[_MomentType]
    has_year: ClassVar[bool] = True
    computable = frozenset({"min", "max", "default"})
    value_types = frozenset({str})
    statistics = frozenset({"years"})
    answering_s = 8.0

    @field_validator("min", "max")
    @classmethod
    def _exists(cls, value: str | None) -> str | None:
        if value is not None and not cls.is_real(value):
            raise ValueError(f"must be {cls.described}")
        return value

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        require_ordered(self.min, self.max)
        return self

    @classmethod
    def parse(cls, text: str) -> object:
        """Return what is written; raise ValueError if it does not exist."""
        return cls.moment_type.fromisoformat(text)

    @classmethod
    def is_real(cls, text: str) -> bool:
        if not cls.pattern.fullmatch(text):
            return False
        try:
            cls.parse(text)
        except ValueError:
            return False
        return True

    def check_answer(self, value: object) -> str:
        if not isinstance(value, str) or not self.is_real(value):
            raise InvalidAnswer(self.invalid)
        if self.has_year and value < _FIRST_YEAR and (self.min is None or self.min >= _FIRST_YEAR):
            raise InvalidAnswer("refusals.two_digit_year")
        if self.min is not None and value < self.min:
            raise InvalidAnswer("refusals.not_before", earliest=self.parse(self.min))
        if self.max is not None and value > self.max:
            raise InvalidAnswer("refusals.not_after", latest=self.parse(self.max))
        return value

    def has_form(self, value: object) -> bool:
        return isinstance(value, str) and self.is_real(value)

    def within_bounds(self, text: str) -> str:
        text = text if self.min is None else max(text, self.min)
        return text if self.max is None else min(text, self.max)

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        return AnswerColumns((AnswerColumn(kind=cls.kind, label=newest(revisions).prompt),), cls._to_cells)

    @classmethod
    def _to_cells(cls, value: object) -> Sequence[Cell] | None:
        return (value,) if isinstance(value, str) and cls.is_real(value) else None


class DateStep(MomentStep):
    """A date, as YYYY-MM-DD."""

    type: Literal["date"]
    min: Annotated[_Date, Field(description="Earliest date accepted")] = None
    max: Annotated[_Date, Field(description="Latest date accepted")] = None

    pattern = re.compile(DATE)
    described = "a real date, as YYYY-MM-DD"
    invalid = "refusals.must_be_date"
    kind = "date"
    moment_type = datetime.date

    def sample(self, request: SampleRequest) -> object:
        if (self.min or "") < "1950":
            years = min(max(request.random.gauss(48, 17), _ADULT_YEARS[0]), _ADULT_YEARS[1])
            day = request.today - datetime.timedelta(days=int(years * 365.25))
        else:
            day = request.today - datetime.timedelta(days=int(request.random.expovariate(1 / 60)))
        return self.within_bounds(day.isoformat())

    @classmethod
    def _to_cells(cls, value: object) -> Sequence[Cell] | None:
        return (datetime.date.fromisoformat(value),) if isinstance(value, str) and cls.is_real(value) else None


class TimeStep(MomentStep):
    """A time of the day, as HH:MM."""

    type: Literal["time"]
    min: Annotated[_Time, Field(description="Earliest time accepted")] = None
    max: Annotated[_Time, Field(description="Latest time accepted")] = None

    pattern = re.compile(TIME)
    described = "a time from 00:00 to 23:59, as HH:MM"
    invalid = "refusals.must_be_time"
    kind = "time_of_day"
    moment_type = datetime.time
    has_year = False
    statistics = frozenset({"hours"})
    answering_s = 5.0

    def sample(self, request: SampleRequest) -> object:
        return self.within_bounds(_sample_time(request))


class DatetimeStep(MomentStep):
    """A date and a time of the day, as YYYY-MM-DDTHH:MM."""

    type: Literal["datetime"]
    min: Annotated[_Datetime, Field(description="Earliest date and time accepted")] = None
    max: Annotated[_Datetime, Field(description="Latest date and time accepted")] = None

    pattern = re.compile(f"{DATE}T{TIME}")
    described = "a real date and time, as YYYY-MM-DDTHH:MM"
    invalid = "refusals.must_be_datetime"
    kind = "datetime"
    moment_type = datetime.datetime
    answering_s = 11.0

    def sample(self, request: SampleRequest) -> object:
        day = request.today - datetime.timedelta(days=int(request.random.expovariate(1 / 10)))
        return self.within_bounds(f"{day.isoformat()}T{_sample_time(request)}")


class MonthStep(MomentStep):
    """A month of a year, as YYYY-MM."""

    type: Literal["month"]
    min: Annotated[_Month, Field(description="Earliest month accepted")] = None
    max: Annotated[_Month, Field(description="Latest month accepted")] = None

    pattern = re.compile(MONTH)
    described = "a month, as YYYY-MM"
    invalid = "refusals.must_be_month"
    kind = "month"
    moment_type = Month
    answering_s = 6.0

    def computed_value(self, name: str, value: object) -> Any:  # noqa: ANN401 - of the field's type
        return super().computed_value(name, self.computed_default(value))

    def computed_default(self, value: object) -> object:
        """An expression has dates, such as ``today``, but no months."""
        return value[:7] if isinstance(value, str) and _DATE_OR_DATETIME.fullmatch(value) else value

    @classmethod
    def parse(cls, text: str) -> object:
        return super().parse(f"{text}-01")

    def sample(self, request: SampleRequest) -> object:
        day = request.today - datetime.timedelta(days=int(request.random.expovariate(1 / 700)))
        return self.within_bounds(day.isoformat()[:7])


def _sample_time(request: SampleRequest) -> str:
    minutes = min(max(request.random.gauss(14 * 60, 4 * 60), 0), 24 * 60 - 1)
    return f"{int(minutes) // 60:02}:{int(minutes) % 60 // 5 * 5:02}"
