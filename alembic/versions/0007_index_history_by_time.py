"""Find what changed since a time in history, not in sessions.

Revision ID: 0007
Revises: 0006

Each turn changes its session's ``updated_at``: an index on it loses an entry anywhere and gets one at its end,
and PostgreSQL can't update the row in its place (HOT). A session's last change is its last event's time, and
events are only appended: an index on that grows at its end. PostgreSQL leaves room in the pages of sessions
for the next version of a row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

HISTORY = ("session_history", "ix_session_history_timestamp", "timestamp")
SESSIONS = ("sessions", "ix_sessions_updated_at", "updated_at")

FILL = 70
"""Percent of a page of sessions that inserts fill: a third of it is for the versions that turns leave behind."""


def upgrade() -> None:
    make(*HISTORY)
    drop(*SESSIONS)
    if op.get_context().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE sessions SET (fillfactor = {FILL})")


def downgrade() -> None:
    make(*SESSIONS)
    drop(*HISTORY)
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE sessions RESET (fillfactor)")


def make(table: str, name: str, column: str) -> None:
    """Make the index, unless an interrupted run did."""
    if op.get_context().as_sql or name not in named(table, column):
        op.create_index(name, table, [column])


def drop(table: str, name: str, column: str) -> None:
    """Drop the index on the column alone, whatever a person who made it by hand called it."""
    for found in [name] if op.get_context().as_sql else named(table, column):
        op.drop_index(found, table)


def named(table: str, column: str) -> list[str]:
    """Return the names of the indexes on the column alone."""
    indexes = sa.inspect(op.get_bind()).get_indexes(table)
    return [str(index["name"]) for index in indexes if index["column_names"] == [column]]
