"""Write exports and read them with Polars, openpyxl and pyreadstat."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import polars
import pyreadstat

from app.operations.export.export import Export
from app.operations.export.request import ExportRequest, Format
from app.operations.export.sessions import Counts
from app.sessions.service import SessionStore
from app.survey.commands import Save
from app.survey.snapshot import SessionKey

Row = Mapping[str, Any]

EVERY_TYPE = Path(__file__).with_name("every_type.yaml")
"""A survey with every step type."""


def export(store: SessionStore, survey_id: str, format_name: Format, **options: Any) -> tuple[bytes, Counts]:
    """Return the file and its counts."""
    file = Export(store, ExportRequest(survey_id=survey_id, format=format_name, **options)).write()
    pieces = list(file.pieces)
    assert all(pieces)  # an empty one would end a chunked response
    return b"".join(pieces), file.counts


def csv_rows(data: bytes) -> list[Row]:
    """Return the rows as texts; a missing value is None, an empty text is not."""
    return polars.read_csv(io.BytesIO(data), infer_schema=False).to_dicts()


def parquet_rows(data: bytes) -> list[Row]:
    return polars.read_parquet(io.BytesIO(data)).to_dicts()


def jsonl_rows(data: bytes) -> list[Row]:
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]


def sheet_rows(data: bytes, sheet: str = "sessions") -> list[Row]:
    header, *rows = openpyxl.load_workbook(io.BytesIO(data))[sheet].iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def labelled_rows(data: bytes, format_name: Format, folder: Path) -> tuple[list[Row], Any]:
    """Return the rows of an SPSS or Stata file, and the metadata of its variables."""
    path = folder / f"read.{format_name}"
    path.write_bytes(data)
    read = pyreadstat.read_sav if format_name == "sav" else pyreadstat.read_dta
    frame, metadata = read(path, output_format="polars")
    return frame.to_dicts(), metadata


def save(
    store: SessionStore, survey_id: str, user_id: str, answers: Mapping[str, Any], at: int = 1_700_000_000_000_000
) -> SessionKey:
    """Save a session with any answers."""
    key = SessionKey(survey_id, user_id)
    steps: Sequence[str] = tuple(answers)
    store.turns.submit(
        key,
        Save(at=at, current_step="end", answers=answers, step_history=steps, is_audio_mode=False, session_data=None),
    )
    return key
