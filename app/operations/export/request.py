"""What an export contains, and what its format requires."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from ...core.installation import install_extra
from ...errors import InvalidInput
from ...survey import Status

Format = Literal["csv", "long", "jsonl", "parquet", "xlsx", "sav", "dta"]
Mode = Literal["text", "audio"]

MODES: tuple[Mode, ...] = get_args(Mode)
STATUSES: tuple[Status, ...] = get_args(Status)


class FormatInfo(NamedTuple):
    """A streamed format is written while sessions are read."""

    media_type: str
    suffix: str
    is_streamed: bool


FORMATS: Mapping[Format, FormatInfo] = {
    "csv": FormatInfo("text/csv; charset=utf-8", "csv", is_streamed=True),
    "long": FormatInfo("text/csv; charset=utf-8", "long.csv", is_streamed=True),
    "jsonl": FormatInfo("application/x-ndjson", "jsonl", is_streamed=True),
    "parquet": FormatInfo("application/vnd.apache.parquet", "parquet", is_streamed=False),
    "xlsx": FormatInfo("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx", is_streamed=False),
    "sav": FormatInfo("application/x-spss-sav", "sav", is_streamed=False),
    "dta": FormatInfo("application/x-stata-dta", "dta", is_streamed=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export; times are us since 1970 UTC, those of the creation with ``until`` exclusive."""

    survey_id: str
    format: Format = "csv"
    status: Status | None = None
    since: int | None = None
    until: int | None = None
    updated_since: int | None = None
    mode: Mode | None = None
    labels: bool = False
    language: str | None = None
    spreadsheet_safe: bool = False
    history: bool = False
    drafts: bool = False

    def __post_init__(self) -> None:
        for name, formats in _SUPPORTED.items():
            if getattr(self, name) and self.format not in formats:
                raise InvalidInput(
                    f"The parameter {name} requires the format {' or '.join(formats)}, not {self.format}."
                )
        if self.drafts and self.format == "jsonl" and not self.history:
            raise InvalidInput("The parameter drafts requires history.")


def require(module: str, format_name: str) -> Any:  # noqa: ANN401 - some of them have no types
    """Return a library of the extra ``export``, or raise InvalidInput."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"{format_name} files require an extra: run {install_extra('export')}, or use csv, long or jsonl"
        ) from error


_SUPPORTED: Mapping[str, tuple[Format, ...]] = {
    "labels": ("csv", "parquet", "xlsx"),
    "language": ("csv", "parquet", "xlsx", "sav", "dta"),
    "spreadsheet_safe": ("csv", "long"),
    "history": ("jsonl",),
    "drafts": ("long", "jsonl"),
}
