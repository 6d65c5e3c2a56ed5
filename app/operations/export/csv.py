"""CSV (RFC 4180), in UTF-8: one row a session, or one an event; made a piece at a time.

Text stands as it was given, so that nothing is lost to who analyses it. What a spreadsheet would take for a formula
(OWASP, "CSV Injection") gets a ``'`` in front where that is asked for, and the file a byte order mark, by which Excel
knows UTF-8. An empty text is ``""``, what is missing is nothing at all.
"""

import datetime
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from ...core.timestamps import format_datetime, to_datetime
from ...store.rows import dumps
from ...survey import SessionKey, SessionState
from ...survey.types import Cell
from .columns import Column
from .events import Happened, happenings
from .layout import Layout
from .walk import Walk

EVENT_COLUMNS = (
    "user_id",
    "survey_id",
    "revision",
    "version",
    "event",
    "step",
    "answer",
    "to",
    "mode",
    "at",
    "since_previous_s",
    "since_start_s",
)

BYTE_ORDER_MARK = "\ufeff"

_QUOTED = re.compile(r'[",\r\n]')
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - Excel takes the wide ones too
_ROWS_A_PIECE = 500

_Text = Callable[[str], str]


def session_pieces(layout: Layout, walk: Walk, *, labels: bool, spreadsheet_safe: bool) -> Iterator[bytes]:
    """Yield the CSV of a row a session; of a choice the label or the value."""
    columns = layout.columns
    text = _safe if spreadsheet_safe else _exact
    known = [_labels(column) if labels else {} for column in columns]
    yield _head([column.name for column in columns], spreadsheet_safe=spreadsheet_safe)
    for page in walk.pages():
        rows = (layout.row(key, state, walk.at) for key, state in page)
        piece = "".join(
            _line(text, [named.get(cell, cell) if named else cell for named, cell in zip(known, row, strict=True)])
            for row in rows
        )
        if piece:  # an empty one would end a chunked response
            yield piece.encode()


def event_pieces(walk: Walk, *, drafts: bool, spreadsheet_safe: bool) -> Iterator[bytes]:
    """Yield the CSV of a row an event."""
    text = _safe if spreadsheet_safe else _exact
    yield _head(EVENT_COLUMNS, spreadsheet_safe=spreadsheet_safe)
    lines: list[str] = []
    for (key, state), entries in walk.with_events():
        for one in happenings(entries, drafts=drafts):
            lines.append(_line(text, _event_cells(key, state, one)))
            if len(lines) == _ROWS_A_PIECE:
                yield "".join(lines).encode()
                lines.clear()
    if lines:
        yield "".join(lines).encode()


def _event_cells(key: SessionKey, state: SessionState, one: Happened) -> Iterable[Cell]:
    return (
        key.user_id,
        key.survey_id,
        state.survey_revision,
        one.version,
        one.event,
        one.step,
        dumps(one.answer) if isinstance(one.answer, list | dict) else one.answer,
        one.to,
        one.mode,
        to_datetime(one.at),
        one.since_previous_s,
        one.since_start_s,
    )


def without_formula(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: with an apostrophe before one (OWASP, "CSV Injection")."""
    return f"'{text}" if _FORMULA.match(text) else text


def _head(names: Sequence[str], *, spreadsheet_safe: bool) -> bytes:
    return f"{BYTE_ORDER_MARK if spreadsheet_safe else ''}{','.join(names)}\r\n".encode()


def _labels(column: Column) -> dict[Cell, str]:
    return {one.value: one.label for one in column.coded} if column.kind == "choice" else {}


def _line(text: _Text, cells: Iterable[Cell]) -> str:
    return f"{','.join([_shown(text, cell) for cell in cells])}\r\n"


def _shown(text: _Text, cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return text(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, datetime.datetime):
        return format_datetime(cell)
    return str(cell)


def _exact(text: str) -> str:
    if text and _QUOTED.search(text) is None:
        return text
    return '"' + text.replace('"', '""') + '"'


def _safe(text: str) -> str:
    return _exact(without_formula(text))
