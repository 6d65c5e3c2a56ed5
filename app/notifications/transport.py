"""What passes news from process to process, as the news threads see it: a link, its payloads, its outages.

A payload is JSON, ``["who sent it", ["survey", "user", version], ...]``: keys and versions, never an answer.
Imported by the other ``news`` modules only.
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import orjson

from ..survey import SessionKey

log = logging.getLogger("stepkeep.news")

PAYLOAD_BYTES = 7900
"""PostgreSQL takes fewer than 8000 bytes in one notification (its manual, NOTIFY)."""


class Transport(Protocol):
    """One connection to what passes news on, used by one thread.

    Every method raises the built-in ConnectionError where the connection is lost, saying nothing of the URL;
    then it can only be closed. No method but ``send`` waits for longer than some seconds.
    """

    def listen(self) -> None:
        """Hear all that is sent from now on."""
        ...

    def receive(self, timeout_s: float) -> Sequence[str]:
        """Return the payloads that came, at least one, or none in ``timeout_s`` seconds."""
        ...

    def probe(self) -> None:
        """Return if the other end answers; silence is no proof that nothing happened."""
        ...

    def send(self, payloads: Sequence[str]) -> None:
        """Pass the payloads on to everybody who listens now."""
        ...

    def close(self) -> None:
        """Give the connection up; never raises."""
        ...


class OutageLog:
    """Logs one warning an outage, whatever fails in it and however often. Safe from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._failing: set[str] = set()

    def begin(self, what: str, reason: str) -> None:
        """Note that something fails; ``reason`` must hold no URL and no answer."""
        with self._mutex:
            is_first = not self._failing
            self._failing.add(what)
        if is_first:
            log.warning("changes by other processes are learned late, %s fails (%s): it is tried again", what, reason)

    def end(self, what: str) -> None:
        """Note that it works."""
        if what not in self._failing:
            return
        with self._mutex:
            self._failing.discard(what)
            is_over = not self._failing
        if is_over:
            log.info("changes by other processes are learned at once again")


def envelope_prefix(token: str) -> str:
    """Return how every payload of this sender begins."""
    return f'["{token}",'


def encode(token: str, versions: Mapping[SessionKey, int]) -> list[str]:
    """Return payloads that say at which version each session is."""
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
    """Return the sessions of a payload and their versions.

    Raises:
        ValueError: it is none of ours.
    """
    try:
        _token, *items = orjson.loads(payload)
        return [(SessionKey(str(survey_id), str(user_id)), int(version)) for survey_id, user_id, version in items]
    except (ValueError, TypeError) as error:
        raise ValueError("not a payload of ours") from error


def _joined(token: str, items: Iterable[str]) -> str:
    return f"{envelope_prefix(token)}{','.join(items)}]"
