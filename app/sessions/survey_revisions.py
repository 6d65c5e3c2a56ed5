"""Surveys by revision: what is offered, and what sessions began with."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from ..catalogue import Catalogue
from ..core import strict_json
from ..errors import InvalidJson, OtherRelease, SurveyFileError
from ..survey import Survey, parse_definition
from ..writer import RevisionNotLoaded

log = logging.getLogger("stepkeep.service")


class SurveyRevisions:
    """Besides the offered revisions, ``kept`` others stay in memory. Safe from any thread."""

    def __init__(self, catalogue: Catalogue, read_definition: Callable[[str, str], str | None], kept: int) -> None:
        self._catalogue = catalogue
        self._read_definition = read_definition
        self._kept = kept
        self._cache: OrderedDict[tuple[str, str], Survey | OtherRelease | None] = OrderedDict()  # by last use
        self._mutex = threading.Lock()

    def cached(self, survey_id: str, revision: str | None, language: str | None = None) -> Survey | None:
        """Return a survey at a revision, or the newest. Never block: raise RevisionNotLoaded, for :meth:`load`."""
        survey = self._catalogue.surveys.get(survey_id)
        if revision is not None and (survey is None or survey.revision != revision):
            survey = self._remembered(survey_id, revision, language)
        if survey is not None and not survey.has_texts(language):
            raise RevisionNotLoaded(survey_id, survey.revision, language)
        return survey

    def _remembered(self, survey_id: str, revision: str, language: str | None) -> Survey | None:
        try:
            survey = self._cache[survey_id, revision]
        except KeyError:
            raise RevisionNotLoaded(survey_id, revision, language) from None
        with suppress(KeyError):  # another thread has removed it
            self._cache.move_to_end((survey_id, revision))
        return _readable(survey)

    def keep(self, survey: Survey) -> None:
        """Keep a survey for its sessions, also during an outage."""
        self._add((survey.id, survey.revision), survey)

    def get(self, survey_id: str, revision: str | None) -> Survey | None:
        """Return as :meth:`cached`, reading the database if necessary."""
        try:
            return self.cached(survey_id, revision)
        except RevisionNotLoaded as missing:
            name = (missing.survey_id, missing.revision)
        definition = self._read_definition(*name)
        survey = None if definition is None else self._parse(definition, "@".join(name))
        self._add(name, survey)
        return _readable(survey)

    def load(self, missing: RevisionNotLoaded) -> None:
        survey = self.get(missing.survey_id, missing.revision)
        if survey is not None:
            survey.in_language(missing.language)

    def find(self, survey_id: str, revision: str) -> Survey | None:
        """Return as :meth:`get`, without remembering what does not exist: a client may name any revision."""
        try:
            return self.cached(survey_id, revision)
        except RevisionNotLoaded:
            is_stored = self._read_definition(survey_id, revision) is not None
        return self.get(survey_id, revision) if is_stored else None

    def _add(self, name: tuple[str, str], survey: Survey | OtherRelease | None) -> None:
        with self._mutex:
            self._cache[name] = survey
            self._cache.move_to_end(name)
            while len(self._cache) > self._kept:
                self._cache.popitem(last=False)

    def _parse(self, definition: str, name: str) -> Survey | OtherRelease | None:
        """Return None for a damaged definition; other JSON is of another release."""
        try:
            return self._catalogue.with_defaults(parse_definition(definition, name))
        except SurveyFileError as error:
            try:
                strict_json.decode(definition)
            except InvalidJson:
                log.warning("Stored survey revision can't be loaded: %s", error)
                return None
            return OtherRelease(f"The survey definition is of another release ({error}).")


def _readable(survey: Survey | OtherRelease | None) -> Survey | None:
    if isinstance(survey, OtherRelease):
        raise survey
    return survey
