"""Encrypted sessions: their keys, stores that have them, and what a database client sees."""

import base64
import hashlib
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, create_engine

from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import encryption
from app.store.drivers import sqlite
from app.store.encryption import Cipher, ValueLocation
from app.store.engine import normalise_url
from app.survey.commands import Answer, AnyCommand, Begin, Draft, Note, Update
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed

OLD, NEW, OTHER = (hashlib.sha256(bytes([number])).digest() for number in (1, 2, 3))
MARKER = "Zwetschgenknödel"
KEY = SessionKey("diary", "user123")

OpenWithKeys = Callable[..., SessionStore]


def keys_of(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


def unpadded(cipher: Cipher, text: str, location: ValueLocation) -> str:
    """Return an encrypted value as releases before padding wrote it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encryption, "SIZE_CLASSES", (0,))
        return cipher.encrypt(text, location)


def client_engine(settings: Settings) -> Engine:
    """Return an engine independent of the store, but with its SQLite driver: a second one would drop file locks."""
    url = normalise_url(settings.database_url)
    return create_engine(url, module=sqlite.driver()) if url.get_backend_name() == "sqlite" else create_engine(url)


def all_values(engine: Engine) -> str:
    """Return every stored value of both tables, without decryption."""
    with engine.connect() as connection:
        tables = [connection.exec_driver_sql(f"SELECT * FROM {name}").all() for name in ("sessions", "session_history")]  # noqa: S608 - constants
    return "\n".join(str(value) for rows in tables for row in rows for value in row)


def submit(store: SessionStore, *commands: AnyCommand, key: SessionKey = KEY) -> None:
    for command in commands:
        assert isinstance(store.turns.submit(key, command), Committed)


def fill(store: SessionStore, key: SessionKey = KEY) -> None:
    """Write the marker into every column that can have an answer."""
    submit(
        store,
        Begin(at=store.clock(), parameters={"name": MARKER}),
        Draft(at=1, step="S1", value=f"{MARKER} half"),
        Answer(at=2, message_id="m1", step="S1", value=f"{MARKER} one"),
        Answer(at=3, step="S2", value=f"{MARKER} two"),
        Answer(at=4, step="S1", value=f"{MARKER} edited"),
        Note(at=5, action="called", step=None, answer={"said": MARKER}),
        Update(at=6, changes={"session_data": {"clinic": MARKER}}),
        Draft(at=7, step="S3", value=MARKER),
        key=key,
    )
