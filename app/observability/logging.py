"""Log lines on standard error: one event, one line, as text or JSON.

Keys, tokens and messages of exceptions, which may quote an answer, are left out. gunicorn's configuration uses this
module first: it must import nothing that reads the settings.
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

LogFormat = Literal["json", "text"]

MAX_CALL_SITES = 8  # the innermost ones of an exception
MAX_LENGTH = 2000  # characters of a message: finding secrets takes the square of a word's length
MARGIN = 512  # characters beyond it that are searched, so that no secret is cut
MAX_CHAIN = 4  # exceptions of a chain of causes in a line
FIELDS = ("survey_id", "user_id", "version", "method", "route", "status", "ms")  # keys of ``extra`` that a line has

_CONTEXT_FIELDS = ("connection_id", "request_id")

_ROOT = Path(__file__).resolve().parent.parent.parent

_SECRET = re.compile(
    r"(?P<key>stepkeep_[a-z0-9]{12})_[A-Za-z0-9_-]{43}"  # an API key
    r"|whsec_[A-Za-z0-9+/=_-]{16,}"  # a webhook's signing secret
    r"|[A-Za-z0-9_.-]{16,}\.[A-Za-z0-9_-]{43}"  # a resume token: payload and HMAC-SHA256 in base64
)

Line = MutableMapping[str, Any]  # has at, level, pid, logger, event, FIELDS, the context, and error


class LineFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats the records of standard logging."""

    def __init__(self, log_format: LogFormat = "text") -> None:
        # The context first: it cannot replace a field.
        super().__init__(
            processors=[_to_line, _to_json if log_format == "json" else _to_text],
            foreign_pre_chain=[structlog.contextvars.merge_contextvars],
        )


def resolve_log_format(setting: str, environment: str) -> LogFormat:
    if setting == "auto":
        return "json" if environment == "production" else "text"
    return "json" if setting == "json" else "text"


def configure_logging(level: str, log_format: LogFormat = "text") -> None:
    """Write all logs unless the root logger has a handler."""
    logging.getLogger("stepkeep").setLevel(level)
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(LineFormatter(log_format))
        root.handlers.append(handler)


def redact(text: str) -> str:
    return _SECRET.sub(lambda secret: f"{secret['key'] or ''}…", text)


def _to_line(_logger: object, _name: str, event: structlog.typing.EventDict) -> Line:
    record: logging.LogRecord = event["_record"]
    error = event["exc_info"][1] if event.get("exc_info") else None
    line: dict[str, Any] = {
        "at": format_timestamp(int(record.created * 1_000_000)),
        "level": record.levelname,
        "pid": record.process,
        "logger": record.name,
        "event": _shorten(event["event"]),
    }
    line |= {name: _shorten(getattr(record, name)) for name in FIELDS if hasattr(record, name)}
    line |= {name: _shorten(event[name]) for name in _CONTEXT_FIELDS if name in event}
    if error is not None:
        line["error"] = " from ".join(_chain(error))
    return line


def _to_text(_logger: object, _name: str, line: Line) -> str:
    fields = "".join(f" {name}={line[name]!r}" for name in (*FIELDS, *_CONTEXT_FIELDS) if name in line)
    error = f"; Traceback: {line['error']}" if "error" in line else ""
    head = f"{line['at']} {line['level']} [{line['pid']}] {line['logger']}"
    text = redact(f"{head}: {line['event']}{fields}{error}")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _to_json(_logger: object, _name: str, line: Line) -> str:
    return json.dumps({name: redact(value) if isinstance(value, str) else value for name, value in line.items()})


def _shorten(value: object) -> object:
    return value if isinstance(value, int | float) else redact(str(value)[: MAX_LENGTH + MARGIN])[:MAX_LENGTH]


def _chain(error: BaseException) -> Iterator[str]:
    link: BaseException | None = error
    for _ in range(MAX_CHAIN):
        if link is None:
            return
        sites = [
            f"{_short_path(frame.f_code.co_filename)}:{line}" for frame, line in traceback.walk_tb(link.__traceback__)
        ]
        yield f"{_type_name(link)} at {' < '.join(reversed(sites[-MAX_CALL_SITES:])) or 'no call site'}"
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _type_name(error: BaseException) -> str:
    """With the details that never contain personal data."""
    detail = error.errno if isinstance(error, OSError) else error.name if isinstance(error, ImportError) else None
    return type(error).__name__ + ("" if detail is None else f"({detail})")


def _short_path(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else "/".join(path.parts[-3:])
