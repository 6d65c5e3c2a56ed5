"""The surveys of this server, one file each."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import NoSuchSurvey, SurveyFileError
from ..settings import Settings, read_settings
from ..survey import Finding, Survey, check_survey, file_error
from .media import media_problems

UNNAMED_SURVEY = "default"
"""The id of sessions without one, if there is no default survey."""

MAX_FILE_BYTES = 4 * 1024 * 1024

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What a catalogue has at one time."""

    surveys: Mapping[str, Survey]
    default_id: str
    files: Mapping[str, Path]
    errors: tuple[Finding, ...]


class Catalogue:
    """The surveys by id, and the default survey. Safe from any thread; a reload replaces all of it at once.

    Attributes:
        expires_after, retention: durations where files set none; already applied.
    """

    def __init__(
        self,
        *,
        surveys: Mapping[str, Survey],
        default_id: str,
        expires_after: str | None = None,
        retention: str | None = None,
        files: Mapping[str, Path] | None = None,
        errors: tuple[Finding, ...] = (),
    ) -> None:
        self._offer = _Offer(surveys=surveys, default_id=default_id, files=files or {}, errors=errors)
        self.expires_after = expires_after
        self.retention = retention

    def replace(self, other: "Catalogue") -> None:
        self._offer = other._offer  # noqa: SLF001 - of this class

    @property
    def surveys(self) -> Mapping[str, Survey]:
        return self._offer.surveys

    @property
    def default_id(self) -> str:
        return self._offer.default_id

    @property
    def files(self) -> Mapping[str, Path]:
        return self._offer.files

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Why files were refused. Their surveys stay as they were, or are not offered."""
        return self._offer.errors

    @property
    def public_ids(self) -> tuple[str, ...]:
        return tuple(survey.id for survey in self.surveys.values() if survey.access == "public")

    def with_defaults(self, survey: Survey) -> Survey:
        """Return a revision with the server's durations where it sets none."""
        return survey.with_defaults(expires_after=self.expires_after, retention=self.retention)

    def survey(self, survey_id: str | None) -> Survey:
        """Return the survey; for None the default one.

        Raises:
            NoSuchSurvey: the message names the public surveys.
        """
        offer = self._offer
        survey = offer.surveys.get(offer.default_id if survey_id is None else survey_id)
        if survey is None:
            raise NoSuchSurvey(survey_id, self.public_ids)
        return survey


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFiles:
    """The right surveys and their paths by survey id, and the findings of all files in the order of their lines."""

    surveys: Mapping[str, Survey]
    files: Mapping[str, Path]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == "error")


_accepted: list[Catalogue] = []
"""What gunicorn's arbiter accepted last, for the workers that it forks."""


def accept(catalogue: Catalogue) -> None:
    """Let this process and its forks read the files as a reload does: a worker must start although one is broken."""
    _accepted[:] = [catalogue]


def read_catalogue(settings: Settings) -> Catalogue:
    """Return the surveys of ``surveys_dir``; none if it does not exist.

    Raises:
        SurveyFileError: with all errors of the files; not after :func:`accept`.
    """
    if _accepted:
        return reread_catalogue(_accepted[0], settings)[0]
    checked = check_files(survey_files(settings.surveys_dir), settings.surveys_dir)
    if checked.errors:
        raise file_error(checked.errors)
    if settings.default_survey is not None and checked.surveys and settings.default_survey not in checked.surveys:
        raise SurveyFileError(str(settings.surveys_dir), "", _no_default(settings))
    return _catalogue(settings, checked.surveys, checked.files, ())


def default_survey_id() -> str:
    """Return the id of the default survey, by the settings and survey files."""
    return read_catalogue(read_settings()).default_id


def reread_catalogue(before: Catalogue, settings: Settings) -> tuple[Catalogue, tuple[Finding, ...]]:
    """Return the surveys as their files are now, and all findings; a wrong file leaves its survey as it was.

    A survey whose file was deleted is no longer offered.
    """
    folder = settings.surveys_dir
    known = frozenset(before.files.values())
    try:
        paths = survey_files(folder)
    except SurveyFileError as error:
        return _kept(before, settings, error)
    if known and not folder.is_dir():
        return _kept(before, settings, SurveyFileError(str(folder), "", "the folder does not exist"))
    # First the files that had an id before, so that a copy does not take it.
    checked = check_files(sorted(paths, key=lambda path: path not in known), folder)
    surveys, files, errors = dict(checked.surveys), dict(checked.files), list(checked.errors)
    wrong = {Path(finding.file) for finding in errors}
    for survey_id, path in before.files.items():
        is_default = survey_id == settings.default_survey
        if survey_id not in surveys and (path in wrong or is_default):
            surveys[survey_id], files[survey_id] = before.surveys[survey_id], path
            if path not in wrong:
                errors.append(_unreadable(SurveyFileError(str(folder), "", _no_default(settings))))
    catalogue = _catalogue(settings, surveys, files, tuple(errors))
    return catalogue, tuple(dict.fromkeys((*errors, *checked.findings)))


def _kept(before: Catalogue, settings: Settings, error: SurveyFileError) -> tuple[Catalogue, tuple[Finding, ...]]:
    catalogue = _catalogue(settings, before.surveys, before.files, (_unreadable(error),))
    return catalogue, catalogue.errors


def _catalogue(
    settings: Settings, surveys: Mapping[str, Survey], files: Mapping[str, Path], errors: tuple[Finding, ...]
) -> Catalogue:
    durations = {"expires_after": settings.expires_after, "retention": settings.retention}
    only_id = next(iter(surveys)) if len(surveys) == 1 else UNNAMED_SURVEY
    return Catalogue(
        surveys={survey.id: survey.with_defaults(**durations) for survey in surveys.values()},
        default_id=only_id if settings.default_survey is None else settings.default_survey,
        files=files,
        errors=errors,
        **durations,
    )


def _no_default(settings: Settings) -> str:
    return f"STEPKEEP_DEFAULT_SURVEY is {settings.default_survey!r}, but no file has this id"


def survey_files(folder: Path) -> list[Path]:
    """Return the survey files of a folder; none if it does not exist.

    Raises:
        SurveyFileError: the folder can't be read.
    """
    try:
        paths = list(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise SurveyFileError(str(folder), "", f"cannot be read: {error.strerror}") from error
    return sorted(path for path in paths if path.suffix in _SUFFIXES and path.is_file())


def check_files(paths: Iterable[Path], surveys_dir: Path | None = None) -> CheckedFiles:
    """Return the surveys of files, and what is wrong with them; images are in ``surveys_dir``, or beside each file."""
    surveys: dict[str, Survey] = {}
    files: dict[str, Path] = {}
    findings: list[Finding] = []
    for path in paths:
        survey, found = _check_file(path, surveys_dir or path.parent, files)
        findings += found
        if survey is not None:
            surveys[survey.id], files[survey.id] = survey, path
    return CheckedFiles(surveys=surveys, files=files, findings=tuple(findings))


def _check_file(path: Path, surveys_dir: Path, files: Mapping[str, Path]) -> tuple[Survey | None, list[Finding]]:
    try:
        text = _read(path)
    except SurveyFileError as error:
        return None, [_unreadable(error)]

    def find_more(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from media_problems(data, surveys_dir)
        survey_id = data.get("id")
        if isinstance(survey_id, str) and survey_id in files:
            yield ("id",), f"{survey_id} is also the id of {files[survey_id]}"

    survey, found = check_survey(text, str(path), find_more)
    return survey, list(found)


def _unreadable(error: SurveyFileError) -> Finding:
    message = f"{error.place}: {error.problem}" if error.place else error.problem
    return Finding(level="error", file=error.file, line=1, column=1, step_id=None, message=message)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SurveyFileError(str(path), "", f"larger than {MAX_FILE_BYTES} bytes")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SurveyFileError(str(path), f"byte {error.start}", "not UTF-8") from error
    except OSError as error:
        raise SurveyFileError(str(path), "", f"cannot be read: {error.strerror}") from error
