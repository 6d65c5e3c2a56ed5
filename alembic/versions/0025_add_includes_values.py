"""Let webhooks ask for computed values and parameters of sessions.

Revision ID: 0025
Revises: 0024

Existing webhooks don't ask for them, nor do those of a process that doesn't know the column. A downgrade loses it: the
receivers would get notifications without what they asked for.
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

TABLE = "webhooks"
NAME = "includes_values"


def upgrade() -> None:
    # MariaDB keeps what an interrupted run did.
    if not has_column():
        op.add_column(TABLE, sa.Column(NAME, sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    if has_column():
        require_accepted()
        op.drop_column(TABLE, NAME)


def has_column() -> bool:
    return NAME in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}


def require_accepted() -> None:
    """Raise unless no webhook asks for values, or the operator accepts that none gets them."""
    is_lossy = context.get_x_argument(as_dictionary=True).get("lossy") == "yes"
    table = sa.table(TABLE, sa.column(NAME, sa.Boolean()))
    used = sa.select(sa.literal(1)).select_from(table).where(table.c[NAME]).limit(1)
    if not is_lossy and op.get_bind().execute(used).first():
        raise CommandError(
            f"{TABLE} has webhooks with computed values, which earlier releases don't send; "
            "`alembic -x lossy=yes downgrade` makes them webhooks without"
        )
