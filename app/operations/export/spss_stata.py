"""SPSS (.sav) and Stata (.dta) files by pyreadstat, with the prompts as labels of variables and options as values'.

pyreadstat wants the whole table, as a Polars frame: so MAX_CELLS bounds it. A choice is the whole number that stands
for its option, with the label beside it. What a program can't hold whole is cut, or left out, and counted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InvalidInput
from ...survey.types import Cell
from .columns import Column, Kind
from .layout import Layout
from .names import named
from .optional import needed
from .parquet import row_groups
from .programs import PROGRAMS, Program, cut, one_line
from .walk import Walk

MAX_CELLS = 20_000_000
"""Sessions times columns that are made into one file, at most; docs/performance/export.md has the memory they take."""

_TITLE_BYTES = 60
"""Of the file's label, in which both take the survey's title."""

_TRUTH: dict[int | float, str] = {0: "no", 1: "yes"}

_Fit = Callable[[Any], Cell]
"""Makes a cell what the program can hold: another text where it was cut, None where it can't be held."""


def write_labelled(path: Path, layout: Layout, walk: Walk, format_name: str) -> None:
    """Write the file.

    Raises:
        InvalidInput: there is too much for one file.
    """
    polars, writer = needed("polars", format_name), needed("pyreadstat", format_name)
    program = PROGRAMS[format_name]
    names = named([column.name for column in layout.columns], program.naming)
    frame = polars.concat(_frames(polars, names, layout, walk, program), rechunk=False)
    by_name = dict(zip(names, layout.columns, strict=True))
    labels = {name: cut(one_line(column.label), program.label_bytes) for name, column in by_name.items()}
    values = {name: found for name, column in by_name.items() if (found := _value_labels(column, program))}
    title = cut(one_line(layout.definitions.newest.title), _TITLE_BYTES)
    described = {"column_labels": labels, "variable_value_labels": values}
    if format_name == "sav":
        measures = {name: _MEASURES.get(column.kind, "scale") for name, column in by_name.items()}
        writer.write_sav(frame, path, title, **described, variable_measure=measures, row_compress=True)
    else:
        writer.write_dta(frame, path, title, **described)


def _frames(polars: Any, names: Sequence[str], layout: Layout, walk: Walk, program: Program) -> Iterator[Any]:  # noqa: ANN401 - a module
    """Yield the rows as frames, an empty one first."""
    schema = {name: _type(polars, column) for name, column in zip(names, layout.columns, strict=True)}
    fits = [_fit(column, program) for column in layout.columns]
    yield polars.DataFrame(schema=schema)
    cells = 0
    for rows in row_groups(layout, walk):
        cells += len(rows) * len(names)
        if cells > MAX_CELLS:
            raise InvalidInput(
                f"{program.name}'s files are made in memory, of at most {MAX_CELLS} sessions times columns: "
                "export fewer sessions at once (since, until), or take parquet or csv"
            )
        columns = [_fitted(fit, given, walk) for fit, given in zip(fits, zip(*rows, strict=True), strict=True)]
        yield polars.DataFrame(dict(zip(names, columns, strict=True)), schema=schema)


def _fitted(fit: _Fit, given: Sequence[Cell], walk: Walk) -> list[Cell]:
    made = [None if cell is None else fit(cell) for cell in given]
    walk.counts.shortened += sum(
        cell is not None and (one is None or (isinstance(cell, str) and isinstance(one, str) and len(one) < len(cell)))
        for one, cell in zip(made, given, strict=True)
    )
    return made


def _fit(column: Column, program: Program) -> _Fit:
    match column.kind:
        case "text":
            return lambda text: cut(text, program.text_bytes)
        case "choice":
            codes: Mapping[Any, int] = {one.value: one.code for one in column.coded}
            return lambda value: codes[value]
        case "number":
            return lambda number: float(number) if abs(number) <= program.highest else None
        case "whole":
            return int if column.coded else float
        case "date":
            return lambda day: day if day >= program.first_day else None
        case "boolean" | "chosen":
            return int
        case "time":
            return lambda time: time


def _type(polars: Any, column: Column) -> Any:  # noqa: ANN401 - a module
    if column.coded:
        return polars.Int32  # Stata labels whole numbers only
    types: dict[Kind, Any] = {
        "text": polars.String,
        "whole": polars.Float64,  # a double holds each whole number that an answer can have; their integers do not
        "number": polars.Float64,
        "boolean": polars.Int8,
        "date": polars.Date,
        "time": polars.Datetime("us"),
        "chosen": polars.Int8,
    }
    return types[column.kind]


def _value_labels(column: Column, program: Program) -> Mapping[int | float, str]:
    size = program.value_label_bytes
    if column.kind in {"boolean", "chosen"}:
        return dict(_TRUTH)
    return {one.code: cut(one_line(one.label), size) for one in column.coded}


_MEASURES: Mapping[Kind, str] = {"text": "nominal", "choice": "nominal", "chosen": "nominal", "boolean": "nominal"}
