"""The interface of every contestant."""

from collections.abc import Mapping
from typing import Protocol

from benchmarks.crowd import Measured


class Contestant(Protocol):
    """A database library, or a way to use one, with its own database.

    Its module has ``enter(spec) -> Contestant``, which also begins its sessions; the spec is a mapping with at least
    ``url`` (an empty database) and ``folder``.
    """

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure an operation, usually turns, with this many callers for this long."""

    def facts(self) -> Mapping[str, str]:
        """Return the relevant versions, and the configured durability."""

    def rest(self) -> None:
        """Close idle connections, which other contestants need."""

    def close(self) -> None:
        """Release all resources."""
