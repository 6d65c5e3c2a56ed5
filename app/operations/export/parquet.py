"""Parquet files, written with pyarrow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...survey.types import Cell
from .columns import Column, Kind
from .layout import Layout
from .optional import require
from .sessions import SessionReader

ROWS_A_GROUP = 5000
"""Minimum; a row group is held in memory."""


def write_parquet(path: Path, layout: Layout, reader: SessionReader, *, labels: bool, codebook: str) -> None:
    """Write the file; ``codebook`` (JSON) becomes its metadata."""
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    types = [_type(arrow, column, labels=labels) for column in layout.columns]
    schema = arrow.schema(
        [
            arrow.field(column.name, type_, metadata={"label": column.label})
            for column, type_ in zip(layout.columns, types, strict=True)
        ],
        metadata={"stepkeep.codebook": codebook},
    )
    texts = [_texts(column, labels=labels) for column in layout.columns]
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in row_groups(layout, reader):
            columns = [
                arrow.array([text.get(cell, cell) for cell in cells] if text else cells, type=type_)
                for text, cells, type_ in zip(texts, zip(*rows, strict=True), types, strict=True)
            ]
            writer.write_batch(arrow.record_batch(columns, schema=schema))


def row_groups(layout: Layout, reader: SessionReader) -> Iterator[list[list[Cell]]]:
    """Yield groups of at least ROWS_A_GROUP rows."""
    rows: list[list[Cell]] = []
    for page in reader.pages():
        rows += (layout.row(key, state, reader.at) for key, state in page)
        if len(rows) >= ROWS_A_GROUP:
            yield rows
            rows = []
    if rows:
        yield rows


def _type(arrow: Any, column: Column, *, labels: bool) -> Any:  # noqa: ANN401 - pyarrow has no types
    if column.kind == "choice" and (labels or not _has_numbers_only(column)):
        return arrow.string()
    if column.kind == "choice":
        return arrow.int64() if all(isinstance(coded.value, int) for coded in column.coded) else arrow.float64()
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


def _texts(column: Column, *, labels: bool) -> dict[Cell, Cell]:
    if labels or column.kind != "choice":
        return dict(column.labels)
    return {} if _has_numbers_only(column) else {coded.value: str(coded.value) for coded in column.coded}


def _has_numbers_only(column: Column) -> bool:
    return not any(isinstance(coded.value, str) for coded in column.coded)
