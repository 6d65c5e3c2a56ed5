"""A lease is one holder's at a time, whoever asks for it at once, and another's when its time is over."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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
FOR_US = 1_000_000
AT = 1_700_000_000_000_000


@pytest.fixture
def engines(settings: Settings) -> Iterator[list[Engine]]:
    """Four servers' connections to one database."""
    opened = [writer_engine(normalise_url(settings.database_url)) for _ in range(4)]
    yield opened
    for engine in opened:
        engine.dispose()


def asked(engine: Engine, holder: str, at: int) -> bool:
    with engine.begin() as connection:
        return acquire(connection, NAME, holder, at, FOR_US)


def test_lease_is_one_holders_until_its_time_is_over(store: SessionStore) -> None:
    """He renews it; another gets it at the end of it, and not a microsecond before."""

    def ask(holder: str, at: int) -> bool:
        return store.run_transaction(lambda connection: acquire(connection, NAME, holder, at, FOR_US))

    assert ask("a", AT)
    assert not ask("b", AT)
    assert ask("a", AT + 10)
    assert not ask("b", AT + FOR_US + 9)
    assert ask("b", AT + FOR_US + 10)
    assert not ask("a", AT + FOR_US + 11)


def test_lease_that_is_given_back_is_anybodys(store: SessionStore) -> None:
    """But not by one who does not hold it, and not another lease."""

    def work(connection: object) -> list[bool]:
        given = [acquire(connection, name, "a", AT, FOR_US) for name in (NAME, "other")]  # type: ignore[arg-type]
        release(connection, NAME, "b")  # type: ignore[arg-type]
        given.append(acquire(connection, NAME, "b", AT, FOR_US))  # type: ignore[arg-type]
        release(connection, NAME, "a")  # type: ignore[arg-type]
        given += [acquire(connection, name, "b", AT, FOR_US) for name in (NAME, "other")]  # type: ignore[arg-type]
        return given

    assert store.run_transaction(work) == [True, True, False, True, False]


def test_lease_of_a_clock_that_was_wrong_can_be_taken(store: SessionStore) -> None:
    """A server whose clock was a year ahead does not end the work for a year; one that is a little ahead keeps it."""
    year_us = 365 * 86_400 * FOR_US

    def ask(holder: str, at: int) -> bool:
        return store.run_transaction(lambda connection: acquire(connection, NAME, holder, at, FOR_US))

    assert ask("ahead", AT + year_us)
    assert ask("right", AT)
    assert ask("a", AT + FOR_US)
    assert not ask("right", AT + FOR_US - (MAX_LENGTHS - 1) * FOR_US)


@pytest.mark.parametrize("is_there", [False, True])
def test_of_those_who_ask_at_once_one_gets_it(engines: list[Engine], *, is_there: bool) -> None:
    """Over connections of their own, twenty times: for a new lease, and for one whose time is over."""
    if is_there:
        assert asked(engines[0], "before", AT - 2 * FOR_US)
    for turn in range(20):
        at = AT + turn * FOR_US
        together = threading.Barrier(len(engines))

        def ask(number: int, at: int = at, together: threading.Barrier = together) -> bool:
            together.wait(30)
            return asked(engines[number], f"holder{number}", at)

        with ThreadPoolExecutor(len(engines)) as threads:
            given = list(threads.map(ask, range(len(engines))))
        assert given.count(True) == 1, given
        if not is_there:
            with engines[0].begin() as connection:
                release(connection, NAME, f"holder{given.index(True)}")


def test_who_asks_while_another_takes_it_waits_and_is_refused(engines: list[Engine]) -> None:
    """The first one has not committed: the second one's answer comes after that, and is no."""
    with ThreadPoolExecutor(1) as thread:
        with engines[0].begin() as connection:
            assert acquire(connection, NAME, "a", AT, FOR_US)
            second = thread.submit(asked, engines[1], "b", AT)
        assert second.result(30) is False


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 2 * FOR_US), st.sampled_from(["take", "take", "release"])),
    max_size=30,
)


@examples(20)
@given(steps=STEPS)
def test_lease_is_never_anothers_before_its_time(store: SessionStore, steps: list[tuple[str, int, str]]) -> None:
    """Whatever a few holders do one after the other, with clocks that agree: as a model of one variable says."""
    for name in "abc":
        store.run_transaction(lambda connection, name=name: release(connection, NAME, name))
    held, until, at = None, 0, AT
    for holder, passed, act in steps:
        at += passed
        if act == "release":
            store.run_transaction(lambda connection, holder=holder: release(connection, NAME, holder))
            held = None if held == holder else held
            continue
        is_free = held in {None, holder} or until <= at
        taken = store.run_transaction(lambda connection, h=holder, at=at: acquire(connection, NAME, h, at, FOR_US))
        assert taken is is_free
        if taken:
            held, until = holder, at + FOR_US


def test_module_says_what_holds_with_clocks_that_differ() -> None:
    """Who uses a lease has to know it."""
    assert "clocks" in (leases.__doc__ or "")
