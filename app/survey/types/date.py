"""Date: a day of the calendar."""

import datetime
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from .columns import Cell
from .moments import DATE, MomentStep
from .step import SampleRequest

_DATE_SCHEMA = {"format": "date", "pattern": f"^{DATE}$"}

_ADULT_YEARS = (18.0, 95.0)


class DateStep(MomentStep):
    """A date, as YYYY-MM-DD."""

    type: Literal["date"]
    min: Annotated[str | None, Field(description="Earliest date accepted", json_schema_extra={**_DATE_SCHEMA})] = None
    max: Annotated[str | None, Field(description="Latest date accepted", json_schema_extra={**_DATE_SCHEMA})] = None

    pattern = re.compile(DATE)
    described = "a real date, as YYYY-MM-DD"
    invalid = "refusals.must_be_date"
    kind = "date"

    @classmethod
    def parse(cls, text: str) -> datetime.date:
        return datetime.date.fromisoformat(text)

    def sample(self, request: SampleRequest) -> object:
        """Prefer a date of birth, else a day of the last year."""
        if (self.min or "") < "1950":
            years = min(max(request.random.gauss(48, 17), _ADULT_YEARS[0]), _ADULT_YEARS[1])
            day = request.today - datetime.timedelta(days=int(years * 365.25))
        else:
            day = request.today - datetime.timedelta(days=int(request.random.expovariate(1 / 60)))
        return self.within_bounds(day.isoformat())

    @classmethod
    def _to_cells(cls, value: object) -> Sequence[Cell] | None:
        return (datetime.date.fromisoformat(value),) if isinstance(value, str) and cls.is_real(value) else None
