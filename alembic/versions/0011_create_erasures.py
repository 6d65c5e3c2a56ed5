"""Keep a list of what was erased, without saying who it was.

Revision ID: 0011
Revises: 0010

A backup that is older than an erasure would bring the person back: the list lets it be erased again. The hash is
salted, with one salt for all of a database's erasures; a purge by age is one row, with how many sessions went.
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLE = "erasures"


def key(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte."""
    dialect = op.get_context().dialect
    if dialect.name in {"mysql", "mariadb"}:
        exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
    return sa.String(length, collation="C" if dialect.name == "postgresql" else None)


def upgrade() -> None:
    if not op.get_context().as_sql and sa.inspect(op.get_bind()).has_table(TABLE):
        return  # MariaDB keeps what an interrupted run did
    time = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    count = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        TABLE,
        sa.Column("id", count, nullable=False),
        sa.Column("survey_id", key(64), nullable=False),
        sa.Column("user_hash", key(64)),
        sa.Column("salt", key(32)),
        sa.Column("sessions", count, nullable=False),
        sa.Column("erased_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
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
            f"{TABLE} has rows: a backup would bring people back; `alembic -x lossy=yes downgrade` does it"
        )
