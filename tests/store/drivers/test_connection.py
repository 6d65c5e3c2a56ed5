"""The writer's connection: replaced when broken, never left in a transaction; locks have one order."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, select, text

from app.errors import DatabaseUnavailable
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.drivers import connection as gateway
from app.store.drivers import mysql, postgresql
from app.store.drivers.statements import in_lock_order
from app.store.engine import normalise_url
from app.store.tables import sessions
from app.survey.commands import Begin, Save
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.conftest import SERVER_KINDS, SURVEYS, Servers
from tests.durability.exactly_once import check_fold

KEYS = [SessionKey("phq9", f"user{number}") for number in range(20)]


@pytest.fixture(params=SERVER_KINDS)
def database_url(request: pytest.FixtureRequest, servers: Servers) -> Iterator[str]:
    """A database on a server, whose connections can be lost."""
    url = servers(request.param).create_migrated()
    yield url
    servers(request.param).drop_database(url)


def end_all_connections(url: str) -> None:
    """Terminate every other connection to the database, as an administrator can."""
    engine = create_engine(normalise_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        else:
            found = connection.execute(
                text("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
            ).scalars()
            for number in list(found):
                connection.exec_driver_sql(f"KILL {number}")
    engine.dispose()


def save(number: int) -> Save:
    return Save(at=5, current_step="Q1", answers={"n": number}, step_history=(), is_audio_mode=False, session_data=None)


def open_with(url: str, **changes: object) -> SessionStore:
    return open_store(Settings(database_url=url, surveys_dir=SURVEYS).model_copy(update=changes))


def test_idle_connection_is_tested_before_use(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server closed it, the next answer uses a new one, without a retry."""
    store = open_with(settings.database_url, retry_attempts=1)
    store.turns.get_or_create(KEYS[0], is_audio_mode=False)
    end_all_connections(settings.database_url)
    monkeypatch.setattr(gateway, "IDLE_S", 0.0)
    assert store.turns.submit_or_raise(KEYS[0], save(1)).version == 2
    store.close()


def test_broken_connection_is_replaced_by_the_retry(settings: Settings) -> None:
    """With a single attempt, the caller gets the error; with more, no one notices."""
    once = open_with(settings.database_url, retry_attempts=1)
    once.turns.get_or_create(KEYS[0], is_audio_mode=False)
    end_all_connections(settings.database_url)
    with pytest.raises(DatabaseUnavailable):
        once.turns.submit(KEYS[0], save(1))
    assert once.turns.submit_or_raise(KEYS[0], save(1)).version == 2
    once.close()
    store = open_with(settings.database_url, retry_delay_s=0.01)
    store.turns.submit_or_raise(KEYS[0], save(2))
    end_all_connections(settings.database_url)
    assert store.turns.submit_or_raise(KEYS[0], save(3)).version == 4
    assert store.queries.load(KEYS[0]).state.answers == {"n": 3}  # type: ignore[union-attr]
    store.close()


def test_two_servers_never_deadlock_when_they_lock_many_sessions(settings: Settings) -> None:
    """Each batch locks in key order, whatever the order of its turns; so no retry is needed."""
    stores = [open_with(settings.database_url, retry_attempts=1) for _ in range(2)]
    stores[0].turns.submit_many([(key, Begin(at=1)) for key in KEYS])

    def work(store: SessionStore, keys: list[SessionKey]) -> list[object]:
        return [result for _ in range(15) for result in store.turns.submit_many([(key, save(1)) for key in keys])]

    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(work, store, keys) for store, keys in zip(stores, (KEYS, KEYS[::-1]), strict=True)]
        assert all(isinstance(result, Committed) for future in both for result in future.result(60))
    for key in KEYS:
        assert stores[0].queries.load(key).state.version == 31  # type: ignore[union-attr]
        check_fold(stores[0], key)
    for store in stores:
        store.close()


def test_transaction_is_retried_when_another_has_locked_a_session(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is bounded (55P03, 1205), and the transaction is rolled back before each retry."""
    for module in (postgresql, mysql):
        monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 1)
        monkeypatch.setitem(module.engine.__kwdefaults__, "lock_timeout_s", 1)
    holder = open_with(settings.database_url)
    store = open_with(settings.database_url, retry_attempts=20, retry_delay_s=0.01)
    store.turns.submit_many([(key, Begin(at=1)) for key in KEYS[:2]])
    inside, go_on = threading.Event(), threading.Event()

    def hold(connection: object) -> None:
        held = select(sessions.c.user_id).where(sessions.c.user_id == KEYS[0].user_id).with_for_update()
        connection.execute(held).all()  # type: ignore[attr-defined]
        inside.set()
        assert go_on.wait(60)

    tried: list[object] = []
    real = store._connection.transact

    def counted(work: object) -> object:
        tried.append(work)
        if len(tried) > 1:
            go_on.set()
        return real(work)  # type: ignore[arg-type]

    monkeypatch.setattr(store._connection, "transact", counted)
    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(holder._writer.run, hold)
        assert inside.wait(30)
        results = store.turns.submit_many([(key, save(1)) for key in KEYS[:2]])
        holding.result(30)
    assert [result.version for result in results] == [2, 2]  # type: ignore[union-attr]
    assert len(tried) > 1
    store.close()
    holder.close()


@given(st.lists(st.builds(SessionKey, st.sampled_from(["a", "b"]), st.text("abAB-", max_size=3)), unique=True))
def test_lock_order_does_not_depend_on_the_order_of_keys(keys: list[SessionKey]) -> None:
    """By the bytes of user_id, then survey_id, as in the statements' ORDER BY and on all servers."""
    ordered = in_lock_order(keys)
    assert ordered == in_lock_order(keys[::-1])
    assert [(key.user_id.encode(), key.survey_id.encode()) for key in ordered] == sorted(
        (key.user_id.encode(), key.survey_id.encode()) for key in keys
    )
