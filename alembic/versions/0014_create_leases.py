"""Let server processes agree on which of them does what one alone should do.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLE = "leases"


def key(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte."""
    dialect = op.get_context().dialect
    if dialect.name in {"mysql", "mariadb"}:
        exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
    return sa.String(length, collation="C" if dialect.name == "postgresql" else None)


def upgrade() -> None:
    time = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    op.create_table(
        TABLE,
        sa.Column("name", key(64), nullable=False),
        sa.Column("holder", key(64), nullable=False),
        sa.Column("until", time, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
        if_not_exists=True,
    )


def downgrade() -> None:
    # Nothing is lost: who held a lease asks for it again.
    op.drop_table(TABLE, if_exists=True)
