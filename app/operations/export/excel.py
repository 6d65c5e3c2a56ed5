"""Excel workbooks, written in constant memory with XlsxWriter.

Text is always text, never a formula, number or link.
"""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import InvalidInput
from ...survey.types import Cell
from .codebook import TABLE_HEADER, codebook_rows
from .columns import Column
from .layout import Layout
from .optional import require
from .sessions import SessionReader

MAX_ROWS = 1_048_575
"""Below the header ("Excel specifications and limits")."""

MAX_COLUMNS = 16_384
MAX_TEXT = 32_767
"""UTF-16 units of a cell."""

_FIRST_YEAR = 1900
"""Earlier dates are written as text."""

_FORMATS = {"date": "yyyy-mm-dd", "time": "yyyy-mm-dd hh:mm:ss"}


def write_xlsx(path: Path, layout: Layout, reader: SessionReader, *, labels: bool) -> None:
    """Write the file.

    Raises:
        InvalidInput: too many sessions or columns.
    """
    if len(layout.columns) > MAX_COLUMNS:
        raise InvalidInput(f"Excel has {MAX_COLUMNS} columns, this export {len(layout.columns)}: use csv or parquet")
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    book = require("xlsxwriter", "xlsx").Workbook(path, options)
    try:
        _write_sessions(book, layout, reader, labels=labels)
        _write_codebook(book, layout)
    finally:
        book.close()


def _write_sessions(book: Any, layout: Layout, reader: SessionReader, *, labels: bool) -> None:  # noqa: ANN401 - no types
    sheet = book.add_worksheet("sessions")
    sheet.freeze_panes(1, 1)
    sheet.write_row(0, 0, [column.name for column in layout.columns], book.add_format({"bold": True}))
    formats = {name: book.add_format({"num_format": text}) for name, text in _FORMATS.items()}
    writers = [_writer(sheet, column, formats.get(column.kind), labels=labels) for column in layout.columns]
    number = 0
    for page in reader.pages():
        for key, state in page:
            number += 1
            if number > MAX_ROWS:
                raise InvalidInput(f"there are more sessions than the {MAX_ROWS} rows of Excel: use csv or parquet")
            for place, (write, cell) in enumerate(zip(writers, layout.row(key, state, reader.at), strict=True)):
                if cell is not None:
                    reader.counts.shortened += write(number, place, cell)


def _write_codebook(book: Any, layout: Layout) -> None:  # noqa: ANN401 - as above
    sheet = book.add_worksheet("codebook")
    sheet.freeze_panes(1, 1)
    sheet.write_row(0, 0, TABLE_HEADER, book.add_format({"bold": True}))
    for number, cells in enumerate(codebook_rows(layout), start=1):
        for place, cell in enumerate(cells):
            sheet.write_string(number, place, truncate(cell))


def _writer(sheet: Any, column: Column, date_format: Any, *, labels: bool) -> Callable[[int, int, Cell], bool]:  # noqa: ANN401
    """Return a function that writes a cell and returns whether it was truncated."""
    texts: dict[Cell, Cell] = dict(column.labels) if labels else {}

    def write(row: int, place: int, cell: Cell) -> bool:
        value = texts.get(cell, cell) if texts else cell
        if isinstance(value, datetime.date) and value.year < _FIRST_YEAR:
            value = value.isoformat()
        if isinstance(value, str):
            text = truncate(value)
            sheet.write_string(row, place, text)
            return text != value
        if isinstance(value, bool):
            sheet.write_boolean(row, place, value)
        elif isinstance(value, datetime.date):
            sheet.write_datetime(row, place, value, date_format)
        else:
            sheet.write_number(row, place, value)
        return False

    return write


def truncate(text: str) -> str:
    """Truncate to what a cell can hold."""
    if len(text) <= MAX_TEXT // 2:  # a character has at most two units
        return text
    return text.encode("utf-16-le")[: MAX_TEXT * 2].decode("utf-16-le", "ignore")
