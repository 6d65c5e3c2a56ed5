"""Tables and progress bars, by rich on a terminal only, and JSON."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import click
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

C = TypeVar("C")
T = TypeVar("T")

PAGE_SIZE = 1000  # records that a command reads at once
ROWS_A_PART = 200  # these determine the widths of a table's columns; further rows are streamed

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Row = tuple[str, ...]
Record = Mapping[str, Any]
Columns = Mapping[str, str | Callable[[Any], object]]  # by header, the name of a field or a function of the record


def printable(text: str) -> str:
    """Escape control characters: participants' texts must not control the terminal."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def print_table(header: Row, rows: Iterable[Row]) -> None:
    console = Console(highlight=False)
    remaining = (tuple(map(printable, row)) for row in rows)
    part = list(islice(remaining, ROWS_A_PART))
    widths = [max(map(cell_len, column)) for column in zip(header, *part, strict=True)]
    write = partial(_print_rich, console) if console.is_terminal else _print_plain
    write(widths, header, part)
    while part := list(islice(remaining, ROWS_A_PART)):
        write(widths, None, part)


def print_counts(name: str, header: str, counts: Mapping[str, int]) -> None:
    print_table((name, header), ((key, str(count)) for key, count in counts.items()))


def print_json(value: object) -> None:
    click.echo(json.dumps(value))


def print_records(records: Iterable[Record], columns: Columns, *, as_json: bool, is_array: bool = False) -> None:
    if as_json:
        for item in [list(records)] if is_array else records:
            print_json(item)
        return
    rows = (
        tuple(text_of(column(record) if callable(column) else record[column]) for column in columns.values())
        for record in records
    )
    print_table(tuple(columns), rows)


def text_of(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def pairs(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={text_of(value)}" for name, value in fields.items() if value not in (None, [], {}))


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def read_pages(read: Callable[[C | None], tuple[Sequence[T], C | None]]) -> Iterator[T]:
    """Yield the items of all pages; ``read`` returns a page's items and its cursor, None at the end."""
    after: C | None = None
    while True:
        items, after = read(after)
        yield from items
        if after is None:
            return


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    counts = (MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, *counts, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=max(total, 1))

        yield show


def _print_plain(widths: list[int], header: Row | None, rows: list[Row]) -> None:
    for row in rows if header is None else [header, *rows]:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _print_rich(console: Console, widths: list[int], header: Row | None, rows: list[Row]) -> None:
    table = Table(box=None, show_header=header is not None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, width in zip(header or widths, widths, strict=True):
        # Without a fixed width, rich distributes the width of the terminal if the table does not fit.
        table.add_column(str(name), min_width=min(width, 4), width=width if sum(widths) < console.width else None)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)
