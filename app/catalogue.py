"""The surveys of this server, one file each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import NoSuchSurvey, SurveyFileError
from .settings import Settings
from .survey import Survey, parse_survey

UNNAMED_SURVEY = "default"
"""The id of sessions without one, if there is no default survey."""

MAX_FILE_BYTES = 4 * 1024 * 1024

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The surveys by id, and the default survey.

    Attributes:
        expires_after, retention: durations where files set none; already applied.
    """

    surveys: Mapping[str, Survey]
    default_id: str
    expires_after: str | None = None
    retention: str | None = None

    @property
    def public_ids(self) -> tuple[str, ...]:
        """The ids of the surveys that anyone can begin."""
        return tuple(survey.id for survey in self.surveys.values() if survey.access == "public")

    def with_defaults(self, survey: Survey) -> Survey:
        """Return a revision with the server's durations where it sets none."""
        return survey.with_defaults(expires_after=self.expires_after, retention=self.retention)

    def survey(self, survey_id: str | None) -> Survey:
        """Return the survey; for None the default one.

        Raises:
            NoSuchSurvey: the message names the public surveys.
        """
        survey = self.surveys.get(self.default_id if survey_id is None else survey_id)
        if survey is None:
            raise NoSuchSurvey(survey_id, self.public_ids)
        return survey


def read_catalogue(settings: Settings) -> Catalogue:
    """Return the surveys of ``surveys_dir``; none if it does not exist.

    Raises:
        SurveyFileError: an invalid file, a duplicate id, or no default survey.
    """
    surveys: dict[str, Survey] = {}
    files: dict[str, str] = {}
    try:
        paths = list(settings.surveys_dir.iterdir()) if settings.surveys_dir.is_dir() else []
    except OSError as error:
        raise SurveyFileError(str(settings.surveys_dir), "", f"cannot be read: {error.strerror}") from error
    for path in sorted(path for path in paths if path.suffix in _SUFFIXES and path.is_file()):
        survey = parse_survey(_read(path), str(path))
        if survey.id in surveys:
            raise SurveyFileError(str(path), "id", f"{survey.id!r} is also the id of {files[survey.id]}")
        surveys[survey.id] = survey
        files[survey.id] = str(path)
    if settings.default_survey is not None and surveys and settings.default_survey not in surveys:
        raise SurveyFileError(
            str(settings.surveys_dir),
            "",
            f"STEPKEEP_DEFAULT_SURVEY is {settings.default_survey!r}, but no file has this id",
        )
    durations = {"expires_after": settings.expires_after, "retention": settings.retention}
    only_id = next(iter(surveys)) if len(surveys) == 1 else UNNAMED_SURVEY
    return Catalogue(
        surveys={survey.id: survey.with_defaults(**durations) for survey in surveys.values()},
        default_id=only_id if settings.default_survey is None else settings.default_survey,
        **durations,
    )


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SurveyFileError(str(path), "", f"larger than {MAX_FILE_BYTES} bytes")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SurveyFileError(str(path), f"byte {error.start}", "not UTF-8") from error
    except OSError as error:
        raise SurveyFileError(str(path), "", f"cannot be read: {error.strerror}") from error
