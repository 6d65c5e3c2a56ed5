"""Coroutines in tests."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tests.waiting import START_S

T = TypeVar("T")


def run(
    main: Coroutine[Any, Any, T],
    timeout_s: float = START_S,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Return a coroutine's result on a new loop, in a thread of its own: in the tests' thread runs Playwright's loop."""

    def run_in_thread() -> T:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(asyncio.wait_for(main, timeout_s))

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, run_in_thread).result()
