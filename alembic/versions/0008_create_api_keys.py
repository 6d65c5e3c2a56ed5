"""Keep the keys of programs and researchers: of a key only a hash of its secret.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLE = "api_keys"

SEALED = {"sessions": ("answers", "drafts", "session_data"), "session_history": ("answer", "data")}
"""What STEPKEEP_ANSWERS_KEYS encrypts."""


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
    op.create_table(
        TABLE,
        sa.Column("id", key(16), nullable=False),
        sa.Column("name", key(128), nullable=False),
        sa.Column("scopes", key(255), nullable=False),
        sa.Column("secret_hash", key(64), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("expires_at", time),
        sa.Column("last_used_at", time),
        sa.Column("revoked_at", time),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )


def downgrade() -> None:
    refuse_sealed()
    refuse_loss()
    op.drop_table(TABLE, if_exists=True)


def refuse_sealed() -> None:
    """Go on where no answer is encrypted: the program of the revisions below would take those for broken sessions."""
    if op.get_context().as_sql:
        return
    for name, columns in SEALED.items():
        table = sa.table(name, *map(sa.column, columns))
        is_sealed = sa.or_(*(column.like("enc:%") for column in table.c))
        if op.get_bind().execute(sa.select(sa.literal(1)).select_from(table).where(is_sealed).limit(1)).first():
            raise CommandError(f"{name} has encrypted answers: run `flask keys rotate --to-plain` first")


def refuse_loss() -> None:
    """Go on where nothing is lost, or where the operator said that it may be."""
    if op.get_context().as_sql or context.get_x_argument(as_dictionary=True).get("lossy") == "yes":
        return
    has_rows = (
        sa.inspect(op.get_bind()).has_table(TABLE)
        and op.get_bind().execute(sa.select(sa.literal(1)).select_from(sa.table(TABLE)).limit(1)).first()
    )
    if has_rows:
        raise CommandError(f"{TABLE} has rows: every API key would be gone; `alembic -x lossy=yes downgrade` does it")
