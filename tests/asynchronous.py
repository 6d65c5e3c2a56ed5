"""Coroutines in tests."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.waiting import START_S


def run(
    main: Coroutine[Any, Any, None],
    timeout_s: float = START_S,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run a coroutine on a new loop, in a thread of its own: in the tests' thread runs Playwright's loop."""

    def run_in_thread() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(asyncio.wait_for(main, timeout_s))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, run_in_thread).result()
