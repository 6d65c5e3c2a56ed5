"""Put the message id first in the index that keeps it unique within its session.

Revision ID: 0005
Revises: 0004

The same rows are unique as before. But ids that begin with the time (UUIDv7, as our clients make them) now
go to the end of the index, where a hundred of them share a page; behind the session's key each went to a
page of its own, which was the dearest part of writing an answer. Nothing looks for a session in this index:
``uq_session_history_version`` begins with the session's key.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLE = "session_history"
NEW = ("uq_session_history_message_id_user_id_survey_id", ["message_id", "user_id", "survey_id"])
OLD = ("uq_session_history_message_id", ["user_id", "survey_id", "message_id"])


def upgrade() -> None:
    replace_index(OLD, NEW)


def downgrade() -> None:
    replace_index(NEW, OLD)


def replace_index(before: tuple[str, list[str]], after: tuple[str, list[str]]) -> None:
    """Make the one, then drop the other, so that uniqueness is held at any moment; each looks whether it is done."""
    if op.get_context().as_sql:
        present = {before[0]}
    else:
        present = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(TABLE)}
    if after[0] not in present:
        op.create_index(after[0], TABLE, after[1], unique=True)
    if before[0] in present:
        op.drop_index(before[0], TABLE)
