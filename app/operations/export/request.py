"""What is asked for: which sessions of a survey, in which format; values, checked before anything is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from ...errors import InvalidInput
from ...survey import Status

Format = Literal["csv", "long", "jsonl", "parquet", "xlsx", "sav", "dta"]
Mode = Literal["text", "audio"]

FORMATS: tuple[Format, ...] = get_args(Format)
MODES: tuple[Mode, ...] = get_args(Mode)
STATUSES: tuple[Status, ...] = get_args(Status)


class Shape(NamedTuple):
    """How a format is sent: its media type, how its files' names end, and whether it can be sent as it is made."""

    media_type: str
    suffix: str
    is_streamed: bool


SHAPES: Mapping[Format, Shape] = {
    "csv": Shape("text/csv; charset=utf-8", "csv", is_streamed=True),
    "long": Shape("text/csv; charset=utf-8", "long.csv", is_streamed=True),
    "jsonl": Shape("application/x-ndjson", "jsonl", is_streamed=True),
    "parquet": Shape("application/vnd.apache.parquet", "parquet", is_streamed=False),
    "xlsx": Shape("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx", is_streamed=False),
    "sav": Shape("application/x-spss-sav", "sav", is_streamed=False),
    "dta": Shape("application/x-stata-dta", "dta", is_streamed=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for; times are microseconds since 1970 UTC.

    Attributes:
        status: only sessions like this at the time of the export.
        since, until: only sessions that began then or later, and before ``until``.
        updated_since: only sessions that changed since.
        mode: only sessions that are in this mode.
        labels: of a choice the label, not the value (csv, parquet, xlsx; sav and dta hold both).
        spreadsheet_safe: text that a spreadsheet would take for a formula gets a ' in front (csv, long).
        history: each session with its events (jsonl).
        drafts: of a draft's event also what was half typed (long, jsonl with history).
    """

    survey_id: str
    format: Format = "csv"
    status: Status | None = None
    since: int | None = None
    until: int | None = None
    updated_since: int | None = None
    mode: Mode | None = None
    labels: bool = False
    spreadsheet_safe: bool = False
    history: bool = False
    drafts: bool = False

    def check(self) -> None:
        """Return if the format has all that is asked for.

        Raises:
            InvalidInput: it has not; it would be left out silently.
        """
        for name, formats in _ONLY_IN.items():
            if getattr(self, name) and self.format not in formats:
                raise InvalidInput(f"{name} is for {', '.join(formats)}: the format {self.format} has no such thing")
        if self.drafts and self.format == "jsonl" and not self.history:
            raise InvalidInput("drafts stand in the history: ask for it too")


_ONLY_IN: Mapping[str, tuple[Format, ...]] = {
    "labels": ("csv", "parquet", "xlsx"),
    "spreadsheet_safe": ("csv", "long"),
    "history": ("jsonl",),
    "drafts": ("long", "jsonl"),
}
