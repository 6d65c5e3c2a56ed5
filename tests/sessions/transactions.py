"""A program with a table of its own in the store's database, and what a connection of its participants was shown."""

from collections.abc import Iterable

from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select
from sqlalchemy.orm import Session

from app.operations.integrity import verify_sessions
from app.sessions.service import SessionStore
from app.survey import Answer, SessionKey, Snapshot
from app.writer import Committed, Result

KEY, OTHER = SessionKey("phq9", "ann"), SessionKey("phq9", "bob")
ROWS = Table("orders", MetaData(), Column("number", Integer, primary_key=True, autoincrement=False))


class Subscriber:
    """Remembers the versions of which it was notified, after the one that it shows at first."""

    def __init__(self, store: SessionStore) -> None:
        self.stored = store.queries.load(KEY)
        self.versions: list[int] = []

    def publish(self, snapshot: Snapshot) -> None:
        self.stored = snapshot
        self.versions.append(snapshot.state.version)

    def drop(self) -> None: ...


def answer(number: int = 1, *, value: int = 1, message_id: str | None = None, version: int | None = None) -> Answer:
    return Answer(at=5, message_id=message_id, expected_version=version, step=f"Q{number}", value=value)


def add_row(transaction: Connection | Session, number: int = 1) -> None:
    transaction.execute(insert(ROWS).values(number=number))


def rows(store: SessionStore) -> list[int]:
    """Return the committed rows of the program."""
    return store.run_read(lambda connection: list(connection.scalars(select(ROWS.c.number).order_by(ROWS.c.number))))


def version(store: SessionStore, key: SessionKey = KEY) -> int:
    """Return the committed version, or 0."""
    return store.queries.versions([key]).get(key, 0)


def committed(result: Result) -> Committed:
    assert isinstance(result, Committed), result
    return result


def check_histories(store: SessionStore, keys: Iterable[SessionKey] = (KEY, OTHER)) -> None:
    """Check as ``flask sessions verify`` does, and that no history has a gap."""
    assert {check.verdict for check in verify_sessions(store)} <= {"same"}
    for key in keys:
        versions = [entry.version for entry in store.queries.history(key, limit=1000)]
        assert versions == list(range(1, len(versions) + 1))
