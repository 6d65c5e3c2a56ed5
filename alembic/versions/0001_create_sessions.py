"""Create sessions and session_history, or adopt those that are there.

Revision ID: 0001
Revises:

Exactly the schema of existing installations; a database made by hand from that SQL, without a stamp of
Alembic, keeps its rows.
"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SESSIONS = {
    "user_id",
    "current_step",
    "answers",
    "step_history",
    "created_at",
    "updated_at",
    "is_audio_mode",
    "session_data",
}
HISTORY = {"id", "user_id", "action", "step", "answer", "timestamp"}


def key(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte; TEXT on SQLite, as existing installations have it."""
    dialect = op.get_context().dialect
    if dialect.name in {"mysql", "mariadb"}:
        exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
    return sa.String(length, collation="C") if dialect.name == "postgresql" else sa.Text()


def upgrade() -> None:
    text = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
    time = sa.TIMESTAMP().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    on_mysql = op.get_context().dialect.name in {"mysql", "mariadb"}
    now = sa.text("CURRENT_TIMESTAMP(6)" if on_mysql else "CURRENT_TIMESTAMP")
    if not is_there("sessions", SESSIONS):
        op.create_table(
            "sessions",
            sa.Column("user_id", key(255), nullable=False),
            sa.Column("current_step", text, nullable=False),
            sa.Column("answers", text, nullable=False),
            sa.Column("step_history", text, nullable=False),
            sa.Column("created_at", time, server_default=now, nullable=True),
            sa.Column("updated_at", time, server_default=now, nullable=True),
            sa.Column("is_audio_mode", sa.Integer, server_default="0"),
            sa.Column("session_data", text),
            sa.PrimaryKeyConstraint("user_id", name="pk_sessions"),
            mysql_charset="utf8mb4",
            mariadb_charset="utf8mb4",
        )
    if not is_there("session_history", HISTORY):
        op.create_table(
            "session_history",
            sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
            sa.Column("user_id", key(255), nullable=False),
            sa.Column("action", text, nullable=False),
            sa.Column("step", text),
            sa.Column("answer", text),
            sa.Column("timestamp", time, server_default=now, nullable=True),
            sa.PrimaryKeyConstraint("id", name="pk_session_history"),
            sa.ForeignKeyConstraint(["user_id"], ["sessions.user_id"], name="fk_session_history_user_id"),
            mysql_charset="utf8mb4",
            mariadb_charset="utf8mb4",
            sqlite_autoincrement=True,
        )
    make_index("sessions", ["updated_at"])
    make_index("session_history", ["user_id", "timestamp"])


def downgrade() -> None:
    op.drop_table("session_history")
    op.drop_table("sessions")


def is_there(table: str, columns: set[str]) -> bool:
    """Return whether the table is there with these columns."""
    if op.get_context().as_sql:
        return False
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(table):
        return False
    missing = columns - {column["name"] for column in inspector.get_columns(table)}
    if missing:
        raise CommandError(
            f"there is a table {table} of another program: it lacks {', '.join(sorted(missing))}; "
            "choose another database"
        )
    return True


def make_index(table: str, columns: list[str]) -> None:
    """Make the index unless one on these columns is there, whatever its name."""
    if not op.get_context().as_sql:
        present = sa.inspect(op.get_bind()).get_indexes(table)
        if any(index["column_names"] == columns for index in present):
            return
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
