"""Let api_keys be limited to surveys.

Revision ID: 0021
Revises: 0019

``surveys`` has the ids, with spaces between; NULL is for all surveys. For earlier releases a limited key would be valid
for all surveys: a downgrade revokes it.
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0021"
down_revision = "0019"
branch_labels = None
depends_on = None

TABLE = "api_keys"


def upgrade() -> None:
    # MariaDB keeps what an interrupted run did.
    if not has_surveys():
        long_text = sa.Text().with_variant(
            mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
        )
        op.add_column(TABLE, sa.Column("surveys", long_text))


def downgrade() -> None:
    if has_surveys():
        revoke_limited_keys()
        op.drop_column(TABLE, "surveys")


def has_surveys() -> bool:
    return "surveys" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}


def revoke_limited_keys() -> None:
    """Revoke the limited keys and end their sign-ins if there are none, or if the operator accepts it."""
    keys = sa.table(TABLE, *map(sa.column, ("id", "surveys", "created_at", "revoked_at")))
    is_limited = sa.and_(keys.c.surveys.is_not(None), keys.c.revoked_at.is_(None))
    is_lossy = context.get_x_argument(as_dictionary=True).get("lossy") == "yes"
    if not is_lossy and op.get_bind().execute(sa.select(keys.c.id).where(is_limited).limit(1)).first():
        raise CommandError(
            f"{TABLE} has keys that are limited to surveys, which earlier releases would accept for all surveys; "
            "`alembic -x lossy=yes downgrade` revokes them"
        )
    sign_ins = sa.table("sign_ins", sa.column("key_id"))
    op.execute(sa.delete(sign_ins).where(sign_ins.c.key_id.in_(sa.select(keys.c.id).where(is_limited))))
    op.execute(sa.update(keys).where(is_limited).values(revoked_at=keys.c.created_at))
