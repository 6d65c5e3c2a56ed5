"""Make the survey a part of every session's key.

Revision ID: 0002
Revises: 0001

The sessions that are there get the default survey (STEPKEEP_DEFAULT_SURVEY, else the only survey of
STEPKEEP_SURVEYS_DIR, else ``default``). SQLite can't change a key, so its tables are made anew and filled; there
history loses AUTOINCREMENT: it costs a write to a second table for each row, and a session's version, not this number,
says what came after what.

Lossy downgrade: the old key has room for one session of a participant, the one that changed last stays.
"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEWEST = (
    "NOT EXISTS (SELECT 1 FROM sessions o WHERE o.user_id = s.user_id AND "
    "(o.updated_at > s.updated_at OR (o.updated_at = s.updated_at AND o.survey_id > s.survey_id)))"
)
STATE = "current_step, answers, step_history, created_at, updated_at, is_audio_mode, session_data"
HISTORY = "action, step, answer, timestamp"


def key(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte."""
    dialect = op.get_context().dialect
    if dialect.name in {"mysql", "mariadb"}:
        exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
    return sa.String(length, collation="C" if dialect.name == "postgresql" else None)


def upgrade() -> None:
    survey = context.config.attributes.get("default_survey") or "default"
    if op.get_context().dialect.name == "sqlite":
        rebuild_sqlite(survey)
    else:
        alter_up(survey)


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        rebuild_sqlite(None)
    else:
        alter_down()


def rebuild_sqlite(survey: str | None) -> None:
    """Make both tables anew, with the survey in their key or, for None, without it."""
    has_survey = survey is not None
    extra = "survey_id VARCHAR(64) NOT NULL, " if has_survey else ""
    keys = "user_id, survey_id" if has_survey else "user_id"
    id_type = "INTEGER NOT NULL" if has_survey else "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"
    id_key = "CONSTRAINT pk_session_history PRIMARY KEY (id), " if has_survey else ""
    user = "VARCHAR(255)" if has_survey else "TEXT"
    time = "DATETIME" if has_survey else "TIMESTAMP DEFAULT CURRENT_TIMESTAMP"
    op.execute(
        f"CREATE TABLE new_sessions (user_id {user} NOT NULL, {extra}current_step TEXT NOT NULL, "
        "answers TEXT NOT NULL, step_history TEXT NOT NULL, "
        f"created_at {time}, updated_at {time}, is_audio_mode INTEGER DEFAULT '0', session_data TEXT, "
        f"CONSTRAINT pk_sessions PRIMARY KEY ({keys}))"
    )
    op.execute(
        f"CREATE TABLE new_session_history (id {id_type}, user_id {user} NOT NULL, {extra}"
        f"action TEXT NOT NULL, step TEXT, answer TEXT, timestamp {time}, {id_key}"
        f"CONSTRAINT fk_session_history_user_id FOREIGN KEY ({keys}) REFERENCES sessions ({keys}))"
    )
    bind = op.get_bind()
    if has_survey:
        given = {"survey": survey}
        bind.execute(
            sa.text(
                f"INSERT INTO new_sessions (user_id, survey_id, {STATE}) SELECT user_id, :survey, {STATE} FROM sessions"
            ),
            given,
        )
        bind.execute(
            sa.text(
                f"INSERT INTO new_session_history (id, user_id, survey_id, {HISTORY}) "
                f"SELECT id, user_id, :survey, {HISTORY} FROM session_history"
            ),
            given,
        )
        for table in ("sessions", "session_history"):
            require_equal(table)
    else:
        op.execute(
            f"INSERT INTO new_sessions (user_id, {STATE}) SELECT user_id, {STATE} FROM sessions s WHERE {NEWEST}"
        )
        columns = ", ".join(f"h.{name.strip()}" for name in HISTORY.split(","))
        op.execute(
            f"INSERT INTO new_session_history (id, user_id, {HISTORY}) SELECT h.id, h.user_id, {columns} "
            "FROM session_history h JOIN sessions s ON s.user_id = h.user_id AND s.survey_id = h.survey_id "
            f"WHERE {NEWEST}"
        )
    for table in ("session_history", "sessions"):
        op.drop_table(table)
    # With legacy_alter_table the reference to `sessions` stays as it is written.
    op.execute("PRAGMA legacy_alter_table=ON")
    for table in ("sessions", "session_history"):
        op.rename_table(f"new_{table}", table)
    op.execute("PRAGMA legacy_alter_table=OFF")
    op.create_index("ix_sessions_updated_at", "sessions", ["updated_at"])
    op.create_index("ix_session_history_user_id_timestamp", "session_history", ["user_id", "timestamp"])


def require_equal(table: str) -> None:
    """Stop the upgrade, changing nothing, if a row was not copied."""
    counts = [
        op.get_bind().execute(sa.text(f"SELECT COUNT(*) FROM {name}")).scalar() for name in (table, f"new_{table}")
    ]
    if counts[0] != counts[1]:
        raise CommandError(f"{table}: {counts[1]} of {counts[0]} rows were copied; nothing was changed")


def alter_up(survey: str) -> None:
    """Add the column to both tables and to their keys; each step looks whether it is done."""
    for table in ("sessions", "session_history"):
        if "survey_id" not in columns_of(table):
            op.add_column(table, sa.Column("survey_id", key(64), nullable=False, server_default=survey))
    drop_foreign_keys(unless=["user_id", "survey_id"])
    for table in ("sessions", "session_history"):
        op.alter_column(table, "user_id", type_=key(255), existing_nullable=False)
    set_primary_key(["user_id", "survey_id"])
    if not foreign_keys():
        op.create_foreign_key(
            "fk_session_history_user_id",
            "session_history",
            "sessions",
            ["user_id", "survey_id"],
            ["user_id", "survey_id"],
        )
    for table in ("sessions", "session_history"):
        op.alter_column(table, "survey_id", server_default=None, existing_type=key(64), existing_nullable=False)


def alter_down() -> None:
    """Take the column out of the keys and the tables."""
    drop_foreign_keys(unless=["user_id"])
    helper = "ix_session_history_user_id_survey_id"  # made by the downgrade of 0003 on MariaDB
    if helper in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("session_history")}:
        op.drop_index(helper, "session_history")
    if "survey_id" in columns_of("sessions"):
        if "survey_id" in columns_of("session_history"):
            lost = f"SELECT s.user_id, s.survey_id FROM sessions s WHERE NOT ({NEWEST})"
            for user_id, survey_id in op.get_bind().execute(sa.text(lost)).fetchall():
                for table in ("session_history", "sessions"):
                    op.get_bind().execute(
                        sa.text(f"DELETE FROM {table} WHERE user_id = :u AND survey_id = :s"),
                        {"u": user_id, "s": survey_id},
                    )
            op.drop_column("session_history", "survey_id")
        set_primary_key(["user_id"])
        op.drop_column("sessions", "survey_id")
    if not foreign_keys():
        op.create_foreign_key("fk_session_history_user_id", "session_history", "sessions", ["user_id"], ["user_id"])


def columns_of(table: str) -> set[str]:
    """Return the names of the table's columns."""
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def foreign_keys() -> list[tuple[str | None, list[str]]]:
    """Return history's foreign keys: name and columns."""
    found = sa.inspect(op.get_bind()).get_foreign_keys("session_history")
    return [(item["name"], item["constrained_columns"]) for item in found]


def drop_foreign_keys(unless: list[str]) -> None:
    """Drop history's foreign keys, whatever their names, but the one on these columns."""
    for name, columns in foreign_keys():
        if columns != unless and name:
            op.drop_constraint(name, "session_history", type_="foreignkey")


def set_primary_key(columns: list[str]) -> None:
    """Make these columns the key of sessions."""
    present = sa.inspect(op.get_bind()).get_pk_constraint("sessions")
    if present["constrained_columns"] == columns:
        return
    listed = ", ".join(columns)
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint(present["name"] or "sessions_pkey", "sessions", type_="primary")
        op.create_primary_key("pk_sessions", "sessions", columns)
    else:
        op.execute(f"ALTER TABLE sessions DROP PRIMARY KEY, ADD PRIMARY KEY ({listed})")
