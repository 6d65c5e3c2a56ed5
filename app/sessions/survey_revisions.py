"""Survey definitions by revision, offered or from the database."""

import logging
from collections.abc import Callable

from ..catalogue import Catalogue
from ..errors import SurveyFileError
from ..survey import Survey, parse_definition
from ..writer import RevisionNotLoaded

log = logging.getLogger("stepkeep.service")


class SurveyRevisions:
    """Looks up and caches surveys by revision. Safe from any thread.

    Args:
        read_definition: returns a revision's stored definition; None if there is none.
    """

    def __init__(self, catalogue: Catalogue, read_definition: Callable[[str, str], str | None]) -> None:
        self._catalogue = catalogue
        self._read_definition = read_definition
        self._cache: dict[tuple[str, str], Survey | None] = {}  # unbounded: a stored revision never changes

    def cached(self, survey_id: str, revision: str | None) -> Survey | None:
        """Return the survey at a revision, the newest for None. Never blocks.

        Raises:
            RevisionNotLoaded: :meth:`get` must read it first.
        """
        newest = self._catalogue.surveys.get(survey_id)
        if revision is None or (newest is not None and newest.revision == revision):
            return newest
        try:
            return self._cache[survey_id, revision]
        except KeyError:
            raise RevisionNotLoaded(survey_id, revision) from None

    def get(self, survey_id: str, revision: str | None) -> Survey | None:
        """Return as :meth:`cached`, reading the database if necessary.

        Raises:
            Unavailable: the database did not answer.
        """
        try:
            return self.cached(survey_id, revision)
        except RevisionNotLoaded as missing:
            name = (missing.survey_id, missing.revision)
        definition = self._read_definition(*name)
        survey = None
        if definition is not None:
            try:
                survey = self._catalogue.with_defaults(parse_definition(definition, "@".join(name)))
            except SurveyFileError as error:
                log.warning("Stored survey revision can't be loaded: %s", error)
        self._cache[name] = survey
        return survey
