"""Keep from when on a participant's resume tokens hold: older ones are revoked.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = "token_revocations"
INDEX = "ix_token_revocations_revoked_at"


def key(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte."""
    dialect = op.get_context().dialect
    if dialect.name in {"mysql", "mariadb"}:
        exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
    return sa.String(length, collation="C" if dialect.name == "postgresql" else None)


def upgrade() -> None:
    # MariaDB keeps what an interrupted run did.
    offline = op.get_context().as_sql
    if offline or not sa.inspect(op.get_bind()).has_table(TABLE):
        make_table()
    if offline or INDEX not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(TABLE)}:
        op.create_index(INDEX, TABLE, ["revoked_at"])


def make_table() -> None:
    """Make the table, without its index."""
    time = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    op.create_table(
        TABLE,
        sa.Column("survey_id", key(64), nullable=False),
        sa.Column("user_id", key(255), nullable=False),
        sa.Column("revoked_at", time, nullable=False),
        sa.PrimaryKeyConstraint("survey_id", "user_id", name="pk_token_revocations"),
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
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
            f"{TABLE} has rows: revoked tokens would hold again; `alembic -x lossy=yes downgrade` does it"
        )
