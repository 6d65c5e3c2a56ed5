"""SQL: every function takes a connection whose transaction its caller owns. Times are microseconds since 1970 UTC.

Not imported here: ``statistics``, because it needs NumPy.
"""

from . import (
    audit,
    credentials,
    definitions,
    drivers,
    encryption,
    erasure_journal,
    erasures,
    expiry,
    export_pages,
    history,
    integrity,
    keyset,
    leases,
    outbox,
    raw_rows,
    retention,
    retry,
    rows,
    sessions,
    tables,
)
from .audit import Action, AuditEntry, AuditPage, RecordedEntry
from .credentials import StoredKey
from .drivers import TurnStatements
from .encryption import SET_ASIDE, Cipher, DecryptionError, cipher_from_keys
from .engine import (
    connect_or_explain,
    database_facts,
    migration_engine,
    normalise_url,
    reader_engine,
    server_lock,
    turn_statements,
    writer_engine,
)
from .erasure_journal import ErasureJournal, ErasureRecord, open_journal
from .erasures import Erasure, ErasureTarget, ReplayOptions, ReplayResult
from .export_pages import SessionFilter
from .integrity import ReplayedHistory, SessionAndReplay
from .keyset import owner_of
from .migrations import check_schema, head_revision, upgrade_schema
from .outbox import AttemptResult, Delivery, Webhook, WebhookEvent
from .retry import LockTimedOut, error_summary, is_data_error, is_lock_timeout, translate_error, with_retries
from .rows import HistoryEntry, KnownMessage, Row, RowFormat, StoredSession, StoredSessions
from .sessions import Cursor, SurveyCount

__all__ = [
    "SET_ASIDE",
    "Action",
    "AttemptResult",
    "AuditEntry",
    "AuditPage",
    "Cipher",
    "Cursor",
    "DecryptionError",
    "Delivery",
    "Erasure",
    "ErasureJournal",
    "ErasureRecord",
    "ErasureTarget",
    "HistoryEntry",
    "KnownMessage",
    "LockTimedOut",
    "RecordedEntry",
    "ReplayOptions",
    "ReplayResult",
    "ReplayedHistory",
    "Row",
    "RowFormat",
    "SessionAndReplay",
    "SessionFilter",
    "StoredKey",
    "StoredSession",
    "StoredSessions",
    "SurveyCount",
    "TurnStatements",
    "Webhook",
    "WebhookEvent",
    "audit",
    "check_schema",
    "cipher_from_keys",
    "connect_or_explain",
    "credentials",
    "database_facts",
    "definitions",
    "drivers",
    "encryption",
    "erasure_journal",
    "erasures",
    "error_summary",
    "expiry",
    "export_pages",
    "head_revision",
    "history",
    "integrity",
    "is_data_error",
    "is_lock_timeout",
    "keyset",
    "leases",
    "migration_engine",
    "normalise_url",
    "open_journal",
    "outbox",
    "owner_of",
    "raw_rows",
    "reader_engine",
    "retention",
    "retry",
    "rows",
    "server_lock",
    "sessions",
    "tables",
    "translate_error",
    "turn_statements",
    "upgrade_schema",
    "with_retries",
    "writer_engine",
]
