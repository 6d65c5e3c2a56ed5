"""Keep where integrators want to be told of sessions.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLE = "webhooks"


def key(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte."""
    dialect = op.get_context().dialect
    if dialect.name in {"mysql", "mariadb"}:
        exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
    return sa.String(length, collation="C" if dialect.name == "postgresql" else None)


def upgrade() -> None:
    time = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    text = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
    op.create_table(
        TABLE,
        sa.Column("id", key(32), nullable=False),
        sa.Column("url", text, nullable=False),
        sa.Column("secret", text, nullable=False),
        sa.Column("events", key(255), nullable=False),
        sa.Column("survey_id", key(64)),
        sa.Column("created_at", time, nullable=False),
        sa.Column("disabled_at", time),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
        if_not_exists=True,
    )


def downgrade() -> None:
    refuse_loss()
    op.drop_table(TABLE, if_exists=True)


def refuse_loss() -> None:
    """Go on where nothing is lost, or where the operator said that it may be."""
    if op.get_context().as_sql or context.get_x_argument(as_dictionary=True).get("lossy") == "yes":
        return
    has_rows = (
        sa.inspect(op.get_bind()).has_table(TABLE)
        and op.get_bind().execute(sa.select(sa.literal(1)).select_from(sa.table(TABLE)).limit(1)).first()
    )
    if has_rows:
        raise CommandError(
            f"{TABLE} has rows: nobody would be told of anything; `alembic -x lossy=yes downgrade` does it"
        )
