"""CSV (RFC 4180) in UTF-8; an empty text is ``""``, a missing value is empty.

``spreadsheet_safe`` escapes formulas (OWASP, "CSV Injection") and adds a byte order mark, by which Excel recognizes
UTF-8.
"""

import datetime
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from ...core.timestamps import format_datetime, to_datetime
from ...store import rows
from ...survey import SessionKey, SessionState
from ...survey.types import Cell
from .layout import Layout
from .sessions import SessionReader, TimedEntry, timed

EVENT_COLUMNS = (
    "user_id",
    "survey_id",
    "survey_revision",
    "version",
    "action",
    "step",
    "answer",
    "to",
    "is_audio_mode",
    "timestamp",
    "since_previous_s",
    "since_start_s",
)

BYTE_ORDER_MARK = "\ufeff"

_QUOTED = re.compile(r'[",\r\n]')
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - Excel accepts the fullwidth ones too
_ROWS_A_PIECE = 500

_Escape = Callable[[str], str]


def write_sessions(layout: Layout, reader: SessionReader, *, labels: bool, spreadsheet_safe: bool) -> Iterator[bytes]:
    """Yield one row a session."""
    columns = layout.columns
    escape = _quote_safely if spreadsheet_safe else _quote
    texts = [column.labels if labels else {} for column in columns]
    yield _header([column.name for column in columns], spreadsheet_safe=spreadsheet_safe)
    for page in reader.pages():
        rows = (layout.row(key, state, reader.at) for key, state in page)
        piece = "".join(
            _line(escape, [text.get(cell, cell) if text else cell for text, cell in zip(texts, row, strict=True)])
            for row in rows
        )
        if piece:  # an empty one would end a chunked response
            yield piece.encode()


def write_events(reader: SessionReader, *, drafts: bool, spreadsheet_safe: bool) -> Iterator[bytes]:
    """Yield one row an event."""
    escape = _quote_safely if spreadsheet_safe else _quote
    yield _header(EVENT_COLUMNS, spreadsheet_safe=spreadsheet_safe)
    lines: list[str] = []
    for (key, state), entries in reader.with_events():
        for event in timed(entries):
            lines.append(_line(escape, _event_cells(key, state, event, drafts=drafts)))
            if len(lines) == _ROWS_A_PIECE:
                yield "".join(lines).encode()
                lines.clear()
    if lines:
        yield "".join(lines).encode()


def _event_cells(key: SessionKey, state: SessionState, event: TimedEntry, *, drafts: bool) -> Iterable[Cell]:
    record = event.entry.record
    answer = None if record.action == "drafted" and not drafts else record.answer
    return (
        key.user_id,
        key.survey_id,
        state.survey_revision,
        event.entry.version,
        record.action,
        record.step,
        rows.dumps(answer) if isinstance(answer, list | dict) else answer,
        record.data.get("to"),
        event.is_audio_mode,
        to_datetime(record.at),
        event.since_previous_s,
        event.since_start_s,
    )


def escape_formula(text: str) -> str:
    """Prefix an apostrophe if spreadsheets would read a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def _header(names: Sequence[str], *, spreadsheet_safe: bool) -> bytes:
    return f"{BYTE_ORDER_MARK if spreadsheet_safe else ''}{','.join(names)}\r\n".encode()


def _line(escape: _Escape, cells: Iterable[Cell]) -> str:
    return f"{','.join([_to_text(escape, cell) for cell in cells])}\r\n"


def _to_text(escape: _Escape, cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return escape(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, datetime.datetime):
        return format_datetime(cell)
    return str(cell)


def _quote(text: str) -> str:
    if text and _QUOTED.search(text) is None:
        return text
    return '"' + text.replace('"', '""') + '"'


def _quote_safely(text: str) -> str:
    return _quote(escape_formula(text))
