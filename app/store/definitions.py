"""Definitions of survey revisions, for the sessions pinned to them."""

from typing import cast

from sqlalchemy import Connection, insert, select

from .tables import survey_revisions


def read_definition(connection: Connection, survey_id: str, revision: str) -> str | None:
    """Return a revision's definition."""
    column = survey_revisions.c
    query = select(column.definition).where(column.survey_id == survey_id, column.revision == revision)
    return cast("str | None", connection.execute(query).scalar())


def read_revisions(connection: Connection, survey_id: str) -> list[str]:
    """Return a survey's revisions, newest first."""
    column = survey_revisions.c
    query = select(column.revision).where(column.survey_id == survey_id)
    return list(connection.execute(query.order_by(column.created_at.desc(), column.revision)).scalars())


def add_definition(connection: Connection, survey_id: str, revision: str, definition: str, at: int) -> None:
    """Store a revision's definition. Idempotent."""
    if read_definition(connection, survey_id, revision) is None:
        connection.execute(
            insert(survey_revisions).values(
                survey_id=survey_id, revision=revision, definition=definition, created_at=at
            )
        )
