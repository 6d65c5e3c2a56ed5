"""One event, one line, in one of two forms, on standard error: when (UTC), how grave, which process and part, what.

::

    2026-11-26T21:28:41.123456Z WARNING [4711] stepkeep.security: refused address='192.0.2.7' who='anyone' ...
    {"at": "2026-11-26T21:28:41.123456Z", "level": "WARNING", "pid": 4711, "logger": "stepkeep.security", "event": ...}

Whoever logs, and whichever form it is: line ends and what else can't be printed are escaped, and what has the form of
a key or token is left out. A fault's line has its type and the places that it came through, but not its text: that may
quote an answer. What structlog's contextvars hold (the request's or the connection's id) stands in each line.

Nothing of the application is imported here: gunicorn's configuration uses this before there is one.
"""

import json
import logging
import re
import traceback
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, Literal

import structlog

from ..core.timestamps import format_timestamp

LogForm = Literal["json", "text"]

PLACES = 8
"""Places of a fault that its line names, the innermost ones."""

MAX_SAID = 2000
"""Characters of what is said: looking for secrets takes the square of a word's length."""

MARGIN = 512
"""Characters beyond it in which a secret that begins before it is seen as a whole."""

FAULTS = 4
"""Faults of a chain, by which one led to another, that a line names."""

_ROOT = Path(__file__).resolve().parent.parent.parent

_SECRET = re.compile(
    r"(?P<key>stepkeep_[a-z0-9]{12})_[A-Za-z0-9_-]{43}"  # an API key: access/api_keys.py
    r"|whsec_[A-Za-z0-9+/=_-]{16,}"  # what signs a webhook
    r"|[A-Za-z0-9_.-]{16,}\.[A-Za-z0-9_-]{43}"  # a resume token: what is signed, and an HMAC-SHA256 in base64
)

FIELDS = ("survey_id", "user_id", "version", "method", "route", "status", "ms")
"""What ``extra`` may say: of the session that a line is about, or of the request that it tells of."""

Line = MutableMapping[str, Any]
"""What a line says: at, level, pid, logger, event, then what of FIELDS and of the context there is, and the fault."""


class LineFormatter(structlog.stdlib.ProcessorFormatter):
    """Makes one line of whatever is logged, by way of structlog's processors.

    Args:
        form: ``json`` for programs, ``text`` for people.
    """

    def __init__(self, form: LogForm = "text") -> None:
        # Later ones take what earlier ones made: a context may not say another level or time than the line's.
        super().__init__(
            processors=[_line, _as_json if form == "json" else _as_text],
            foreign_pre_chain=[structlog.contextvars.merge_contextvars],
        )


def log_form(chosen: str, environment: str) -> LogForm:
    """Return the form that the setting STEPKEEP_LOG_FORMAT means."""
    if chosen == "auto":
        return "json" if environment == "production" else "text"
    return "json" if chosen == "json" else "text"


def log_lines(level: str, form: LogForm = "text") -> None:
    """Let the application's log have this level, and all lines be written, if nobody has seen to that."""
    logging.getLogger("stepkeep").setLevel(level)
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(LineFormatter(form))
        root.handlers.append(handler)


def escaped(text: str) -> str:
    """Return the text in one line: what can't be printed, as Python writes it in a string."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def without_secrets(text: str) -> str:
    """Return the text without what has the form of an API key or a resume token; a key's id stays."""
    return _SECRET.sub(lambda found: f"{found['key'] or ''}…", text)


def _line(_logger: object, _name: str, said: structlog.typing.EventDict) -> Line:
    """Return what the line says; nothing in it is a secret or longer than MAX_SAID."""
    record: logging.LogRecord = said["_record"]
    fault = said["exc_info"][1] if said.get("exc_info") else None
    made: dict[str, Any] = {
        "at": format_timestamp(int(record.created * 1_000_000)),
        "level": record.levelname,
        "pid": record.process,
        "logger": record.name,
        "event": _cut(said["event"]),
    }
    made |= {name: _cut(getattr(record, name)) for name in FIELDS if hasattr(record, name)}
    made |= {name: _cut(said[name]) for name in sorted(said) if name in _OF_THE_CONTEXT}
    if fault is not None:
        made["fault"] = " from ".join(_told(fault))
    return made


_OF_THE_CONTEXT = frozenset({"request_id", "connection_id"})
"""What a context may say in each line, whoever bound more."""


def _as_text(_logger: object, _name: str, line: Line) -> str:
    """Return the line for people."""
    about = "".join(f" {name}={value!r}" for name, value in _about(line).items())
    told = f"; Traceback: {line['fault']}" if "fault" in line else ""
    head = f"{line['at']} {line['level']} [{line['pid']}] {line['logger']}"
    return escaped(without_secrets(f"{head}: {line['event']}{about}{told}"))


def _as_json(_logger: object, _name: str, line: Line) -> str:
    """Return the line for programs, in ASCII: what else there is stands as JSON escapes it."""
    plain = {name: without_secrets(value) if isinstance(value, str) else value for name, value in line.items()}
    return json.dumps(plain)


def _about(line: Line) -> dict[str, Any]:
    return {name: line[name] for name in (*FIELDS, *sorted(_OF_THE_CONTEXT)) if name in line}


def _cut(value: object) -> object:
    """Return a number as it is, and whatever else as text of a bounded length without secrets, also none cut short."""
    return value if isinstance(value, int | float) else without_secrets(str(value)[: MAX_SAID + MARGIN])[:MAX_SAID]


def _told(fault: BaseException) -> Iterator[str]:
    seen: BaseException | None = fault
    for _ in range(FAULTS):
        if seen is None:
            return
        places = [f"{_short(frame.f_code.co_filename)}:{line}" for frame, line in traceback.walk_tb(seen.__traceback__)]
        yield f"{_name(seen)} at {' < '.join(reversed(places[-PLACES:])) or 'no place'}"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def _name(fault: BaseException) -> str:
    """Return its type, with what is known to say nothing of anybody."""
    detail = fault.errno if isinstance(fault, OSError) else fault.name if isinstance(fault, ImportError) else None
    return type(fault).__name__ + ("" if detail is None else f"({detail})")


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else "/".join(path.parts[-3:])
