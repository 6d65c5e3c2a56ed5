"""The definitions of a survey: the one that is offered, and those that older sessions are pinned to."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from ...catalogue import Catalogue
from ...errors import NoSuchSurvey, SurveyFileError
from ...sessions.service import SessionStore
from ...store import export_pages
from ...survey import Survey, parse_definition

log = logging.getLogger("stepkeep.export")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """A survey over time.

    Attributes:
        newest: as it is offered, or was last.
        by_age: all that can be read, oldest first.
    """

    newest: Survey
    by_age: tuple[Survey, ...]

    @property
    def newest_first(self) -> Iterator[Survey]:
        """The newest one, then the others from younger to older."""
        yield self.newest
        yield from (one for one in reversed(self.by_age) if one.revision != self.newest.revision)


def read_definitions(store: SessionStore, survey_id: str) -> Definitions:
    """Return the definitions of a survey, also of one that is no longer offered.

    Raises:
        NoSuchSurvey: there is none, and never was.
        Unavailable: the database is away.
    """
    rows = store.run_read(lambda connection: export_pages.read_revisions(connection, survey_id))
    kept = [found for row in rows if (found := _loaded(store.catalogue, survey_id, *row)) is not None]
    newest = store.catalogue.surveys.get(survey_id) or (kept[-1] if kept else None)
    if newest is None:
        raise NoSuchSurvey(survey_id, store.catalogue.public_ids)
    if all(one.revision != newest.revision for one in kept):  # pragma: no cover - each start keeps what is offered
        kept.append(newest)
    return Definitions(newest=newest, by_age=tuple(kept))


def _loaded(catalogue: Catalogue, survey_id: str, revision: str, definition: str) -> Survey | None:
    try:
        return catalogue.with_defaults(parse_definition(definition, f"{survey_id}@{revision}"))
    except SurveyFileError as error:
        log.warning("a stored survey revision can't be loaded, and gives no columns: %s", error)
        return None
