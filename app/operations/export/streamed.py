"""CSV (RFC 4180) and JSON Lines, in UTF-8. In CSV, an empty text is ``""``, and a missing value is empty.

``spreadsheet_safe`` escapes formulas (OWASP, "CSV Injection"); by the byte order mark, Excel recognizes UTF-8.
"""

import datetime
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson

from ...core.timestamps import format_datetime
from ...survey import Snapshot
from .layout import Layout, duration_s
from .programs import PLAIN, valid_names
from .request import ExportRequest
from .sessions import Session, SessionReader, confirmed_steps, events_to_dicts

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


def write_sessions(layout: Layout, reader: SessionReader) -> Iterator[bytes]:
    yield _header([column.name for column in layout.columns], reader.request)
    escape = _escape(reader.request)
    for rows in reader.rows(layout):
        yield "".join([_line(escape, row) for row in rows]).encode()


def write_events(layout: Layout, reader: SessionReader) -> Iterator[bytes]:
    columns = event_columns(layout)
    known_names = columns[len(columns) - len(layout.known_names) :]
    yield _header(columns, reader.request)
    escape = _escape(reader.request)
    lines: list[str] = []
    for (key, state), entries in reader.with_events():
        session = {"user_id": key.user_id, "survey_id": key.survey_id, "survey_revision": state.survey_revision}
        for event in events_to_dicts(entries, layout, drafts=reader.request.drafts):
            cells = session | event
            if known_names:
                known = layout.known_cells(state.survey_revision, state.parameters, event["values"])
                cells |= dict(zip(known_names, known, strict=True))
            lines.append(_line(escape, [cells[name] for name in columns]))
            if len(lines) == _ROWS_A_PIECE:
                yield "".join(lines).encode()
                lines.clear()
    if lines:
        yield "".join(lines).encode()


def write_jsonl(layout: Layout, reader: SessionReader) -> Iterator[bytes]:
    if reader.request.history:
        for session, events in reader.with_events():
            entries = list(events)
            fields = _session_to_dict(layout, reader.at, session, confirmed_steps(session[1], entries))
            history = list(events_to_dicts(entries, layout, drafts=reader.request.drafts))
            yield orjson.dumps({**fields, "history": history}) + b"\n"
        return
    for page in reader.with_confirmed(layout):
        piece = b"".join(orjson.dumps(_session_to_dict(layout, reader.at, *one)) + b"\n" for one in page)
        if piece:
            yield piece


def event_columns(layout: Layout) -> Sequence[str]:
    own = (
        *EVENT_COLUMNS,
        *(("language",) if layout.has_languages else ()),
        *(("confirmed",) if layout.has_warnings else ()),
        *(("ending",) if layout.has_endings else ()),
    )
    return valid_names((*own, *layout.known_names), PLAIN)


def escape_formula(text: str) -> str:
    """Prefix an apostrophe if spreadsheets would read a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def _header(names: Sequence[str], request: ExportRequest) -> bytes:
    return f"{BYTE_ORDER_MARK if request.spreadsheet_safe else ''}{','.join(names)}\r\n".encode()


def _escape(request: ExportRequest) -> _Escape:
    return (lambda text: _quote(escape_formula(text))) if request.spreadsheet_safe else _quote


def _line(escape: _Escape, cells: Iterable[object]) -> str:
    return f"{','.join([_to_text(escape, cell) for cell in cells])}\r\n"


def _to_text(escape: _Escape, cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return escape(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, datetime.datetime):
        return format_datetime(cell)
    if isinstance(cell, list | dict):  # an answer
        return escape(orjson.dumps(cell).decode())
    return str(cell)


def _quote(text: str) -> str:
    if text and _QUOTED.search(text) is None:
        return text
    return '"' + text.replace('"', '""') + '"'


def _session_to_dict(layout: Layout, at: int, session: Session, confirmed: Sequence[str]) -> dict[str, Any]:
    key, state = session
    snapshot = Snapshot(key=key, state=state, survey=layout.survey(state.survey_revision))
    fields: dict[str, Any] = {**snapshot.to_full_dict(at)}
    del fields["draft"]
    return {
        **fields,
        "duration_s": duration_s(state),
        **({"ending": state.ending} if layout.has_endings else {}),
        **({"confirmed": confirmed} if layout.has_warnings else {}),
    }
