"""Parquet files by pyarrow, with typed columns, a row group at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...survey.types import Cell
from .columns import Column, Kind
from .layout import Layout
from .optional import needed
from .walk import Walk

ROWS_A_GROUP = 5000
"""Rows of one row group, at least: what is in memory at once."""


def write_parquet(path: Path, layout: Layout, walk: Walk, *, labels: bool, codebook: str) -> None:
    """Write the file; the codebook, JSON, lies in its metadata as ``stepkeep.codebook``."""
    arrow, parquet = needed("pyarrow", "parquet"), needed("pyarrow.parquet", "parquet")
    kinds = [_field(arrow, column, labels=labels) for column in layout.columns]
    schema = arrow.schema(
        [
            arrow.field(column.name, kind, metadata={"label": column.label})
            for column, kind in zip(layout.columns, kinds, strict=True)
        ],
        metadata={"stepkeep.codebook": codebook},
    )
    known = [_shown(column, labels=labels) for column in layout.columns]
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in row_groups(layout, walk):
            columns = [
                arrow.array([named.get(cell, cell) for cell in cells] if named else cells, type=kind)
                for named, cells, kind in zip(known, zip(*rows, strict=True), kinds, strict=True)
            ]
            writer.write_batch(arrow.record_batch(columns, schema=schema))


def row_groups(layout: Layout, walk: Walk) -> Iterator[list[list[Cell]]]:
    """Yield the sessions' rows, some thousands together."""
    rows: list[list[Cell]] = []
    for page in walk.pages():
        rows += (layout.row(key, state, walk.at) for key, state in page)
        if len(rows) >= ROWS_A_GROUP:
            yield rows
            rows = []
    if rows:
        yield rows


def _field(arrow: Any, column: Column, *, labels: bool) -> Any:  # noqa: ANN401 - pyarrow has no types
    if column.kind == "choice" and (labels or not _is_of_numbers(column)):
        return arrow.string()
    if column.kind == "choice":
        return arrow.int64() if all(isinstance(one.value, int) for one in column.coded) else arrow.float64()
    types: dict[Kind, Any] = {
        "text": arrow.string(),
        "whole": arrow.int64(),
        "number": arrow.float64(),
        "boolean": arrow.bool_(),
        "date": arrow.date32(),
        "time": arrow.timestamp("us", tz="UTC"),
        "chosen": arrow.int8(),
    }
    return types[column.kind]


def _shown(column: Column, *, labels: bool) -> dict[Cell, Cell]:
    """Return what stands for an option's value, where that is not the value itself."""
    if column.kind != "choice":
        return {}
    if labels:
        return {one.value: one.label for one in column.coded}
    return {} if _is_of_numbers(column) else {one.value: str(one.value) for one in column.coded}


def _is_of_numbers(column: Column) -> bool:
    return not any(isinstance(one.value, str) for one in column.coded)
