"""Excel workbooks by XlsxWriter, in constant memory: the sessions, and the codebook on a second sheet.

Text is written as text: never as a formula, a number or a link.
"""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import InvalidInput
from ...survey.types import Cell
from .codebook import TABLE_HEAD, table_of
from .columns import Column
from .layout import Layout
from .optional import needed
from .walk import Walk

MAX_ROWS = 1_048_575
"""Sessions that a sheet can hold below its head (Excel's specifications and limits)."""

MAX_COLUMNS = 16_384
MAX_TEXT = 32_767
"""Characters that a cell can hold, as Excel counts: in UTF-16."""

_FIRST_YEAR = 1900
"""Excel knows no dates before; such a date is written as text."""

_FORMATS = {"date": "yyyy-mm-dd", "time": "yyyy-mm-dd hh:mm:ss"}


def write_xlsx(path: Path, layout: Layout, walk: Walk, *, labels: bool) -> None:
    """Write the file.

    Raises:
        InvalidInput: there are more sessions, or columns, than Excel can hold.
    """
    if len(layout.columns) > MAX_COLUMNS:
        raise InvalidInput(f"Excel holds {MAX_COLUMNS} columns, and these are {len(layout.columns)}: take csv, parquet")
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    book = needed("xlsxwriter", "xlsx").Workbook(path, options)
    try:
        _write_sessions(book, layout, walk, labels=labels)
        _write_codebook(book, layout)
    finally:
        book.close()


def _write_sessions(book: Any, layout: Layout, walk: Walk, *, labels: bool) -> None:  # noqa: ANN401 - no types
    sheet = book.add_worksheet("sessions")
    sheet.freeze_panes(1, 1)
    sheet.write_row(0, 0, [column.name for column in layout.columns], book.add_format({"bold": True}))
    formats = {name: book.add_format({"num_format": text}) for name, text in _FORMATS.items()}
    writers = [_writer(sheet, column, formats.get(column.kind), labels=labels) for column in layout.columns]
    number = 0
    for page in walk.pages():
        for key, state in page:
            number += 1
            if number > MAX_ROWS:
                raise InvalidInput(f"Excel holds {MAX_ROWS} rows, and there are more sessions: take csv or parquet")
            for place, (write, cell) in enumerate(zip(writers, layout.row(key, state, walk.at), strict=True)):
                if cell is not None:
                    walk.counts.shortened += write(number, place, cell)


def _write_codebook(book: Any, layout: Layout) -> None:  # noqa: ANN401 - as above
    sheet = book.add_worksheet("codebook")
    sheet.freeze_panes(1, 1)
    sheet.write_row(0, 0, TABLE_HEAD, book.add_format({"bold": True}))
    for number, cells in enumerate(table_of(layout), start=1):
        for place, cell in enumerate(cells):
            sheet.write_string(number, place, cut(cell))


def _writer(sheet: Any, column: Column, form: Any, *, labels: bool) -> Callable[[int, int, Cell], bool]:  # noqa: ANN401
    """Return what writes a cell of the column, and returns whether it had to be cut."""
    named: dict[Cell, Cell] = (
        {one.value: one.label for one in column.coded} if labels and column.kind == "choice" else {}
    )

    def write(row: int, place: int, cell: Cell) -> bool:
        shown = named.get(cell, cell) if named else cell
        if isinstance(shown, datetime.date) and shown.year < _FIRST_YEAR:
            shown = shown.isoformat()
        if isinstance(shown, str):
            text = cut(shown)
            sheet.write_string(row, place, text)
            return text != shown
        if isinstance(shown, bool):
            sheet.write_boolean(row, place, shown)
        elif isinstance(shown, datetime.date):
            sheet.write_datetime(row, place, shown, form)
        else:
            sheet.write_number(row, place, shown)
        return False

    return write


def cut(text: str) -> str:
    """Return as much of the text as a cell can hold."""
    if len(text) <= MAX_TEXT // 2:  # a character is two units at most
        return text
    return text.encode("utf-16-le")[: MAX_TEXT * 2].decode("utf-16-le", "ignore")
