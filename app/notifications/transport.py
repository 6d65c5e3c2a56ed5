"""Transports, their payloads, and the log of their outages.

A payload is JSON, ``["sender", ["survey_id", "user_id", version], ...]``, never an answer.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import orjson

from ..survey import SessionKey

log = logging.getLogger("stepkeep.notifications")

PAYLOAD_BYTES = 7900  # PostgreSQL accepts fewer than 8000 (PostgreSQL manual, NOTIFY)


class Transport(Protocol):
    """For one thread. A lost one raises ConnectionError, without the URL, and can only be closed."""

    def listen(self) -> None: ...

    def receive(self, timeout_s: float) -> Sequence[str]:
        """Return payloads at the first that arrives, or none after ``timeout_s``."""

    def probe(self) -> None: ...

    def send(self, payloads: Sequence[str]) -> None: ...

    def close(self) -> None:
        """Never raise."""


@contextmanager
def translated(*errors: type[Exception]) -> Iterator[None]:
    """Raise ConnectionError, without the URL, instead of a driver's errors."""
    try:
        yield
    except errors as error:
        raise ConnectionError from error


class OutageLog:
    """Logs one warning an outage. Safe from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._failing: set[str] = set()

    def begin(self, what: str, reason: str) -> None:
        """Log a failure; ``reason`` must hold no URL and no answer."""
        with self._mutex:
            is_first = not self._failing
            self._failing.add(what)
        if is_first:
            log.warning("Changes by other processes arrive late: %s fails (%s); retrying.", what, reason)

    def end(self, what: str) -> None:
        if what not in self._failing:
            return
        with self._mutex:
            self._failing.discard(what)
            is_over = not self._failing
        if is_over:
            log.info("Changes by other processes arrive at once again.")

    def start(self, run: Callable[[], None], name: str) -> threading.Thread | None:
        what = f"starting {name}"
        thread = threading.Thread(target=run, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # others find the changes by polling
            self.begin(what, type(error).__name__)
            return None
        self.end(what)
        return thread


def envelope_prefix(token: str) -> str:
    return f'["{token}",'


def encode(token: str, versions: Mapping[SessionKey, int]) -> list[str]:
    payloads: list[str] = []
    items: list[str] = []
    size_bytes = 0
    for key, version in versions.items():
        item = orjson.dumps([*key, version])
        if items and size_bytes + len(item) > PAYLOAD_BYTES - len(token) - 8:
            payloads.append(_joined(token, items))
            items, size_bytes = [], 0
        items.append(item.decode())
        size_bytes += len(item) + 1
    return [*payloads, _joined(token, items)] if items else payloads


def decode(payload: str) -> list[tuple[SessionKey, int]]:
    try:
        _token, *items = orjson.loads(payload)
        return [(SessionKey(str(survey_id), str(user_id)), int(version)) for survey_id, user_id, version in items]
    except (ValueError, TypeError) as error:
        raise ValueError("unrecognised payload") from error


def _joined(token: str, items: Iterable[str]) -> str:
    return f"{envelope_prefix(token)}{','.join(items)}]"
