"""Keep each erasure once, and find it by its hash.

Revision ID: 0013
Revises: 0012

Two processes that brought the list of erasures and the database together at once could add the same erasure twice:
of such the first row stays. Rows of a purge by age have no hash; they are many, and never count as the same.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "erasures"
INDEX = "uq_erasures_user_hash_survey_id_erased_at"

# Wrapped once more: MySQL takes no rows from a table that it reads in the same statement.
MERGE = """
DELETE FROM erasures WHERE id IN (SELECT id FROM (
  SELECT erasures.id FROM erasures JOIN (
    SELECT user_hash, survey_id, erased_at, MIN(id) AS first_id FROM erasures
    WHERE user_hash IS NOT NULL GROUP BY user_hash, survey_id, erased_at HAVING COUNT(*) > 1
  ) AS doubled ON erasures.user_hash = doubled.user_hash AND erasures.survey_id = doubled.survey_id
    AND erasures.erased_at = doubled.erased_at AND erasures.id > doubled.first_id
) AS later)
"""


def upgrade() -> None:
    if is_made():
        return  # MariaDB keeps what an interrupted run did
    op.execute(MERGE)
    op.create_index(INDEX, TABLE, ["user_hash", "survey_id", "erased_at"], unique=True)


def downgrade() -> None:
    """Leave the rows that were merged as they are: they said the same."""
    if op.get_context().as_sql or is_made():
        op.drop_index(INDEX, TABLE)


def is_made() -> bool:
    """Return whether the database has the index; not where only SQL is written."""
    if op.get_context().as_sql:
        return False
    return INDEX in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(TABLE)}
