"""Definitions of survey revisions, for the sessions pinned to them."""

from collections.abc import Collection
from typing import cast

from sqlalchemy import Connection, insert, select

from ..survey import Survey
from .tables import survey_revisions


def read_definition(connection: Connection, survey_id: str, revision: str) -> str | None:
    column = survey_revisions.c
    query = select(column.definition).where(column.survey_id == survey_id, column.revision == revision)
    return cast("str | None", connection.execute(query).scalar())


def read_revisions(connection: Connection, survey_id: str) -> list[str]:
    column = survey_revisions.c
    query = select(column.revision).where(column.survey_id == survey_id)
    return list(connection.execute(query.order_by(column.created_at.desc(), column.revision)).scalars())


def add_definitions(connection: Connection, surveys: Collection[Survey], at: int) -> None:
    column = survey_revisions.c
    query = select(column.survey_id, column.revision).where(
        column.survey_id.in_([survey.id for survey in surveys]),
        column.revision.in_([survey.revision for survey in surveys]),
    )
    stored = {(survey_id, revision) for survey_id, revision in connection.execute(query)}
    new = [
        {"survey_id": survey.id, "revision": survey.revision, "definition": survey.definition, "created_at": at}
        for survey in surveys
        if (survey.id, survey.revision) not in stored
    ]
    if new:
        connection.execute(insert(survey_revisions), new)
