"""One event, one line, in one form, on standard error: when (UTC), how grave, which process and part, what.

::

    2026-11-26T21:28:41.123Z WARNING [4711] stepkeep.security: refused address='192.0.2.7' who='anyone' ...

Whoever logs: line ends and what else can't be printed are escaped, and what has the form of a key or token is left
out. A fault's line has its type and the places that it came through, but not its text: that may quote an answer.
Only the standard library is imported here: gunicorn's configuration uses this before there is an application.
"""

import datetime
import logging
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

PLACES = 8
"""Places of a fault that its line names, the innermost ones."""

MAX_SAID = 2000
"""Characters of what is said: looking for secrets takes the square of a word's length."""

FAULTS = 4
"""Faults of a chain, by which one led to another, that a line names."""

_ROOT = Path(__file__).resolve().parent.parent.parent

_SECRET = re.compile(
    r"(?P<key>stepkeep_[a-z0-9]{12})_[A-Za-z0-9_-]{43}"  # an API key: access/api_keys.py
    r"|[A-Za-z0-9_.-]{16,}\.[A-Za-z0-9_-]{43}"  # a resume token: what is signed, and an HMAC-SHA256 in base64
)

_KEYS = ("survey_id", "user_id", "version")
"""What ``extra`` may say of the session that a line is about."""


class LineFormatter(logging.Formatter):
    """Makes one line of whatever is logged."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        about = "".join(f" {name}={getattr(record, name)!r}" for name in _KEYS if hasattr(record, name))
        fault = record.exc_info[1] if record.exc_info else None
        told = "" if fault is None else f"; Traceback: {' from '.join(_told(fault))}"
        head = f"{when.removesuffix('+00:00')}Z {record.levelname} [{record.process}] {record.name}"
        said = record.getMessage()[:MAX_SAID]
        return escaped(without_secrets(f"{head}: {said}{about}{told}"))


def log_lines(level: str) -> None:
    """Let the application's log have this level, and all lines be written, if nobody has seen to that."""
    logging.getLogger("stepkeep").setLevel(level)
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(LineFormatter())
        root.handlers.append(handler)


def escaped(text: str) -> str:
    """Return the text in one line: what can't be printed, as Python writes it in a string."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def without_secrets(text: str) -> str:
    """Return the text without what has the form of an API key or a resume token; a key's id stays."""
    return _SECRET.sub(lambda found: f"{found['key'] or ''}…", text)


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
