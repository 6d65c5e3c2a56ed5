"""The surveys that this server offers: their files and images."""

from .catalogue import (
    UNNAMED_SURVEY,
    Catalogue,
    accept,
    check_files,
    default_survey_id,
    read_catalogue,
    reread_catalogue,
    survey_files,
)
from .media import FOLDER, TYPES, media_problem

__all__ = [
    "FOLDER",
    "TYPES",
    "UNNAMED_SURVEY",
    "Catalogue",
    "accept",
    "check_files",
    "default_survey_id",
    "media_problem",
    "read_catalogue",
    "reread_catalogue",
    "survey_files",
]
