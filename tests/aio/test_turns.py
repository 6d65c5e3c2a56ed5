"""Turns of asyncio's tasks: shared transactions, cancellations, closed loops, a full queue."""

import asyncio
import contextlib
import random
import threading
from typing import Any

import pytest

from app.aio import AsyncSessionStore
from app.errors import (
    DatabaseUnavailable,
    Overloaded,
)
from app.survey.snapshot import SessionKey
from tests.aio.conftest import ADA, EVE, Gate, NewAsyncStore, NewGate, Run, save
from tests.asynchronous import run
from tests.waiting import START_S, wait_for


def test_turns_share_transactions_and_no_thread_waits_for_them(aio: AsyncSessionStore, gate: Gate) -> None:
    """A hundred under way at once need the writer's thread alone."""

    async def main() -> None:
        keys = [SessionKey("phq9", f"p{number}") for number in range(100)]
        before = threading.active_count()
        tasks = [asyncio.create_task(aio.submit(key, save(aio))) for key in keys]
        await gate.wait_until_reached()
        assert threading.active_count() <= before + 2  # and the one of asyncio.to_thread
        gate.opens.set()
        results = await asyncio.gather(*tasks)
        assert {result.snapshot.key for result in results} == set(keys)
        assert gate.batches <= 3

    run(main())


def test_turn_cancelled_while_it_is_committed_is_a_duplicate_when_sent_again(
    run_on_each: Run, aio: AsyncSessionStore, gate: Gate
) -> None:
    async def main() -> None:
        command = save(aio, 1, "the id")
        cancelled = asyncio.create_task(aio.submit(ADA, command))
        await gate.wait_until_reached()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        again = asyncio.create_task(aio.submit(ADA, command))
        gate.opens.set()
        result = await again
        assert (result.version, result.duplicate) == (1, True)
        assert len(await aio.history(ADA)) == 1

    run_on_each(main())


def test_turn_cancelled_while_it_waits_is_never_committed(aio: AsyncSessionStore, gate: Gate) -> None:
    """Sent again, it is."""

    async def main() -> None:
        command = save(aio, 1, "the id")
        first = asyncio.create_task(aio.submit(EVE, save(aio)))
        await gate.wait_until_reached()
        cancelled = asyncio.create_task(aio.submit(ADA, command))
        await asyncio.sleep(0)
        cancelled.cancel()
        gate.opens.set()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await first
        await aio.submit(EVE, save(aio))
        assert await aio.load(ADA) is None
        result = await aio.submit(ADA, command)
        assert (result.version, result.duplicate) == (1, False)

    run(main())


def test_turns_cancelled_at_any_time_are_committed_once_when_sent_again(new_async_store: Any) -> None:
    """Held back, queued, being committed or committed."""
    aio = new_async_store(queue_limit=5, batch_limit=5)
    numbers = random.Random(7)

    async def send(number: int) -> None:
        key = SessionKey("phq9", f"p{number}")
        command = save(aio, number, "the id")
        for timeout_s in (numbers.uniform(0, 0.01), numbers.uniform(0, 0.05)):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(aio.submit(key, command), timeout_s)
        await aio.submit(key, command)
        assert len(await aio.history(key)) == 1

    async def main() -> None:
        await asyncio.gather(*map(send, range(150)))

    run(main())
    assert aio.sync.turns.deferred._enqueued == 0
    assert aio.sync.backlog().queued == 0


def test_closed_loop_disturbs_no_other_turn(
    run_on_each: Run, aio: AsyncSessionStore, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own turns are committed, and published."""
    published: list[SessionKey] = []
    aio.sync.subscribers.publish = lambda snapshot, _sender: published.append(snapshot.key)  # type: ignore[method-assign]
    abandoned = []

    def begin_and_close() -> None:
        loop = asyncio.new_event_loop()
        abandoned.append(loop.create_task(aio.submit(ADA, save(aio))))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    async def main() -> None:
        first = asyncio.create_task(aio.submit(EVE, save(aio)))
        await gate.wait_until_reached()
        await asyncio.to_thread(begin_and_close)
        second = asyncio.create_task(aio.submit(EVE, save(aio)))
        await asyncio.sleep(0)
        gate.opens.set()
        assert [(await first).version, (await second).version] == [1, 2]
        assert (await aio.load(ADA)) is not None

    run_on_each(main())
    assert published == [EVE, ADA, EVE]
    assert gate.batches == 2
    assert caplog.records == []
    abandoned[0]._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio would log it


def test_full_queue_holds_turns_back(run_on_each: Run, new_async_store: NewAsyncStore, new_gate: NewGate) -> None:
    """In order, and each is committed later."""
    aio = new_async_store(queue_limit=3, batch_limit=2)
    gate = new_gate(aio)

    async def main() -> None:
        tasks = [asyncio.create_task(aio.submit(ADA, save(aio, number))) for number in range(20)]
        await gate.wait_until_reached()
        assert aio.sync.backlog().queued <= 3
        assert len(aio.sync.turns.deferred._held_back) >= 15
        gate.opens.set()
        assert [result.version for result in await asyncio.gather(*tasks)] == list(range(1, 21))

    run_on_each(main())


def test_turn_that_waits_too_long_is_refused_and_never_committed(
    new_async_store: NewAsyncStore, new_gate: NewGate
) -> None:
    """As overloaded, in the queue and held back."""
    aio = new_async_store(queue_limit=2, queue_timeout_s=0.2)
    gate = new_gate(aio)

    async def main() -> None:
        first = asyncio.create_task(aio.submit(EVE, save(aio)))
        await gate.wait_until_reached()
        late = [asyncio.create_task(aio.submit(ADA, save(aio, number))) for number in range(5)]
        results = await asyncio.gather(*late, return_exceptions=True)
        assert [type(result) for result in results] == [Overloaded] * 5
        assert not first.done()
        gate.opens.set()
        assert (await first).version == 1
        assert (await aio.submit(EVE, save(aio))).version == 2
        assert await aio.load(ADA) is None

    run(main())


def test_turns_held_back_are_committed_when_the_store_is_closed(
    new_async_store: NewAsyncStore, new_gate: NewGate
) -> None:
    """However many there are; later ones are refused."""
    aio = new_async_store(queue_limit=1)
    gate = new_gate(aio)

    async def main() -> None:
        tasks = [asyncio.create_task(aio.submit(ADA, save(aio, number))) for number in range(3000)]
        await gate.wait_until_reached()
        closing = asyncio.create_task(aio.close())
        await asyncio.to_thread(wait_for, lambda: aio.sync._writer._is_closed, "the store was not closed")
        late = asyncio.create_task(aio.submit(ADA, save(aio)))
        gate.opens.set()
        results = await asyncio.gather(*tasks)
        await closing
        assert [result.version for result in results] == list(range(1, 3001))
        with pytest.raises(DatabaseUnavailable, match="closed"):
            await late

    run(main())


def test_closed_store_refuses_every_call_and_has_no_threads(new_async_store: NewAsyncStore) -> None:
    """It opens no new connection either."""
    before = set(threading.enumerate())
    aio = new_async_store()

    async def main() -> None:
        loading = [aio.load(SessionKey("phq9", f"p{number}")) for number in range(20)]
        await asyncio.gather(aio.submit(ADA, save(aio)), *loading)
        aio.sync.turns.join(EVE, is_audio_mode=False, subscriber=None, callback=lambda _: None)
        await aio.close()
        for call in (aio.load(ADA), aio.history(ADA), aio.submit(ADA, save(aio)), aio.get_or_create(EVE)):
            with pytest.raises(DatabaseUnavailable, match="closed"):
                await call

    run(main())
    for read in (aio.sync.queries.load, aio.sync.queries.history, aio.sync.turns.load):
        with pytest.raises(DatabaseUnavailable, match="closed"):
            read(ADA)
    for thread in set(threading.enumerate()) - before:
        thread.join(START_S)
    assert set(threading.enumerate()) <= before
