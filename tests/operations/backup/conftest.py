"""Databases of each kind, and a database with rows in every table."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from app.operations.backup.bulk import snapshot
from app.operations.backup.row_format import TABLES, Row
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import audit, erasures
from app.store.engine import normalise_url
from app.store.erasure_journal import ErasureRecord, hash_user_id
from app.store.tables import (
    api_keys,
    session_history,
    sessions,
    sign_ins,
    token_revocations,
    webhook_deliveries,
    webhooks,
)
from app.survey.commands import Answer, Begin, Draft, Note, Save
from app.survey.snapshot import SessionKey
from tests.conftest import ROOT, SURVEYS, NewStore, Servers, migrated_database
from tests.store.test_erasures import set_aside

KEY = base64.b64encode(hashlib.sha256(b"backup").digest()).decode()
NAUGHTY: list[str] = json.loads((ROOT / "tests/web/naughty_strings.json").read_text())
AT = 1_790_000_000_123_456

Opened = Callable[..., SessionStore]


@pytest.fixture
def new_url(servers: Servers, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return a function that creates an empty database of a kind and returns its URL."""
    with ExitStack() as stack:
        folders: list[Path] = []

        def make(kind: str) -> str:
            folders.append(tmp_path / f"database{len(folders)}")
            folders[-1].mkdir()
            return stack.enter_context(migrated_database(kind, servers, folders[-1]))

        yield make


@pytest.fixture
def opened(new_store: NewStore) -> Opened:
    """Return a function that opens stores; they are closed at the end of the test."""

    def open_one(url: str, **changes: Any) -> SessionStore:
        settings = {"environment": "development", "surveys_dir": SURVEYS, **changes}
        return new_store(Settings(database_url=url, **settings))

    return open_one


def fill(store: SessionStore, sessions_: int = 3) -> None:
    """Insert rows into all tables: naughty strings, drafts, set-aside, unreadable and legacy sessions."""
    for number in range(sessions_):
        key = SessionKey("phq9", f"user{number}")
        turns = [
            Begin(at=AT + number, parameters={"name": NAUGHTY[number]}),
            Answer(at=AT + 1, message_id="m1", step="Q1", value=1),
            Draft(at=AT + 2, step="Q2", value="half"),
            Note(at=AT + 3, action="called", step=None, answer={"texts": NAUGHTY[number::3]}),
            Save(
                at=AT + 4,
                current_step="Q3",
                answers={"Q1": 2, "note": "ä😀\\N\t\n'\"%s\\"},
                step_history=("Q1",),
                is_audio_mode=True,
                session_data={"k": 1.5},
            ),
        ]
        assert not [
            result
            for result in store.turns.submit_many([(key, turn) for turn in turns])
            if isinstance(result, Exception)
        ]
    aside = SessionKey("phq9", "aside")
    store.turns.submit_many([(aside, Begin(at=AT)), (aside, Answer(at=AT, message_id="m1", step="Q1", value=1))])
    set_aside(store, aside)
    store.run_transaction(_fill_others)


def _fill_others(connection: Connection) -> None:
    time = AT
    salt = "ab" * 16
    old = {"survey_id": "phq9", "current_step": "Q1", "step_history": "[]", "created_at": time, "updated_at": time}
    connection.execute(insert(sessions), [{"user_id": "corrupt", "answers": "{oops", **old}])
    connection.execute(insert(sessions), [{"user_id": "old one", "answers": '{"Q1": 1}', **old}])
    connection.execute(
        insert(session_history),
        [{"user_id": "corrupt", "survey_id": "phq9", "version": 1, "action": "noted", "timestamp": time}],
    )
    key = {"id": "k1", "name": "ä", "scopes": "sessions:read", "secret_hash": "x" * 64, "created_at": time}
    connection.execute(insert(api_keys), [key])
    connection.execute(insert(sign_ins), [{"cookie_hash": "c", "key_id": "k1", "signed_in_at": time, "seen_at": time}])
    connection.execute(
        insert(token_revocations),
        [{"survey_id": "phq9", "user_id": hash_user_id(salt, "phq9", "user0"), "salt": salt, "revoked_at": time}],
    )
    erasures.add_missing(connection, [ErasureRecord("phq9", hash_user_id(salt, "phq9", "gone"), salt, 1, AT)])
    audit.record(connection, audit.AuditEntry(at=AT, actor="operator", action="session_read", user_id="user1"))
    hook = {"id": "w1", "url": "https://x.test/", "secret": "s", "events": "completed", "created_at": time}
    connection.execute(insert(webhooks), [{**hook, "includes_values": True}])
    row = {"webhook_id": "w1", "event": "completed", "survey_id": "phq9", "user_id": "user1", "version": 1}
    connection.execute(insert(webhook_deliveries), [{**row, "occurred_at": time, "next_attempt_at": time}])


def contents(url: str) -> dict[str, list[Row]]:
    """Return all rows by table, in the portable format."""
    with snapshot(normalise_url(url)) as database:
        return {table.name: list(database.rows(table)) for table in TABLES}


def without_audit(tables: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Return the rows of all tables but the audit log, which records each restore."""
    return {name: rows for name, rows in tables.items() if not name.startswith("audit_")}
