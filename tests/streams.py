"""One command on a stream of its own, as an event loop submits it."""

import queue
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic

from app.sessions.service import SessionStore
from app.sessions.subscribers import Subscriber
from app.survey.commands import AnyCommand
from app.survey.snapshot import SessionKey
from app.writer.batch import Result
from app.writer.pending import Queued

ResultCallback = Callable[[Result | Exception], object]


def submit_or_queue(
    store: SessionStore,
    key: SessionKey,
    command: AnyCommand,
    subscriber: Subscriber | None = None,
    callback: ResultCallback = lambda _result: None,
) -> Result | Queued:
    """Return the command's result, or that it is queued; raise its exception.

    Args:
        callback: gets a queued command's result, in another thread.
    """
    calls: queue.Queue[Callable[[], None]] = queue.Queue()
    results: list[Result | Queued | Exception] = []

    def call_soon(function: Callable[..., None], *arguments: object) -> None:
        if results:  # the loop has ended
            function(*arguments)
        else:
            calls.put(partial(function, *arguments))

    def take(result: Result | Queued | Exception) -> None:
        if results:
            assert not isinstance(result, Queued)
            callback(result)
        results.append(result)

    stream = store.turns.stream(call_soon)
    stream.submit(key, command, subscriber, take)  # type: ignore[arg-type]
    stream.flush()
    while not results or not calls.empty():
        with suppress(queue.Empty):
            calls.get(timeout=0.02)()
        stream.check(monotonic())
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]
