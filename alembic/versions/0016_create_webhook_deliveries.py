"""Keep what integrators are to be told until they have been told: the outbox of the webhooks.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLE = "webhook_deliveries"
INDEXES = {
    "ix_webhook_deliveries_next_attempt_at": ["next_attempt_at"],
    "ix_webhook_deliveries_user_id": ["user_id"],
    # What one webhook still has to be told, without a look at what waits for another one that takes nothing.
    "ix_webhook_deliveries_webhook_id_next_attempt_at": ["webhook_id", "next_attempt_at"],
}


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
    found = set() if offline else {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(TABLE)}
    for name, columns in INDEXES.items():
        if name not in found:
            op.create_index(name, TABLE, columns)


def make_table() -> None:
    """Make the table, without its indexes."""
    time = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    text = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
    count = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        TABLE,
        sa.Column("id", count, nullable=False),
        sa.Column("webhook_id", key(32), nullable=False),
        sa.Column("event", key(64), nullable=False),
        sa.Column("survey_id", key(64), nullable=False),
        sa.Column("user_id", key(255), nullable=False),
        sa.Column("version", count, nullable=False),
        sa.Column("occurred_at", time, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_attempt_at", time),
        sa.Column("delivered_at", time),
        sa.Column("failed_at", time),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", text),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name="fk_webhook_deliveries_webhook_id"),
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
            f"{TABLE} has rows: what is not delivered would be lost; `alembic -x lossy=yes downgrade` does it"
        )
