"""Convert tables of MariaDB and MySQL to InnoDB, whatever engine the server created them with.

Revision ID: 0019
Revises: 0018

Revisions 0001 to 0004 left the engine to the server (default_storage_engine), and a hand-made table has its own. Aria
and MyISAM have no transactions and ignore foreign keys, so the key of session_history is added too.

Downgrade: the tables stay as they are.
"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = (
    "alembic_version",
    "sessions",
    "session_history",
    "survey_revisions",
    "api_keys",
    "sign_ins",
    "token_revocations",
    "erasures",
    "audit_log",
    "leases",
    "webhooks",
    "webhook_deliveries",
)
KEY = ["user_id", "survey_id"]
ORPHANS = (
    "SELECT COUNT(*) FROM session_history h "
    "LEFT JOIN sessions s ON s.user_id = h.user_id AND s.survey_id = h.survey_id WHERE s.user_id IS NULL"
)


def upgrade() -> None:
    context = op.get_context()
    if context.dialect.name not in {"mysql", "mariadb"}:
        return
    if context.as_sql:
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} ENGINE=InnoDB")
        return
    bind = op.get_bind()
    query = "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE()"
    engines = {str(table): str(engine) for table, engine in bind.execute(sa.text(query))}
    for table in TABLES:
        if engines[table] != "InnoDB":
            op.execute(f"ALTER TABLE {table} ENGINE=InnoDB")
    if not sa.inspect(bind).get_foreign_keys("session_history"):
        orphans = bind.execute(sa.text(ORPHANS)).scalar()
        if orphans:
            raise CommandError(
                f"session_history has {orphans} rows without their session, because its engine ignored foreign keys. "
                "Delete them, or add their sessions, and run `alembic upgrade head` again."
            )
        op.create_foreign_key("fk_session_history_user_id", "session_history", "sessions", KEY, KEY)


def downgrade() -> None:
    pass
