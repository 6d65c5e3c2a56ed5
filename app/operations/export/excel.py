"""Excel workbooks, in constant memory; text is never a formula."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InvalidInput
from ...survey.types import TYPED_CELLS, Cell, ColumnKind
from .codebook import TABLE_HEADER, codebook_rows
from .layout import Layout
from .programs import truncate
from .request import require
from .sessions import SessionReader

MAX_ROWS = 1_048_575  # below the header ("Excel specifications and limits")
MAX_COLUMNS = 16_384
MAX_TEXT = 32_767  # UTF-16 units of a cell
_FIRST_YEAR = 1900  # earlier dates are written as text
_MAX_NUMBER, _MIN_NUMBER = 9.99999999999999e307, 2.2251e-308
"""Of Excel ("Excel specifications and limits"); numbers beyond them are written as text."""

_FORMATS: Mapping[ColumnKind, str] = {
    "date": "yyyy-mm-dd",
    "time": "yyyy-mm-dd hh:mm:ss",
    "time_of_day": "hh:mm",
    "datetime": "yyyy-mm-dd hh:mm",
    "month": "yyyy-mm",
}


def write_xlsx(path: Path, layout: Layout, reader: SessionReader) -> None:
    if len(layout.columns) > MAX_COLUMNS:
        raise InvalidInput(f"Excel has {MAX_COLUMNS} columns, this export {len(layout.columns)}: use csv or parquet")
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    book = require("xlsxwriter", "xlsx").Workbook(path, options)
    try:
        sheet = _add_sheet(book, "sessions", [column.name for column in layout.columns])
        _write_sessions(book, sheet, layout, reader)
        sheet = _add_sheet(book, "codebook", TABLE_HEADER)
        for number, cells in enumerate(codebook_rows(layout), start=1):
            for place, cell in enumerate(cells):
                sheet.write_string(number, place, _truncate(cell))
    finally:
        book.close()


def _add_sheet(book: Any, name: str, header: Sequence[str]) -> Any:  # noqa: ANN401 - no types
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 1)
    sheet.write_row(0, 0, header, book.add_format({"bold": True}))
    return sheet


def _write_sessions(book: Any, sheet: Any, layout: Layout, reader: SessionReader) -> None:  # noqa: ANN401 - as above
    formats = {name: book.add_format({"num_format": text}) for name, text in _FORMATS.items()}
    for place, column in enumerate(layout.columns):
        if column.kind in formats:
            sheet.set_column(place, place, None, formats[column.kind])
    number = 0
    for rows in reader.rows(layout):
        for row in rows:
            number += 1
            if number > MAX_ROWS:
                raise InvalidInput(f"there are more sessions than the {MAX_ROWS} rows of Excel: use csv or parquet")
            for place, cell in enumerate(row):
                if cell is not None:
                    reader.counts.shortened += _write(sheet, number, place, _typed(layout.columns[place].kind, cell))


def _typed(kind: ColumnKind, cell: Cell) -> Cell:
    typed = TYPED_CELLS[kind](cell) if kind in TYPED_CELLS and isinstance(cell, str) else cell
    return str(cell) if isinstance(typed, datetime.date) and typed.year < _FIRST_YEAR else typed


def _write(sheet: Any, row: int, place: int, cell: Cell) -> bool:  # noqa: ANN401 - as above
    if isinstance(cell, float) and cell != 0 and not _MIN_NUMBER <= abs(cell) <= _MAX_NUMBER:
        cell = str(cell)
    if not isinstance(cell, str):
        sheet.write(row, place, cell)  # a date has its column's format
        return False
    text = _truncate(cell)
    sheet.write_string(row, place, text)
    return text != cell


def _truncate(text: str) -> str:
    return truncate(text, MAX_TEXT * 2, "utf-16-le")
