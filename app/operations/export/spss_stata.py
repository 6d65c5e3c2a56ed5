"""SPSS (.sav) and Stata (.dta) files; pyreadstat needs the whole table in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InvalidInput
from ...survey.types import TYPED_CELLS, Cell, ColumnKind
from .layout import Column, Layout
from .programs import PROGRAMS, Program, one_line, truncate, valid_names
from .request import require
from .sessions import SessionReader

MAX_CELLS = 20_000_000  # sessions times columns; docs/performance/export.md has the memory
ROWS_A_FRAME = 5000  # minimum
_TITLE_BYTES = 60  # maximum of a file's label

_MEASURES: Mapping[ColumnKind, str] = {
    **dict.fromkeys(("text", "choice", "chosen", "boolean"), "nominal"),
    "rank": "ordinal",
}
"""Of SPSS; all others are ``scale``."""

_Fit = Callable[[Any], Cell]  # converts to what fits, or None


def write_labelled(path: Path, layout: Layout, reader: SessionReader) -> None:
    format_name = reader.request.format
    polars, writer = require("polars", format_name), require("pyreadstat", format_name)
    program = PROGRAMS[format_name]
    names = valid_names([column.name for column in layout.columns], program.naming)
    frame = polars.concat(_frames(polars, names, layout, reader, program), rechunk=False)
    by_name = dict(zip(names, layout.columns, strict=True))
    labels = {name: truncate(one_line(column.label), program.label_bytes) for name, column in by_name.items()}
    value_labels = {
        name: texts for name, column in by_name.items() if (texts := _value_labels(column, layout, program))
    }
    title = truncate(one_line(layout.surveys[0].title), _TITLE_BYTES)
    metadata = {"column_labels": labels, "variable_value_labels": value_labels}
    if format_name == "sav":
        measures = {name: _MEASURES.get(column.kind, "scale") for name, column in by_name.items()}
        writer.write_sav(frame, path, title, **metadata, variable_measure=measures, row_compress=True)
    else:
        writer.write_dta(frame, path, title, **metadata)


def _frames(
    polars: Any,  # noqa: ANN401 - a module
    names: Sequence[str],
    layout: Layout,
    reader: SessionReader,
    program: Program,
) -> Iterator[Any]:
    types, fits = zip(*(_storage(polars, column, program) for column in layout.columns), strict=True)
    schema = dict(zip(names, types, strict=True))
    yield polars.DataFrame(schema=schema)
    cells = 0
    for rows in reader.rows(layout, ROWS_A_FRAME):
        cells += len(rows) * len(names)
        if cells > MAX_CELLS:
            raise InvalidInput(
                f"{program.name} files are limited to {MAX_CELLS} sessions times columns: export fewer sessions "
                "(since, until), or use parquet or csv"
            )
        columns = [_convert(fit, cells, reader) for fit, cells in zip(fits, zip(*rows, strict=True), strict=True)]
        yield polars.DataFrame(dict(zip(names, columns, strict=True)), schema=schema)


def _convert(fit: _Fit, cells: Sequence[Cell], reader: SessionReader) -> list[Cell]:
    values = [None if cell is None else fit(cell) for cell in cells]
    reader.counts.shortened += sum(map(_is_shortened, values, cells))
    return values


def _is_shortened(value: Cell, cell: Cell) -> bool:
    if value is None:
        return cell is not None
    return isinstance(value, str) and isinstance(cell, str) and len(value) < len(cell)


def _storage(  # noqa: C901 - one case a kind
    polars: Any,  # noqa: ANN401 - a module
    column: Column,
    program: Program,
) -> tuple[Any, _Fit]:
    match column.kind:
        case "text":
            return polars.String, lambda text: truncate(text, program.text_bytes)
        case "choice":
            codes: Mapping[Any, int] = {coded.value: coded.code for coded in column.coded}
            return polars.Int32, lambda value: codes[value]
        case "number":
            return polars.Float64, lambda number: float(number) if abs(number) <= program.max_number else None
        case "whole":
            # Stata labels only integers, and floats hold every whole number of an answer.
            return (polars.Int32, int) if column.coded else (polars.Float64, float)
        case "date":
            return polars.Date, lambda day: day if day >= program.first_day else None
        case "month" | "datetime":
            first, typed = program.first_day.isoformat(), TYPED_CELLS[column.kind]
            type_ = polars.Date if column.kind == "month" else polars.Datetime("us")
            return type_, lambda text: typed(text) if text >= first else None
        case "time_of_day":
            return polars.Time, TYPED_CELLS["time_of_day"]
        case "boolean" | "chosen":
            return polars.Int8, int
        case "rank":
            return polars.Int16, int
        case "time":
            return polars.Datetime("us"), lambda time: time


def _value_labels(column: Column, layout: Layout, program: Program) -> Mapping[int, str]:
    values = layout.no_and_yes if column.kind in {"boolean", "chosen"} else column.coded
    return {coded.code: truncate(one_line(coded.label), program.value_label_bytes) for coded in values}
