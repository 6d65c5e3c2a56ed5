"""Refusals of commands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..core.languages import text
from .definition import Survey

RejectCode = Literal[
    "not_current",
    "invalid_answer",
    "confirm",
    "required",
    "at_start",
    "completed",
    "expired",
    "invalid_language",
    # For the service's API only; participants never get them.
    "no_session",
    "already_begun",
    "version_conflict",
    "unchanged",
]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a command was refused; the session did not change."""

    code: RejectCode
    message: str  # in the language of the survey's texts
    reads_answers: bool = False  # whether it depends on the answers to other steps
    fields: Mapping[str, str] | None = None  # by id, what is wrong with fields of a page, or rows of a grid


def refuse(survey: Survey | None, code: RejectCode, key: str, **values: object) -> Rejection:
    """Return a rejection with a text of the section ``refusals``."""
    language = "en" if survey is None else survey.shown_language
    return Rejection(code, text(language, f"refusals.{key}", **values))
