"""The Core tables at the newest revision; times are naive UTC.

JSON is text, to keep the order of keys, exact numbers and corrupt old rows.
"""

import datetime
from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    type_coerce,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import SchemaItem

from ..core.timestamps import from_datetime, to_datetime

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Key(TypeDecorator[str]):
    """A text compared byte by byte: Bob, bob and "Bob " differ."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:  # noqa: ANN401 - SQLAlchemy's own type here
        length = cast("String", self.impl_instance).length
        if dialect.name in {"mysql", "mariadb"}:
            exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
            return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
        return String(length, collation="C" if dialect.name == "postgresql" else None)


class Instant(TypeDecorator[int]):
    """Microseconds since 1970 UTC."""

    impl = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> datetime.datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else to_datetime(value)

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else from_datetime(value)


LongText = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
Count = BigInteger().with_variant(Integer, "sqlite")


def _table(name: str, *items: SchemaItem) -> Table:
    return Table(name, metadata, *items, mysql_charset="utf8mb4", mysql_engine="InnoDB", mariadb_charset="utf8mb4")


sessions = _table(
    "sessions",
    Column("user_id", Key(255), primary_key=True),
    Column("survey_id", Key(64), primary_key=True),
    Column("current_step", LongText, nullable=False),
    Column("answers", LongText, nullable=False),
    Column("step_history", LongText, nullable=False),
    Column("created_at", Instant),
    Column("updated_at", Instant),
    Column("is_audio_mode", Integer, server_default="0"),
    Column("session_data", LongText),
    Column("survey_revision", Key(64)),
    Column("version", Count, nullable=False, server_default="0"),
    Column("status", String(16), nullable=False, server_default="in_progress"),
    Column("drafts", LongText),
    Column("completed_at", Instant),
    Column("expires_at", Instant),
    Column("history_bytes", Count, nullable=False, server_default="0"),
    Column("context", LongText),
)

session_history = _table(
    "session_history",
    Column("id", Count, primary_key=True, autoincrement=True),
    Column("user_id", Key(255), nullable=False),
    Column("survey_id", Key(64), nullable=False),
    Column("version", Count, nullable=False, server_default="0"),
    Column("message_id", Key(64)),
    Column("action", LongText, nullable=False),
    Column("step", LongText),
    Column("answer", LongText),
    Column("timestamp", Instant, index=True),
    Column("data", LongText),
    ForeignKeyConstraint(
        ["user_id", "survey_id"], ["sessions.user_id", "sessions.survey_id"], name="fk_session_history_user_id"
    ),
    # Indexes, not constraints: SQLite adds them without rebuilding the table.
    Index("uq_session_history_version", "user_id", "survey_id", "version", unique=True),
    # The message id first: clients begin it with the time, so rows append.
    Index("uq_session_history_message_id_user_id_survey_id", "message_id", "user_id", "survey_id", unique=True),
)

survey_revisions = _table(
    "survey_revisions",
    Column("survey_id", Key(64), primary_key=True),
    Column("revision", Key(64), primary_key=True),
    Column("definition", LongText, nullable=False),
    Column("created_at", Instant, nullable=False),
)

api_keys = _table(
    "api_keys",
    Column("id", Key(16), primary_key=True),
    Column("name", Key(128), nullable=False),
    Column("scopes", Key(255), nullable=False),
    Column("secret_hash", Key(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
    Column("surveys", LongText),
)

sign_ins = _table(
    "sign_ins",
    Column("cookie_hash", Key(64), primary_key=True),
    Column("key_id", Key(16), nullable=False),
    Column("signed_in_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    ForeignKeyConstraint(["key_id"], ["api_keys.id"]),
)

token_revocations = _table(
    "token_revocations",
    Column("survey_id", Key(64), primary_key=True),
    # A hash with the salt; without one, of a release before revision 0018, the id until a server hashes it.
    Column("user_id", Key(255), primary_key=True),
    Column("revoked_at", Instant, nullable=False, index=True),
    Column("salt", Key(32), index=True),
)

erasures = _table(
    "erasures",
    Column("id", Count, primary_key=True, autoincrement=True),
    Column("survey_id", Key(64), nullable=False),
    Column("user_hash", Key(64)),
    Column("salt", Key(32)),
    Column("sessions", Count, nullable=False),
    Column("erased_at", Instant, nullable=False),
    # One row an erasure, even if two processes add it; the hash first, as it is looked up without the survey.
    Index("uq_erasures_user_hash_survey_id_erased_at", "user_hash", "survey_id", "erased_at", unique=True),
)

audit_log = _table(
    "audit_log",
    Column("id", Count, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("actor", Key(160), nullable=False),
    Column("action", Key(64), nullable=False),
    Column("survey_id", Key(64)),
    Column("user_id", Key(255), index=True),
    Column("detail", LongText),
    # The hash chain (audit_chain.py). All are NULL in entries from before revision 0022.
    Column("salt", Key(32)),
    Column("commitment", Key(64)),
    Column("key_id", Key(16)),
    Column("link", Key(64)),
)

audit_head = _table(
    "audit_head",
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("entries", Count, nullable=False),
    Column("link", Key(64), nullable=False),
    Column("key_id", Key(16), nullable=False),
    Column("mac", Key(64), nullable=False),
)

leases = _table(
    "leases",
    Column("name", Key(64), primary_key=True),
    Column("holder", Key(64), nullable=False),
    Column("until", Instant, nullable=False),
)

webhooks = _table(
    "webhooks",
    Column("id", Key(32), primary_key=True),
    Column("url", LongText, nullable=False),
    Column("secret", LongText, nullable=False),
    Column("events", Key(255), nullable=False),
    Column("survey_id", Key(64)),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    Column("includes_values", Boolean, nullable=False, server_default=false()),
)

webhook_deliveries = _table(
    "webhook_deliveries",
    Column("id", Count, primary_key=True, autoincrement=True),
    Column("webhook_id", Key(32), nullable=False),
    Column("event", Key(64), nullable=False),
    Column("survey_id", Key(64), nullable=False),
    Column("user_id", Key(255), nullable=False, index=True),
    Column("version", Count, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", Instant, index=True),
    Column("delivered_at", Instant),
    Column("failed_at", Instant),
    Column("last_status", Integer),
    Column("last_error", LongText),
    ForeignKeyConstraint(["webhook_id"], ["webhooks.id"]),
    # A webhook's due deliveries, without reading another's that is failing.
    Index("ix_webhook_deliveries_webhook_id_next_attempt_at", "webhook_id", "next_attempt_at"),
)

# Names of columns.
TIMES = frozenset(
    column.name for table in metadata.sorted_tables for column in table.c if isinstance(column.type, Instant)
)


def untyped_times(columns: Iterable[Column[Any]]) -> tuple[ColumnElement[Any], ...]:
    """Return times as the driver's values: one edited by hand would make all rows unreadable."""
    return tuple(
        type_coerce(column, String()).label(column.name) if isinstance(column.type, Instant) else column
        for column in columns
    )
