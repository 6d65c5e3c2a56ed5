"""What every contestant is: the one interface between the contests and those who enter them."""

from collections.abc import Mapping
from typing import Protocol

from benchmarks.crowd import Measured


class Contestant(Protocol):
    """A database library, or a way to use one, on a database of its own.

    A contestant's module has ``enter(spec) -> Contestant``; the spec is a mapping with at least ``url`` (an
    empty database) and ``folder``. When ``enter`` returns, its sessions are begun.
    """

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Do so many callers' turns (or what else it can) for so long."""

    def facts(self) -> Mapping[str, str]:
        """Return the versions that matter, and what is done for durability."""

    def rest(self) -> None:
        """Give back idle connections: a server has few, and others are measured now."""

    def close(self) -> None:
        """Give everything back."""
