"""Give the columns of a database that was made by hand the types of one that the revisions made.

Revision ID: 0006
Revises: 0005

A hand-made MariaDB table has TEXT (64 KiB), TIMESTAMP (whole seconds, until 2038) and the server's character
set, often latin1; on PostgreSQL SERIAL ends at 2^31. What fits already is left alone, so that the tables that
the revisions made are not written anew. SQLite's tables were made anew by 0002.

Downgrade: the wider types stay; they hold all that the old ones did.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXTS = {
    "sessions": {"current_step": False, "answers": False, "step_history": False, "session_data": True},
    "session_history": {"action": False, "step": True, "answer": True},
}
"""By table, the columns of any text, and whether they may be null."""

TIMES = {"sessions": ("created_at", "updated_at"), "session_history": ("timestamp",)}


def upgrade() -> None:
    if op.get_context().as_sql:
        return  # what is made from this SQL has the types already
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        widen_postgresql()
    elif dialect in {"mysql", "mariadb"}:
        widen_mysql()


def downgrade() -> None:
    pass


def widen_postgresql() -> None:
    """Make TEXT, TIMESTAMP and BIGINT of what is narrower, and name the keys."""
    for table, texts in TEXTS.items():
        types = {name: kind for name, kind, _ in columns_of(table)}
        changes = [f"ALTER {name} TYPE text" for name in texts if types[name] != "text"]
        changes += [
            f"ALTER {name} TYPE timestamp USING {name} AT TIME ZONE 'UTC'"
            for name in TIMES[table]
            if types[name] == "timestamp with time zone"
        ]
        if table == "session_history" and types["id"] != "bigint":
            changes.append("ALTER id TYPE bigint")
        if changes:
            op.execute(f"ALTER TABLE {table} {', '.join(changes)}")
        key = sa.inspect(op.get_bind()).get_pk_constraint(table)["name"]
        if key != f"pk_{table}":
            op.execute(f'ALTER TABLE {table} RENAME CONSTRAINT "{key}" TO pk_{table}')
    # A sequence of SERIAL is as narrow as its column was.
    sequence = op.get_bind().execute(sa.text("SELECT pg_get_serial_sequence('session_history', 'id')")).scalar()
    if sequence is not None:
        op.execute(f"ALTER SEQUENCE {sequence} AS bigint")


def widen_mysql() -> None:
    """Make LONGTEXT, DATETIME(6) and BIGINT of what is narrower, in one ALTER a table."""
    for table, texts in TEXTS.items():
        found = {name: (kind, collation) for name, kind, collation in columns_of(table)}
        changes = [
            f"MODIFY {name} LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin {'NULL' if may_be_null else 'NOT NULL'}"
            for name, may_be_null in texts.items()
            if found[name] != ("longtext", "utf8mb4_bin")
        ]
        changes += [
            f"MODIFY {name} DATETIME(6) NULL DEFAULT CURRENT_TIMESTAMP(6)"
            for name in TIMES[table]
            if found[name][0] != "datetime(6)"
        ]
        if table == "session_history" and not found["id"][0].startswith("bigint"):
            changes.append("MODIFY id BIGINT NOT NULL AUTO_INCREMENT")
        if changes:
            op.execute(f"ALTER TABLE {table} DEFAULT CHARACTER SET utf8mb4, {', '.join(changes)}")


def columns_of(table: str) -> list[tuple[str, str, str]]:
    """Return each column's name, type and collation, in the database's own words."""
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    kind, schema = ("data_type", "CURRENT_SCHEMA()") if on_postgresql else ("column_type", "DATABASE()")
    rows = op.get_bind().execute(
        sa.text(
            f"SELECT column_name, {kind}, collation_name FROM information_schema.columns "
            f"WHERE table_schema = {schema} AND table_name = :table"
        ),
        {"table": table},
    )
    return [(str(row[0]), str(row[1]).lower(), str(row[2])) for row in rows]
