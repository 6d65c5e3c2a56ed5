"""Whether a survey file is right: every finding at once, with its place and in an author's words."""

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
