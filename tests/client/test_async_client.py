"""What only the client for asyncio has: cancellations, tasks, and no blocking call in the event loop."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.client import AsyncPendingCommand, AsyncSurveyClient, ClientClosed, MemoryOutbox
from tests.asynchronous import run
from tests.client.conftest import FAST, WAIT_S, FakeServers
from tests.waiting import free_port


@pytest.fixture
def url(fake: FakeServers) -> str:
    """A server that acknowledges every command."""
    return fake(lambda fake, connection, number: fake.acknowledge_all(connection, number)).url


class SlowOutbox(MemoryOutbox):
    """An outbox on a disk that is slow until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.goes_on = threading.Event()
        self.threads: set[int] = set()

    def load(self, owner: str) -> list[dict[str, Any]]:
        self.threads.add(threading.get_ident())
        return super().load(owner)

    def add(self, command: dict[str, Any]) -> None:
        self.threads.add(threading.get_ident())
        self.began.set()
        assert self.goes_on.wait(WAIT_S)
        super().add(command)

    def remove(self, command_id: str) -> None:
        self.threads.add(threading.get_ident())
        super().remove(command_id)

    def close(self) -> None:
        self.threads.add(threading.get_ident())


def test_command_whose_call_is_cancelled_in_the_outbox_is_sent(url: str) -> None:
    """Before the next one."""
    outbox, acks = SlowOutbox(), []

    def listener(message: Any) -> None:
        acks.extend([message["id"]] if message["type"] == "ack" else [])

    async def main() -> None:
        async with AsyncSurveyClient(url, "ada", outbox=outbox, timeouts=FAST, listener=listener) as client:
            cancelled = asyncio.create_task(client.answer("Q1", 1))
            await asyncio.to_thread(outbox.began.wait, WAIT_S)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            outbox.goes_on.set()
            last = await client.back()
            await last.result(WAIT_S)
            assert client.unacknowledged == 0
            assert (len(acks), acks[1]) == (2, last.id)

    run(main())


def test_outbox_is_used_by_one_thread_which_is_not_the_loops(url: str) -> None:
    """Its calls may wait for the disk."""
    outbox = SlowOutbox()
    outbox.goes_on.set()

    async def main() -> None:
        async with AsyncSurveyClient(url, "ada", outbox=outbox, timeouts=FAST) as client:
            sent = await asyncio.gather(*(client.back() for _ in range(20)))
            await asyncio.gather(*(command.result(WAIT_S) for command in sent))

    run(main())
    assert len(outbox.threads) == 1
    assert threading.get_ident() not in outbox.threads
    assert outbox._commands == {}


def test_cancelled_wait_for_a_result_does_not_end_the_command() -> None:
    """It stays in the outbox, and closing the client resolves it for those who still wait."""

    async def main() -> None:
        client = AsyncSurveyClient(f"http://127.0.0.1:{free_port()}", "ada", timeouts=FAST)
        async with client:
            sent = await client.back()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sent.result(), 0.01)
            with pytest.raises(TimeoutError, match="it stays in the outbox"):
                await sent.result(0)
            assert (sent.done, client.unacknowledged) == (False, 1)
            waiting = asyncio.create_task(sent.result())
            await asyncio.sleep(0)
        with pytest.raises(ClientClosed):
            await waiting

    run(main())


def test_listener_can_fail_send_commands_and_close_the_client(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """In tasks that it begins; its errors are logged."""

    async def main() -> None:
        tasks: list[asyncio.Task[Any]] = []
        acknowledged = asyncio.Event()

        def begin(call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
            tasks.append(asyncio.create_task(call()))

        def listener(message: Any) -> None:
            begin(client.back if message["type"] == "state" else client.close)
            if message["type"] == "ack":
                acknowledged.set()
            raise RuntimeError("on purpose")

        client = AsyncSurveyClient(url, "ada", timeouts=FAST, listener=listener)
        await client.start()
        await acknowledged.wait()
        sent = await tasks[0]
        assert isinstance(sent, AsyncPendingCommand)
        await tasks[1]
        assert (await sent.result(0))["type"] == "ack"

    run(main())
    assert "The listener failed" in caplog.text


def test_all_tasks_that_wait_are_woken(url: str) -> None:
    """Also by a second call of start, which changes nothing."""

    async def main() -> None:
        client = AsyncSurveyClient(url, "ada", timeouts=FAST)
        with pytest.raises(ClientClosed):
            await client.wait_until_online(WAIT_S)
        await asyncio.gather(client.start(), client.start())
        states = await asyncio.gather(*(client.wait_until_online(WAIT_S) for _ in range(3)))
        assert {state["version"] for state in states} == {1}
        await asyncio.gather(client.close(), client.close())

    run(main())


@pytest.mark.parametrize("name", ["answer", "back", "goto", "set_mode", "set_language", "restart", "draft"])
def test_command_is_a_coroutine_function(name: str) -> None:
    """Frameworks and mocks ask for this before they call one."""
    assert inspect.iscoroutinefunction(getattr(AsyncSurveyClient, name))
