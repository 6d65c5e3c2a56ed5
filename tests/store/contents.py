"""The complete contents of a database's tables: to compare, search, clear and restore."""

from typing import Any

from sqlalchemy import Column, MetaData, Table, delete, insert, select, type_coerce
from sqlalchemy.types import NullType, String

from app.sessions.service import SessionStore
from app.store.tables import audit_log, erasures, session_history, sessions, survey_revisions, token_revocations

TABLES = (sessions, session_history, token_revocations, erasures, audit_log, survey_revisions)

Rows = dict[str, list[dict[str, Any]]]

READS = {
    table.name: select(*(type_coerce(column, String()).label(column.name) for column in table.c)).order_by(
        *table.primary_key.columns
    )
    for table in TABLES
}
"""Made once: building them takes longer than reading the rows."""


def dump(store: SessionStore) -> Rows:
    """Return every row of every table, with the values as stored."""

    def read(connection: Any) -> Rows:
        return {name: [dict(row) for row in connection.execute(query).mappings()] for name, query in READS.items()}

    return store.run_transaction(read)


def clear(store: SessionStore) -> None:
    """Delete all rows except the survey revisions."""

    def empty(connection: Any) -> None:
        for table in (session_history, sessions, token_revocations, erasures, audit_log):
            connection.execute(delete(table))

    store.run_transaction(empty)


def put_back(store: SessionStore, rows: Rows) -> None:
    """Replace the contents by these rows, as restoring a backup does."""
    clear(store)

    def fill(connection: Any) -> None:
        for table in TABLES[:-1]:
            if rows[table.name]:
                untyped = Table(table.name, MetaData(), *(Column(column.name, NullType()) for column in table.c))
                connection.execute(insert(untyped), rows[table.name])

    store.run_transaction(fill)


def mentions(rows: Rows, text: str) -> list[str]:
    """Return the columns (``table.column``) with a value that contains the text."""
    return sorted(
        {
            f"{table}.{name}"
            for table, table_rows in rows.items()
            for row in table_rows
            for name, value in row.items()
            if text in str(value)
        }
    )
