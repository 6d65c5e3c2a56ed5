"""What a check found in a survey file."""

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from .document import Document, Path
from .yaml_text import Level

MAX_SHOWN = 200
"""Findings of one file that are listed; the others are counted."""

MAX_SUGGESTIONS = 20
"""Of one file: each compares a name with all that may be meant."""


_POSITION = attrgetter("line", "column")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One mistake, or what may be one.

    Attributes:
        level: an error refuses the file, a warning does not.
        line, column: from 1.
    """

    level: Level = "error"
    file: str
    line: int
    column: int
    step_id: str | None = None
    message: str

    def __str__(self) -> str:
        level = "warning: " if self.level == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {level}{self.message}"


class Findings:
    """Collects the findings of one file."""

    def __init__(self, file: str, document: Document) -> None:
        self._file = file
        self.document = document
        self._found: dict[Finding, None] = {}
        self._suggestions = MAX_SUGGESTIONS
        for refusal in document.refusals:
            self.add_at(refusal.line, refusal.column, refusal.message, level=refusal.level)
        self._refused = frozenset((finding.line, finding.column) for finding in self._found if finding.level == "error")

    def add(
        self, path: Path, message: str, *, level: Level = "error", is_key: bool = False, offset: int | None = None
    ) -> None:
        """Add a finding; a missing part of its path stands for what should contain it."""
        line, column = self.document.position(path, is_key=is_key, offset=offset)
        if (line, column) not in self._refused:  # what follows from that is no finding of its own
            self.add_at(line, column, message, step_id=self.document.step_id(path), level=level)

    def add_at(
        self, line: int, column: int, message: str, *, step_id: str | None = None, level: Level = "error"
    ) -> None:
        message = message if step_id is None else f"step {step_id}: {message}"
        finding = Finding(level=level, file=self._file, line=line, column=column, step_id=step_id, message=message)
        self._found[finding] = None

    @property
    def has_errors(self) -> bool:
        return any(finding.level == "error" for finding in self._found)

    def nearest(self, name: str, names: Iterable[str]) -> str | None:
        """Return the name that may be meant; None after many such mistakes."""
        if self._suggestions == 0:
            return None
        self._suggestions -= 1
        by_lower_case = {one.lower(): one for one in names}
        close = difflib.get_close_matches(name.lower(), list(by_lower_case), n=1)
        return by_lower_case[close[0]] if close else None

    def sorted(self) -> tuple[Finding, ...]:
        """Return the first errors of many, and how many more findings there are."""
        ordered = sorted(self._found, key=_POSITION)
        if len(ordered) <= MAX_SHOWN:
            return tuple(ordered)
        by_level = sorted(ordered, key=lambda one: one.level)  # errors before warnings, each in order
        shown, others = by_level[:MAX_SHOWN], by_level[MAX_SHOWN:]
        more = dataclasses.replace(others[0], step_id=None, message=f"and {len(others)} more findings")
        return (*sorted(shown, key=_POSITION), more)
