"""The definitions of surveys that sessions are pinned to: those that are offered, and older ones from the database."""

import logging
from collections.abc import Callable

from ..catalogue import Catalogue
from ..errors import SurveyFileError
from ..survey.definition import Survey, parse_definition
from ..writer.batch import RevisionNotLoaded

log = logging.getLogger("stepkeep.service")


class Revisions:
    """Finds the survey of a revision. Safe from any thread.

    Args:
        catalogue: the surveys that are offered.
        read_definition: reads the definition of a survey's revision from the database; None where it is not there.
    """

    def __init__(self, catalogue: Catalogue, read_definition: Callable[[str, str], str | None]) -> None:
        self._catalogue = catalogue
        self._read_definition = read_definition
        self._pinned: dict[tuple[str, str], Survey | None] = {}

    def known(self, survey_id: str, revision: str | None) -> Survey | None:
        """Return the survey of a revision, the newest for None; None where there is none. Never waits.

        Raises:
            RevisionNotLoaded: the database has to be asked first, by :meth:`find`.
        """
        newest = self._catalogue.surveys.get(survey_id)
        if revision is None or (newest is not None and newest.revision == revision):
            return newest
        try:
            return self._pinned[survey_id, revision]
        except KeyError:
            raise RevisionNotLoaded(survey_id, revision) from None

    def find(self, survey_id: str, revision: str | None) -> Survey | None:
        """Return as :meth:`known`; reads the revision from the database where it is not loaded yet.

        Raises:
            Unavailable: the database can't be read now.
        """
        try:
            return self.known(survey_id, revision)
        except RevisionNotLoaded as missing:
            wanted = (missing.survey_id, missing.revision)
        # A revision is never changed once it is there.
        found = _loaded(*wanted, self._read_definition(*wanted))
        self._pinned[wanted] = None if found is None else self._catalogue.with_defaults(found)
        return self._pinned[wanted]


def _loaded(survey_id: str, revision: str, definition: str | None) -> Survey | None:
    """Return the survey of a stored definition; None where it is gone or can't be read any more."""
    try:
        return None if definition is None else parse_definition(definition, f"{survey_id}@{revision}")
    except SurveyFileError as error:
        log.warning("a stored survey revision can't be loaded: %s", error)
        return None
