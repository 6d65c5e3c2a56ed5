"""Check a survey file: all findings at once, with their places."""

from .answers import ValueFacts, ValueKind, value_facts
from .check import FindMore, check_survey, file_error, parse_survey
from .findings import Finding
from .samples import sample_answers

__all__ = [
    "FindMore",
    "Finding",
    "ValueFacts",
    "ValueKind",
    "check_survey",
    "file_error",
    "parse_survey",
    "sample_answers",
    "value_facts",
]
