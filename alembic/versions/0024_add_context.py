"""Give sessions a context: language, start of a later walk, ending.

Revision ID: 0024
Revises: 0023

NULL for most sessions. A downgrade loses it: earlier releases read no session of a survey that needs it.
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TABLE = "sessions"
NAME = "context"


def upgrade() -> None:
    # MariaDB keeps what an interrupted run did.
    if not has_column():
        long_text = sa.Text().with_variant(
            mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
        )
        op.add_column(TABLE, sa.Column(NAME, long_text))


def downgrade() -> None:
    if has_column():
        require_accepted()
        op.drop_column(TABLE, NAME)


def has_column() -> bool:
    return NAME in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}


def require_accepted() -> None:
    """Raise unless no session has a context, or the operator accepts its loss."""
    is_lossy = context.get_x_argument(as_dictionary=True).get("lossy") == "yes"
    used = sa.select(sa.literal(1)).select_from(sa.table(TABLE)).where(sa.column(NAME).is_not(None)).limit(1)
    if not is_lossy and op.get_bind().execute(used).first():
        raise CommandError(
            f"{TABLE} has languages or endings, which earlier releases don't know; "
            "`alembic -x lossy=yes downgrade` removes them"
        )
