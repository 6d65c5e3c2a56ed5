"""A lease has one holder at a time, also under concurrency, and can be taken when it has expired."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import leases
from app.store.engine import normalise_url, writer_engine
from app.store.leases import MAX_LENGTHS, acquire, release
from tests.conftest import examples

NAME = "maintenance"
LENGTH_US = 1_000_000
AT = 1_700_000_000_000_000


@pytest.fixture
def engines(settings: Settings) -> Iterator[list[Engine]]:
    """The engines of four servers on one database."""
    opened = [writer_engine(normalise_url(settings.database_url)) for _ in range(4)]
    yield opened
    for engine in opened:
        engine.dispose()


def acquire_on(engine: Engine, holder: str, at: int) -> bool:
    with engine.begin() as connection:
        return acquire(connection, NAME, holder, at, LENGTH_US)


def test_lease_has_one_holder_until_it_expires(store: SessionStore) -> None:
    """The holder renews it; another gets it at its expiry, and not a microsecond before."""

    def ask(holder: str, at: int) -> bool:
        return store.run_transaction(lambda connection: acquire(connection, NAME, holder, at, LENGTH_US))

    assert ask("a", AT)
    assert not ask("b", AT)
    assert ask("a", AT + 10)
    assert not ask("b", AT + LENGTH_US + 9)
    assert ask("b", AT + LENGTH_US + 10)
    assert not ask("a", AT + LENGTH_US + 11)


def test_lease_can_be_acquired_by_another_when_released(store: SessionStore) -> None:
    """Only its holder releases it, and no other lease."""

    def work(connection: object) -> list[bool]:
        results = [acquire(connection, name, "a", AT, LENGTH_US) for name in (NAME, "other")]  # type: ignore[arg-type]
        release(connection, NAME, "b")  # type: ignore[arg-type]
        results.append(acquire(connection, NAME, "b", AT, LENGTH_US))  # type: ignore[arg-type]
        release(connection, NAME, "a")  # type: ignore[arg-type]
        results += [acquire(connection, name, "b", AT, LENGTH_US) for name in (NAME, "other")]  # type: ignore[arg-type]
        return results

    assert store.run_transaction(work) == [True, True, False, True, False]


def test_lease_can_be_acquired_when_its_holders_clock_was_wrong(store: SessionStore) -> None:
    """A clock a year ahead does not block the lease for a year; a clock slightly ahead keeps it."""
    year_us = 365 * 86_400 * LENGTH_US

    def ask(holder: str, at: int) -> bool:
        return store.run_transaction(lambda connection: acquire(connection, NAME, holder, at, LENGTH_US))

    assert ask("ahead", AT + year_us)
    assert ask("right", AT)
    assert ask("a", AT + LENGTH_US)
    assert not ask("right", AT + LENGTH_US - (MAX_LENGTHS - 1) * LENGTH_US)


@pytest.mark.parametrize("exists", [False, True])
def test_one_of_several_concurrent_requests_gets_the_lease(engines: list[Engine], *, exists: bool) -> None:
    """Twenty times, on separate connections: a new lease, and an expired one."""
    if exists:
        assert acquire_on(engines[0], "before", AT - 2 * LENGTH_US)
    for turn in range(20):
        at = AT + turn * LENGTH_US
        together = threading.Barrier(len(engines))

        def ask(number: int, at: int = at, together: threading.Barrier = together) -> bool:
            together.wait(30)
            return acquire_on(engines[number], f"holder{number}", at)

        with ThreadPoolExecutor(len(engines)) as threads:
            results = list(threads.map(ask, range(len(engines))))
        assert results.count(True) == 1, results
        if not exists:
            with engines[0].begin() as connection:
                release(connection, NAME, f"holder{results.index(True)}")


def test_request_is_refused_when_another_is_uncommitted(engines: list[Engine]) -> None:
    """The second request waits for the commit of the first."""
    with ThreadPoolExecutor(1) as thread:
        with engines[0].begin() as connection:
            assert acquire(connection, NAME, "a", AT, LENGTH_US)
            second = thread.submit(acquire_on, engines[1], "b", AT)
        assert second.result(30) is False


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 2 * LENGTH_US), st.sampled_from(["take", "take", "release"])),
    max_size=30,
)


@examples(20)
@given(steps=STEPS)
def test_lease_follows_a_model_of_one_variable(store: SessionStore, steps: list[tuple[str, int, str]]) -> None:
    """For any sequence of requests and releases by several holders, with equal clocks."""
    for name in "abc":
        store.run_transaction(lambda connection, name=name: release(connection, NAME, name))
    current, until, at = None, 0, AT
    for holder, passed, act in steps:
        at += passed
        if act == "release":
            store.run_transaction(lambda connection, holder=holder: release(connection, NAME, holder))
            current = None if current == holder else current
            continue
        is_free = current in {None, holder} or until <= at
        taken = store.run_transaction(lambda connection, h=holder, at=at: acquire(connection, NAME, h, at, LENGTH_US))
        assert taken is is_free
        if taken:
            current, until = holder, at + LENGTH_US


USES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, LENGTH_US - 1)), min_size=1, max_size=10)


@examples(20)
@given(uses=USES, link_id=st.uuids())
def test_link_is_used_by_the_first_exchange_only(
    store: SessionStore, uses: list[tuple[str, int]], link_id: uuid.UUID
) -> None:
    """For any clocks of the servers, until it expires; that exchange may repeat."""
    name, expires_at = leases.link_name(link_id.hex, AT + LENGTH_US), AT + LENGTH_US
    for exchange, passed in uses:
        at = AT + passed
        use = partial(acquire, name=name, holder=exchange, at=at, for_us=expires_at - at)
        assert store.run_transaction(use) is (exchange == uses[0][0])
        store.run_transaction(lambda connection: leases.remove_expired_links(connection, expires_at - 1))
    assert store.run_read(lambda connection: leases.read_holder(connection, name)) == uses[0][0]
    store.run_transaction(lambda connection: leases.remove_expired_links(connection, expires_at + 1))
    assert store.run_read(lambda connection: leases.read_holder(connection, name)) is None


def test_module_documents_the_effect_of_different_clocks() -> None:
    """Callers depend on it."""
    assert "clocks" in (leases.__doc__ or "")
