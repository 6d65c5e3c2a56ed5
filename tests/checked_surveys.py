"""Parses each survey file once a process: it would take half of the time of opening a store."""

import functools

from app import catalogue
from app.survey import Finding, Survey


def check_files_once() -> None:
    """Let catalogues share what is checked; each gets a copy, since a survey remembers what it computes."""
    checked = functools.cache(catalogue.check_survey)

    def check_survey(text: str, path: str) -> tuple[Survey | None, tuple[Finding, ...]]:
        survey, findings = checked(text, path)
        return None if survey is None else survey.model_copy(), findings

    catalogue.check_survey = check_survey
