"""Let token_revocations hold participants as salted hashes, as erasures does.

Revision ID: 0018
Revises: 0016

A revocation outlives the participant's erasure. In a row with a salt, ``user_id`` is a hash; a server hashes the others
when it starts. A hash can't be turned back: a downgrade deletes those rows.
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLE = "token_revocations"
INDEX = "ix_token_revocations_salt"


def key(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte."""
    dialect = op.get_context().dialect
    if dialect.name in {"mysql", "mariadb"}:
        exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
    return sa.String(length, collation="C" if dialect.name == "postgresql" else None)


def upgrade() -> None:
    # MariaDB keeps what an interrupted run did.
    if op.get_context().as_sql or not has_salt():
        op.add_column(TABLE, sa.Column("salt", key(32)))
    if op.get_context().as_sql or not has_index():
        op.create_index(INDEX, TABLE, ["salt"])


def downgrade() -> None:
    if op.get_context().as_sql or has_salt():
        delete_hashes()
    if op.get_context().as_sql or has_index():
        op.drop_index(INDEX, TABLE)
    if op.get_context().as_sql or has_salt():
        op.drop_column(TABLE, "salt")


def has_salt() -> bool:
    return "salt" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}


def has_index() -> bool:
    return INDEX in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(TABLE)}


def delete_hashes() -> None:
    """Delete the hashed rows if there are none, or if the operator accepts it."""
    is_lossy = op.get_context().as_sql or context.get_x_argument(as_dictionary=True).get("lossy") == "yes"
    salt = sa.column("salt")
    hashed = sa.select(sa.literal(1)).select_from(sa.table(TABLE)).where(salt.is_not(None)).limit(1)
    if not is_lossy and op.get_bind().execute(hashed).first():
        raise CommandError(
            f"{TABLE} has rows with hashes, which earlier releases can't read: revoked tokens would be valid again; "
            "`alembic -x lossy=yes downgrade` does it"
        )
    op.execute(sa.delete(sa.table(TABLE)).where(salt.is_not(None)))
