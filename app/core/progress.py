"""Progress of long operations."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with what is done, and the total."""


def no_progress(_done: int, _total: int) -> None:
    pass
