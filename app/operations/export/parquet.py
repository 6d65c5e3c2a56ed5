"""Parquet files, written with pyarrow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from ...survey.types import TYPED_CELLS, Cell, ColumnKind
from .codebook import codebook_to_dict
from .layout import Column, Layout
from .request import require
from .sessions import SessionReader

ROWS_A_GROUP = 5000  # minimum; a row group is held in memory


def write_parquet(path: Path, layout: Layout, reader: SessionReader) -> None:
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    types = [_type(arrow, column, labels=layout.has_labels) for column in layout.columns]
    conversions: list[Callable[[Any], Cell] | None] = [
        str if type_ == arrow.string() else TYPED_CELLS.get(column.kind)  # a choice can mix texts and numbers
        for column, type_ in zip(layout.columns, types, strict=True)
    ]
    schema = arrow.schema(
        [
            arrow.field(column.name, type_, metadata={"label": column.label})
            for column, type_ in zip(layout.columns, types, strict=True)
        ],
        metadata={"stepkeep.codebook": orjson.dumps(codebook_to_dict(layout))},
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in reader.rows(layout, ROWS_A_GROUP):
            columns = [
                arrow.array(
                    [None if cell is None else convert(cell) for cell in cells] if convert else cells, type=type_
                )
                for cells, convert, type_ in zip(zip(*rows, strict=True), conversions, types, strict=True)
            ]
            writer.write_batch(arrow.record_batch(columns, schema=schema))


def _type(arrow: Any, column: Column, *, labels: bool) -> Any:  # noqa: ANN401 - pyarrow has no types
    types: dict[ColumnKind, Any] = {
        "text": arrow.string(),
        "whole": arrow.int64(),
        "number": arrow.float64(),
        "boolean": arrow.bool_(),
        "date": arrow.date32(),
        "time": arrow.timestamp("us", tz="UTC"),
        "chosen": arrow.int8(),
        "rank": arrow.int16(),
        "time_of_day": arrow.time32("s"),
        "datetime": arrow.timestamp("s"),
        "month": arrow.date32(),
        "choice": arrow.string(),
    }
    if column.kind == "choice" and not labels:
        value_types = {type(coded.value) for coded in column.coded}
        return types["whole" if value_types == {int} else "number" if str not in value_types else "text"]
    return types[column.kind]
