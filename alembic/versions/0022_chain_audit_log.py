"""Let audit_log be a hash chain, whose last link is in audit_head.

Revision ID: 0022
Revises: 0021

Existing entries stay outside of the chain: a migration has no key. A downgrade removes the chain, after which nothing
shows that the entries are unchanged.
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLE = "audit_log"
HEAD = "audit_head"
COLUMNS = {"salt": 32, "commitment": 64, "key_id": 16, "link": 64}


def key(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte."""
    dialect = op.get_context().dialect
    if dialect.name in {"mysql", "mariadb"}:
        exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
    return sa.String(length, collation="C" if dialect.name == "postgresql" else None)


def upgrade() -> None:
    # MariaDB keeps what an interrupted run did.
    existing = columns()
    for name, length in COLUMNS.items():
        if name not in existing:
            op.add_column(TABLE, sa.Column(name, key(length)))
    if not sa.inspect(op.get_bind()).has_table(HEAD):
        op.create_table(
            HEAD,
            sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
            sa.Column("entries", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
            sa.Column("link", key(64), nullable=False),
            sa.Column("key_id", key(16), nullable=False),
            sa.Column("mac", key(64), nullable=False),
            sa.PrimaryKeyConstraint("id", name=f"pk_{HEAD}"),
            mysql_charset="utf8mb4",
            mysql_engine="InnoDB",
            mariadb_charset="utf8mb4",
            mariadb_engine="InnoDB",
        )


def downgrade() -> None:
    if sa.inspect(op.get_bind()).has_table(HEAD):
        require_accepted()
        op.drop_table(HEAD)
    existing = columns()
    for name in COLUMNS:
        if name in existing:
            op.drop_column(TABLE, name)


def columns() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}


def require_accepted() -> None:
    """Raise unless there is no chain, or the operator accepts its loss."""
    is_lossy = context.get_x_argument(as_dictionary=True).get("lossy") == "yes"
    if not is_lossy and op.get_bind().execute(sa.select(sa.literal(1)).select_from(sa.table(HEAD))).first():
        raise CommandError(
            f"{TABLE} has a hash chain, which earlier releases don't continue: nothing would show any more that its "
            "entries are unchanged; `alembic -x lossy=yes downgrade` removes it"
        )
