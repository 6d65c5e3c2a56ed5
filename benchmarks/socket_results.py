"""What the socket benchmark asks of a server, and what came of it."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.socket_clients import Measured
from benchmarks.socket_servers import Contestant


@dataclass(frozen=True)
class Point:
    """What was asked of a contestant.

    Attributes:
        offered: turns a second; 0: a closed loop.
        beside: what else the server does: nothing, an export without end, or a restart of its workers after a while.
    """

    contestant: Contestant
    clients: int
    offered: float = 0.0
    beside: str = ""


@dataclass(frozen=True)
class Result:
    """What came of a point in one round.

    Attributes:
        cpu_us: of the server's workers, a turn.
        kib: of the workers' memory, a socket.
    """

    point: Point
    measured: Measured
    cpu_us: float
    kib: float

    @property
    def rate(self) -> float:
        return self.measured.turns / self.measured.seconds


def by_point(results: Sequence[Result]) -> dict[Point, list[Result]]:
    """Return the results of each point, in order."""
    points: dict[Point, list[Result]] = {}
    for result in results:
        points.setdefault(result.point, []).append(result)
    return points


def median(rounds: Sequence[Result], value: Callable[[Result], float]) -> float:
    """Return the median of a value of the rounds."""
    return statistics.median(value(result) for result in rounds)
