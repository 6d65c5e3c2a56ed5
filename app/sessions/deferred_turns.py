"""Commands of callers that must not wait, such as asyncio's tasks."""

import threading
from collections.abc import Callable
from functools import partial
from itertools import islice

from ..survey import AnyCommand, SessionKey
from ..writer import Result, ResultCallback, Writer, WriteRequest


class DeferredTurns:
    """Submits commands in order, and holds them back while the writer's queue is full. Safe from any thread."""

    def __init__(
        self, queue_limit: int, writer: Writer, follow_up: Callable[[SessionKey, Result | Exception], None]
    ) -> None:
        self._queue_limit = queue_limit
        self._writer = writer
        self._follow_up = follow_up
        self._mutex = threading.RLock()  # the writer calls back at once what it refuses
        self._held_back: dict[WriteRequest, None] = {}
        self._enqueued = 0
        self._is_admitting = False

    @property
    def waiting_turns(self) -> int:
        return self._writer.waiting_turns + len(self._held_back)

    def submit(self, key: SessionKey, command: AnyCommand, callback: ResultCallback) -> WriteRequest:
        request = WriteRequest([(key, command)], callback=partial(self._settle, callback))
        with self._mutex:
            self._held_back[request] = None
            self._admit()
        return request

    def withdraw(self, request: WriteRequest) -> bool:
        """See ``Writer.withdraw``."""
        with self._mutex:
            if request in self._held_back:
                del self._held_back[request]
                return True
            if not self._writer.withdraw(request):
                return False
            self._enqueued -= 1
            self._admit()
            return True

    def close(self) -> None:
        with self._mutex:
            requests = list(self._held_back)
            self._held_back.clear()
            self._enqueued += len(requests)
            if requests:
                self._writer.enqueue(requests)

    def _admit(self) -> None:
        """Needs the mutex."""
        if self._is_admitting:  # called by the writer, which refused a command
            return
        self._is_admitting = True
        try:
            while self._held_back:
                room = self._queue_limit - self._writer.waiting_turns
                if room <= 0 and self._enqueued > 0:  # else no result would admit the others
                    return
                requests = list(islice(self._held_back, max(room, 1)))
                for request in requests:
                    del self._held_back[request]
                self._enqueued += len(requests)
                self._writer.enqueue(requests)
        finally:
            self._is_admitting = False

    def _settle(self, callback: ResultCallback, request: WriteRequest) -> None:
        with self._mutex:
            request.is_taken = True  # also if it was refused: it can't be withdrawn any more
            self._enqueued -= 1
            self._admit()
        result: Result | Exception = request.error or request.results[0]
        self._follow_up(request.turns[0][0], result)
        callback(result)
