"""SQL: functions take a connection whose transaction the caller owns. Times are microseconds since 1970 UTC."""

from .audit import Action, AuditEntry, RecordedEntry
from .credentials import CLOCK_SKEW_US, StoredKey, TokenRevocation
from .drivers import TurnStatements, database_file
from .encryption import SET_ASIDE, Cipher, DecryptionError, cipher_from_keys
from .engine import (
    callers_engine,
    database_facts,
    database_url,
    mark_in_use,
    migration_engine,
    migration_url,
    normalise_url,
    reader_engine,
    server_lock,
    turn_statements,
    unmark_in_use,
    writer_engine,
)
from .erasure_journal import ErasureJournal, ErasureRecord, hash_user_id, open_journal
from .history import RecordedValues
from .keyset import Page, owner_of
from .migrations import (
    SchemaGuard,
    check_schema,
    downgrade_schema,
    head_revision,
    needs_upgrade,
    require_revision,
    schema_mismatch,
    schema_revision,
    stamp_schema,
    stored_revision,
    upgrade_schema,
)
from .outbox import AttemptResult, Delivery, Webhook, WebhookEvent
from .requirements import check_connections, check_requirements, check_tables, connect_or_explain, startup_errors
from .retry import LockTimedOut, error_summary, is_data_error, is_lock_timeout, translate_error, with_retries
from .rows import HistoryEntry, Row, StoredSession, StoredSessions, parse_context
from .sessions import Cursor, SurveyCount

__all__ = [
    "CLOCK_SKEW_US",
    "SET_ASIDE",
    "Action",
    "AttemptResult",
    "AuditEntry",
    "Cipher",
    "Cursor",
    "DecryptionError",
    "Delivery",
    "ErasureJournal",
    "ErasureRecord",
    "HistoryEntry",
    "LockTimedOut",
    "Page",
    "RecordedEntry",
    "RecordedValues",
    "Row",
    "SchemaGuard",
    "StoredKey",
    "StoredSession",
    "StoredSessions",
    "SurveyCount",
    "TokenRevocation",
    "TurnStatements",
    "Webhook",
    "WebhookEvent",
    "callers_engine",
    "check_connections",
    "check_requirements",
    "check_schema",
    "check_tables",
    "cipher_from_keys",
    "connect_or_explain",
    "database_facts",
    "database_file",
    "database_url",
    "downgrade_schema",
    "error_summary",
    "hash_user_id",
    "head_revision",
    "is_data_error",
    "is_lock_timeout",
    "mark_in_use",
    "migration_engine",
    "migration_url",
    "needs_upgrade",
    "normalise_url",
    "open_journal",
    "owner_of",
    "parse_context",
    "reader_engine",
    "require_revision",
    "schema_mismatch",
    "schema_revision",
    "server_lock",
    "stamp_schema",
    "startup_errors",
    "stored_revision",
    "translate_error",
    "turn_statements",
    "unmark_in_use",
    "upgrade_schema",
    "with_retries",
    "writer_engine",
]
