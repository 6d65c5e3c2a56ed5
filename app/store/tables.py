"""The Core tables at the newest revision.

JSON is text, to keep key order, exact numbers and corrupt old rows. Times are naive UTC.
"""

from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Column,
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
)
from sqlalchemy.dialects import mysql

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
        """Return each database's exact collation; SQLite's default is exact."""
        length = cast("String", self.impl_instance).length
        if dialect.name in {"mysql", "mariadb"}:
            exact = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
            return mysql.VARCHAR(length, charset="utf8mb4", collation=exact)
        return String(length, collation="C" if dialect.name == "postgresql" else None)


LongText = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
Time = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
Count = BigInteger().with_variant(Integer, "sqlite")

_OPTIONS: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB", "mariadb_charset": "utf8mb4"}

sessions = Table(
    "sessions",
    metadata,
    Column("user_id", Key(255), primary_key=True),
    Column("survey_id", Key(64), primary_key=True),
    Column("current_step", LongText, nullable=False),
    Column("answers", LongText, nullable=False),
    Column("step_history", LongText, nullable=False),
    Column("created_at", Time),
    Column("updated_at", Time),
    Column("is_audio_mode", Integer, server_default="0"),
    Column("session_data", LongText),
    Column("survey_revision", Key(64)),
    Column("version", Count, nullable=False, server_default="0"),
    Column("status", String(16), nullable=False, server_default="in_progress"),
    Column("drafts", LongText),
    Column("completed_at", Time),
    Column("expires_at", Time),
    **_OPTIONS,
)

session_history = Table(
    "session_history",
    metadata,
    Column("id", Count, primary_key=True, autoincrement=True),
    Column("user_id", Key(255), nullable=False),
    Column("survey_id", Key(64), nullable=False),
    Column("version", Count, nullable=False, server_default="0"),
    Column("message_id", Key(64)),
    Column("action", LongText, nullable=False),
    Column("step", LongText),
    Column("answer", LongText),
    Column("timestamp", Time, index=True),
    Column("data", LongText),
    ForeignKeyConstraint(
        ["user_id", "survey_id"], ["sessions.user_id", "sessions.survey_id"], name="fk_session_history_user_id"
    ),
    # Indexes, not constraints: SQLite adds them without rebuilding the table.
    Index("uq_session_history_version", "user_id", "survey_id", "version", unique=True),
    # The message id first: clients begin it with the time, so rows append.
    Index("uq_session_history_message_id_user_id_survey_id", "message_id", "user_id", "survey_id", unique=True),
    **_OPTIONS,
)

survey_revisions = Table(
    "survey_revisions",
    metadata,
    Column("survey_id", Key(64), primary_key=True),
    Column("revision", Key(64), primary_key=True),
    Column("definition", LongText, nullable=False),
    Column("created_at", Time, nullable=False),
    **_OPTIONS,
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Key(16), primary_key=True),
    Column("name", Key(128), nullable=False),
    Column("scopes", Key(255), nullable=False),
    Column("secret_hash", Key(64), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("last_used_at", Time),
    Column("revoked_at", Time),
    **_OPTIONS,
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("cookie_hash", Key(64), primary_key=True),
    Column("key_id", Key(16), nullable=False),
    Column("signed_in_at", Time, nullable=False),
    Column("seen_at", Time, nullable=False),
    ForeignKeyConstraint(["key_id"], ["api_keys.id"]),
    **_OPTIONS,
)

token_revocations = Table(
    "token_revocations",
    metadata,
    Column("survey_id", Key(64), primary_key=True),
    Column("user_id", Key(255), primary_key=True),
    Column("revoked_at", Time, nullable=False, index=True),
    **_OPTIONS,
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", Count, primary_key=True, autoincrement=True),
    Column("survey_id", Key(64), nullable=False),
    Column("user_hash", Key(64)),
    Column("salt", Key(32)),
    Column("sessions", Count, nullable=False),
    Column("erased_at", Time, nullable=False),
    # One row an erasure, even if two processes add it; the hash first, as it is looked up without the survey.
    Index("uq_erasures_user_hash_survey_id_erased_at", "user_hash", "survey_id", "erased_at", unique=True),
    **_OPTIONS,
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Count, primary_key=True, autoincrement=True),
    Column("at", Time, nullable=False),
    Column("actor", Key(160), nullable=False),
    Column("action", Key(64), nullable=False),
    Column("survey_id", Key(64)),
    Column("user_id", Key(255), index=True),
    Column("detail", LongText),
    **_OPTIONS,
)

leases = Table(
    "leases",
    metadata,
    Column("name", Key(64), primary_key=True),
    Column("holder", Key(64), nullable=False),
    Column("until", Time, nullable=False),
    **_OPTIONS,
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Key(32), primary_key=True),
    Column("url", LongText, nullable=False),
    Column("secret", LongText, nullable=False),
    Column("events", Key(255), nullable=False),
    Column("survey_id", Key(64)),
    Column("created_at", Time, nullable=False),
    Column("disabled_at", Time),
    **_OPTIONS,
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Count, primary_key=True, autoincrement=True),
    Column("webhook_id", Key(32), nullable=False),
    Column("event", Key(64), nullable=False),
    Column("survey_id", Key(64), nullable=False),
    Column("user_id", Key(255), nullable=False, index=True),
    Column("version", Count, nullable=False),
    Column("occurred_at", Time, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", Time, index=True),
    Column("delivered_at", Time),
    Column("failed_at", Time),
    Column("last_status", Integer),
    Column("last_error", LongText),
    ForeignKeyConstraint(["webhook_id"], ["webhooks.id"]),
    # A webhook's due deliveries, without reading another's that is failing.
    Index("ix_webhook_deliveries_webhook_id_next_attempt_at", "webhook_id", "next_attempt_at"),
    **_OPTIONS,
)
