"""Transactions in which a turn is refused: of another database or kind, or while turns of the session are pending."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.orm import Session

from app.errors import DatabaseUnavailable, Unavailable, UnsuitableTransaction
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey import Begin
from tests.conftest import KINDS, SURVEYS, NewStore, Servers, migrated_database
from tests.sessions.transactions import KEY, OTHER, ROWS, Subscriber, add_row, answer, committed, rows, version


@pytest.fixture
def own_engine(settings: Settings) -> Iterator[Callable[..., Engine]]:
    """Make engines as the program would, without the store."""
    engines = []

    def make(**options: Any) -> Engine:
        engines.append(create_engine(normalise_url(settings.database_url), **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


def test_turn_is_refused_while_others_of_the_session_are_pending(
    program: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be committed after it, though they were sent before; other sessions' turns are accepted."""
    pending, results, stored = program.turns.pending, [], program.queries.load(KEY)
    assert stored is not None
    with monkeypatch.context() as patch:
        patch.setattr(pending, "_submit_many", lambda turns: [DatabaseUnavailable("down")] * len(turns))
        pending.accept(KEY, answer(1), lambda: (stored.state, stored.survey), results.append)
        with program.transaction() as connection:
            add_row(connection)
            with pytest.raises(Unavailable, match="wait for the database"):
                program.turns.submit_in(connection, KEY, answer(2))
            committed(program.turns.submit_in(connection, OTHER, answer(1)))
    assert program.drain(30)
    with program.transaction() as connection:
        assert committed(program.turns.submit_in(connection, KEY, answer(2))).version == 3
    assert rows(program) == [1]


@pytest.mark.parametrize("kind", KINDS)
def test_transaction_of_another_database_is_refused(
    kind: str, servers: Servers, tmp_path: Path, new_store: NewStore
) -> None:
    """On the same server, with the same tables."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        migrated_database(kind, servers, tmp_path / "a") as first,
        migrated_database(kind, servers, tmp_path / "b") as second,
    ):
        settings = Settings(database_url=first, surveys_dir=SURVEYS, environment="development")
        store, other = new_store(settings), new_store(settings, database_url=second)
        for _ in range(2):
            with other.transaction() as connection, pytest.raises(UnsuitableTransaction):
                store.turns.submit_in(connection, KEY, Begin(at=1))
        other.close()
        store.close()


def test_engine_of_the_caller_works_on_a_database_server(
    program: SessionStore, own_engine: Callable[..., Engine], subscriber: Subscriber
) -> None:
    """In READ COMMITTED; other levels would not see what was committed meanwhile. On SQLite it is refused.

    There such an engine begins DEFERRED: a transaction that has read can't write once others wrote.
    """
    engine = own_engine(isolation_level="READ COMMITTED") if program.backend != "sqlite" else own_engine()
    with engine.connect() as connection:
        connection.execute(select(ROWS)).all()
        if program.backend == "sqlite":
            with pytest.raises(UnsuitableTransaction, match=r"store\.transaction"):
                program.turns.submit_in(connection, KEY, answer())
            return
        add_row(connection)
        committed(program.turns.submit_in(connection, KEY, answer()))
        connection.commit()
        assert (rows(program), subscriber.versions) == ([1], [2])
        committed(program.turns.submit_in(connection, KEY, answer(2)))
        connection.commit()
    assert subscriber.versions == [2, 3]
    for level in ("AUTOCOMMIT", "REPEATABLE READ", "SERIALIZABLE"):
        with own_engine(isolation_level=level).connect() as connection, pytest.raises(UnsuitableTransaction):
            program.turns.submit_in(connection, KEY, answer(3))
    assert version(program) == 3


def test_database_that_refuses_connections_is_unavailable(program: SessionStore) -> None:
    """Whether the store or a session of the caller connects; the same transactions succeed later."""

    def refuse(*_: object) -> None:
        raise program.engine.dialect.loaded_dbapi.OperationalError("too many connections")

    def submit_in_session() -> None:
        with Session(program.engine) as session:
            committed(program.turns.submit_in(session, KEY, answer()))
            session.commit()

    def add_in_transaction() -> None:
        with program.transaction() as connection:
            add_row(connection)

    program.engine.dispose()
    event.listen(program.engine, "connect", refuse)
    for work in (submit_in_session, add_in_transaction):
        with pytest.raises(DatabaseUnavailable):
            work()
    event.remove(program.engine, "connect", refuse)
    submit_in_session()
    add_in_transaction()
    assert (rows(program), version(program)) == ([1], 2)


def test_transaction_of_the_readers_or_in_two_phases_is_refused(program: SessionStore) -> None:
    with program.queries.engine.connect() as connection, pytest.raises(UnsuitableTransaction):
        program.turns.submit_in(connection, KEY, answer())
    if program.backend == "mysql":
        with program.engine.connect() as connection:
            connection.begin_twophase()
            with pytest.raises(UnsuitableTransaction, match="two phases"):
                program.turns.submit_in(connection, KEY, answer())
