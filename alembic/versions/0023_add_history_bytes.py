"""Give each session the bytes of its history, so that a turn can keep them within STEPKEEP_SESSION_MIB.

Revision ID: 0023
Revises: 0022

They count from here on. An actual sum would read the whole history, on a large database for hours; without it, an older
session may grow by as much as a new one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MariaDB keeps what an interrupted run did.
    if not has_column():
        count = sa.BigInteger().with_variant(sa.Integer, "sqlite")
        op.add_column("sessions", sa.Column("history_bytes", count, nullable=False, server_default="0"))


def downgrade() -> None:
    if has_column():
        op.drop_column("sessions", "history_bytes")


def has_column() -> bool:
    return "history_bytes" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("sessions")}
