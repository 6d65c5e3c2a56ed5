"""Give each session a version, a status and events that fold to it.

Revision ID: 0003
Revises: 0002

From here on, folding a session's history gives its row. What is in history already was written by
another program: it becomes ``noted`` entries, in its order; then each session gets one ``saved`` event
with the state that was found. A session whose JSON can't be read keeps its row, without that event.
Batches are bounded and can be run again: what has its version is left alone.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BATCH = 500

sessions = sa.table(
    "sessions",
    *(sa.column(name) for name in ("user_id", "survey_id", "current_step", "answers", "step_history")),
    *(sa.column(name) for name in ("is_audio_mode", "session_data", "version", "status")),
    sa.column("updated_at", sa.DateTime),
    sa.column("created_at", sa.DateTime),
    sa.column("completed_at", sa.DateTime),
)
history = sa.table(
    "session_history",
    *(sa.column(name) for name in ("id", "user_id", "survey_id", "version", "action", "step", "data")),
    sa.column("timestamp", sa.DateTime),
)


def key(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte."""
    dialect = op.get_context().dialect
    if dialect.name in {"mysql", "mariadb"}:
        exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
    return sa.String(length, collation="C" if dialect.name == "postgresql" else None)


def added() -> list[tuple[str, sa.Column[Any]]]:
    """Return the new columns by table."""
    text = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
    time = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    count = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return [
        ("sessions", sa.Column("survey_revision", key(64))),
        ("sessions", sa.Column("version", count, nullable=False, server_default="0")),
        ("sessions", sa.Column("status", sa.String(16), nullable=False, server_default="in_progress")),
        ("sessions", sa.Column("drafts", text)),
        ("sessions", sa.Column("completed_at", time)),
        ("sessions", sa.Column("expires_at", time)),
        ("session_history", sa.Column("version", count, nullable=False, server_default="0")),
        ("session_history", sa.Column("message_id", key(64))),
        ("session_history", sa.Column("data", text)),
    ]


UNIQUE = {
    "uq_session_history_version": ["user_id", "survey_id", "version"],
    "uq_session_history_message_id": ["user_id", "survey_id", "message_id"],
}


def upgrade() -> None:
    for table, column in added():
        if column.name not in names(table):
            op.add_column(table, column)
    for old in sa.inspect(op.get_bind()).get_indexes("session_history"):
        if old["column_names"] == ["user_id", "timestamp"] and old["name"]:
            op.drop_index(old["name"], "session_history")
    give_versions()
    present = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("session_history")}
    for name, columns in UNIQUE.items():
        if name not in present:
            op.create_index(name, "session_history", columns, unique=True)
    if "ix_session_history_user_id_survey_id" in present:  # of an earlier downgrade on MariaDB
        op.drop_index("ix_session_history_user_id_survey_id", "session_history")


def downgrade() -> None:
    bind = op.get_bind()
    if "data" in names("session_history"):
        noted = sa.select(history.c.id, history.c.data).where(history.c.action == "noted")
        for row in bind.execute(noted).fetchall():
            action = json.loads(row.data or "{}").get("action", "noted")
            bind.execute(sa.update(history).where(history.c.id == row.id).values(action=action))
    present = {index["name"] for index in sa.inspect(bind).get_indexes("session_history")}
    if "ix_session_history_user_id_timestamp" not in present:
        op.create_index("ix_session_history_user_id_timestamp", "session_history", ["user_id", "timestamp"])
    if bind.dialect.name in {"mysql", "mariadb"} and "ix_session_history_user_id_survey_id" not in present:
        # The foreign key needs an index that begins with its columns while the unique ones go.
        op.create_index("ix_session_history_user_id_survey_id", "session_history", ["user_id", "survey_id"])
    for name in UNIQUE:
        if name in present:
            op.drop_index(name, "session_history")
    for table, column in reversed(added()):
        if column.name in names(table):
            op.drop_column(table, column.name)


def names(table: str) -> set[str]:
    """Return the names of the table's columns."""
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def give_versions() -> None:
    """Number the history of each session and end it with the state that was found."""
    after: tuple[str, str] = ("", "")
    while True:
        c = sessions.c
        batch = (
            op.get_bind()
            .execute(
                sa.select(sessions)
                .where(sa.or_(c.user_id > after[0], sa.and_(c.user_id == after[0], c.survey_id > after[1])))
                .order_by(c.user_id, c.survey_id)
                .limit(BATCH)
            )
            .fetchall()
        )
        if not batch:
            return
        for row in batch:
            if not row.version:
                give_version(row)
        after = (batch[-1].user_id, batch[-1].survey_id)


def give_version(row: sa.Row[Any]) -> None:
    """Number one session's history; what an interrupted run numbered is numbered the same again."""
    bind = op.get_bind()
    mine = sa.and_(history.c.user_id == row.user_id, history.c.survey_id == row.survey_id)
    entries = bind.execute(sa.select(history).where(mine).order_by(history.c.id)).fetchall()
    old = [entry for entry in entries if not (entry.action == "saved" and entry.data)]
    changes = [
        {
            "of": entry.id,
            "number": number,
            "kept": entry.data or json.dumps({"action": entry.action}),
            "at": entry.timestamp or row.updated_at or row.created_at,
        }
        for number, entry in enumerate(old, 1)
    ]
    if changes:
        bind.execute(
            sa.update(history)
            .where(history.c.id == sa.bindparam("of"))
            .values(
                action="noted",
                version=sa.bindparam("number"),
                data=sa.bindparam("kept"),
                timestamp=sa.func.coalesce(sa.bindparam("at", type_=sa.DateTime), sa.func.current_timestamp()),
            ),
            changes,
        )
    state = readable(row)
    if state is not None and len(old) == len(entries):
        bind.execute(
            sa.insert(history).values(
                user_id=row.user_id,
                survey_id=row.survey_id,
                version=len(old) + 1,
                action="saved",
                step=row.current_step,
                timestamp=row.updated_at or row.created_at or sa.func.current_timestamp(),
                data=json.dumps(state, ensure_ascii=False, separators=(",", ":")),
            )
        )
    completed = row.current_step == "end"
    now = sa.func.current_timestamp()
    bind.execute(
        sa.update(sessions)
        .where(sessions.c.user_id == row.user_id, sessions.c.survey_id == row.survey_id)
        .values(
            version=len(old) + (state is not None),
            status="completed" if completed else "in_progress",
            is_audio_mode=row.is_audio_mode or 0,
            created_at=row.created_at or row.updated_at or now,
            updated_at=row.updated_at or row.created_at or now,
            completed_at=(row.updated_at or row.created_at or now) if completed else None,
        )
    )


def readable(row: sa.Row[Any]) -> dict[str, Any] | None:
    """Return the state in a row as a ``saved`` event holds it, None if its JSON can't be read."""
    try:
        answers, path = json.loads(row.answers), json.loads(row.step_history)
        data = json.loads(row.session_data) if row.session_data else None
    except ValueError:
        return None
    sound = isinstance(answers, dict) and isinstance(path, list) and isinstance(data, dict | None)
    if not sound or not all(isinstance(step, str) for step in path):
        return None
    return {
        "answers": answers,
        "step_history": path,
        "is_audio_mode": bool(row.is_audio_mode),
        "session_data": data,
        "survey_revision": None,
    }
