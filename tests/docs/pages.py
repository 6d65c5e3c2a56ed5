"""Reading documents: code blocks, tables, and examples in JSON that leave fields out."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GAP = "..."


@dataclass(kw_only=True)
class Table:
    """One table, its cells as they are written."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def tables(page: str) -> list[Table]:
    """Return the tables in order."""
    found = []
    for lines in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        header, _, *rows = [_cells(line) for line in lines.splitlines()]
        found.append(Table(header=header, rows=rows))
    return found


def first_column(page: str, heading: str) -> set[str]:
    """Return the first cells, without backticks, of the tables whose first column has this heading."""
    return {row[0].strip("`") for table in tables(page) if table.header[0] == heading for row in table.rows}


def unquoted(cell: str) -> str:
    """Return what stands in a cell between backticks."""
    assert re.fullmatch(r"`[^`]+`", cell), cell
    return cell[1:-1]


def with_gaps(text: str) -> Any:
    """Return the value of JSON in which ``...`` stands for fields that are left out."""
    return json.loads(re.sub(r"(?<=[{,])\.\.\.(?=[,}])", f'"{GAP}":0', text))


def matches(expected: Any, value: Any) -> bool:
    """Return whether a value is what an example shows; an object with a gap may have further fields."""
    if isinstance(expected, Mapping) and isinstance(value, Mapping):
        shown = {name: item for name, item in expected.items() if name != GAP}
        if GAP not in expected and shown.keys() != value.keys():
            return False
        return all(name in value and matches(item, value[name]) for name, item in shown.items())
    if isinstance(expected, list) and isinstance(value, list):
        return len(expected) == len(value) and all(map(matches, expected, value))
    return bool(expected == value)


def _cells(line: str) -> tuple[str, ...]:
    cells = re.split(r"(?<!\\)\|", line.strip("|"))
    return tuple(cell.strip().replace("\\|", "|") for cell in cells)
