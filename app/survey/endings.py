"""What a participant sees when the survey is completed."""

from collections.abc import Mapping
from typing import Any

from .conditions import holds
from .definition import Survey
from .expressions import Scope
from .markdown import MarkdownText


def choose_ending(survey: Survey, scope: Scope) -> int | None:
    """Return the number, from 1, of the first ending whose condition holds; None if there is none."""
    for number, condition in enumerate(survey.conditions.ends, start=1):
        if condition is None or holds(condition, scope):
            return number
    return None


def ending_dict(survey: Survey, number: int | None) -> Mapping[str, Any] | None:
    """Return ``ending`` of docs/protocol.md; None without one."""
    if number is None or number > len(survey.end):
        return None
    ending = survey.end[number - 1]
    return {
        "title": ending.title,
        "text": ending.text,
        "html": ending.text.html if isinstance(ending.text, MarkdownText) else None,
        "redirect": ending.redirect,
        "summary": ending.summary,
    }
