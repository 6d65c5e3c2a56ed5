"""The check of a survey file."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...errors import SurveyFileError
from ..definition import Survey
from .document import Document, Path, read_document
from .expressions import check_expressions
from .findings import Finding, Findings
from .models import correct_names
from .routes import check_routes
from .structure import check_structure
from .texts import check_insertions, check_translations
from .unusable import check_unusable
from .yaml_text import InvalidText

_NO_MAPPING = "a survey file begins with id, title, language and steps, such as id: visit in its first line"

FindMore = Callable[[Mapping[str, Any]], Iterable[tuple[Path, str]]]
"""Yields the path and the message of further errors in a file's data, which may itself be wrong."""


def check_survey(
    text: str, file: str, find_more: FindMore = lambda _data: ()
) -> tuple[Survey | None, tuple[Finding, ...]]:
    """Return the survey, None if there is an error, and all findings in order."""
    try:
        document = read_document(text, file)
    except InvalidText as error:
        return None, (Finding(file=file, line=error.line, column=error.column, message=error.message),)
    findings = Findings(file, document)
    survey = _check(document, findings, find_more)
    return None if findings.has_errors else survey, findings.sorted()


def parse_survey(text: str, file: str) -> Survey:
    """Return the survey of a file; raise SurveyFileError with all errors."""
    survey, findings = check_survey(text, file)
    if survey is None:
        raise file_error(findings)
    return survey


def file_error(findings: tuple[Finding, ...]) -> SurveyFileError:
    """Return one error for all errors among the findings; there must be one."""
    first, *others = (finding for finding in findings if finding.level == "error")
    details = "\n".join(map(str, (first, *others)))
    return SurveyFileError(first.file, f"line {first.line}, column {first.column}", first.message, details)


def _check(document: Document, findings: Findings, find_more: FindMore) -> Survey | None:
    if not isinstance(document.data, dict):
        findings.add((), _NO_MAPPING)
        return None
    document, models = correct_names(document, findings)
    findings.document = document
    structure = check_structure(document, findings)
    check_translations(document, models, findings)
    check_routes(document, structure.survey, findings)
    check_unusable(document, structure, findings)
    check_insertions(document, models, findings)
    check_expressions(document, structure, models, findings)
    for path, message in find_more(document.data):
        findings.add(path, message)
    return structure.survey
