"""The plan of faults: their kinds, order and parameters are a function of the seed alone.

Two lanes run beside each other, so that faults of different layers overlap: the ``edge`` (the server's processes,
its clock, the network to the clients) and the ``store`` (the database and the network to it).
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Lane = Literal["edge", "store"]

LANES: tuple[Lane, ...] = ("edge", "store")

DISK_FULL = "disk full"

MEAN_GAP_S = 0.25
"""Seconds between two faults of a lane, on average."""

MAX_JUMP_S = 2 * 86_400
"""The server's clock is at most so far from the truth: no session of a shipped survey expires."""

Range = tuple[float, float]

_EDGE: Mapping[str, tuple[int, Range]] = {
    # kind: (weight, shortest and longest duration in seconds)
    "clients cut": (20, (0, 0)),
    "frames duplicated": (20, (0.2, 0.6)),
    "clients delayed": (9, (0.2, 0.8)),
    "clients throttled": (9, (0.2, 1.0)),
    "clients in a black hole": (7, (0.2, 1.5)),
    "clients refused": (8, (0.1, 0.8)),
    "clock jumped": (12, (0, 0)),
    "worker frozen": (6, (0.2, 3.0)),
    "worker killed": (3, (0, 0)),
    "server killed": (3, (0, 0.5)),
    "server stopped": (2, (0, 0.5)),
    "server reloaded": (2, (0, 0)),
}

_BEHIND: Mapping[str, tuple[int, Range]] = {
    "database cut": (18, (0, 0)),
    "COMMIT cut before": (16, (0.2, 0.6)),
    "COMMIT cut after": (16, (0.2, 0.6)),
    "database delayed": (8, (0.2, 0.8)),
    "database throttled": (8, (0.2, 1.5)),
    "database in a black hole": (5, (0.2, 2.0)),
    "database's replies dropped": (6, (0.2, 1.0)),
    "database refused": (6, (0.1, 1.0)),
    "database frozen": (3, (0.3, 8.0)),
    "database killed": (3, (0, 0.5)),
    "database stopped": (2, (0, 0.5)),
}

_FILE: Mapping[str, tuple[int, Range]] = {
    "file locked": (16, (0.1, 0.6)),
    "file locked for long": (1, (2.0, 5.0)),
    "file locked exclusively": (10, (0.1, 0.6)),
    "file locked exclusively for long": (1, (2.0, 5.0)),
    DISK_FULL: (4, (0.3, 3.0)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        number: in its lane, from 1.
        parameter: seconds of delay, seconds of the clock's offset, or how many COMMITs or frames.
        gap_s: what the lane waits after it.
    """

    lane: Lane
    number: int
    kind: str
    duration_s: float
    parameter: float
    gap_s: float


def plan(seed: str, database: str, lane: Lane, *, without: frozenset[str] = frozenset()) -> Iterator[Fault]:
    """Yield a lane's faults, without end.

    Args:
        without: kinds that can't be made here; the other faults stay the same.
    """
    chance = random.Random(f"{seed} {database} {lane}")
    kinds = kinds_of(database, lane)
    number = 0
    while True:
        kind = chance.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
        duration_s = chance.uniform(*kinds[kind][1])
        parameter = _parameter(kind, chance)
        gap_s = chance.expovariate(1 / MEAN_GAP_S)
        if kind not in without:
            number += 1
            yield Fault(lane, number, kind, round(duration_s, 3), parameter, round(gap_s, 3))


def kinds_of(database: str, lane: Lane) -> Mapping[str, tuple[int, Range]]:
    """Return a lane's kinds of faults, each with its weight and the range of its duration."""
    if lane == "edge":
        return _EDGE
    return _FILE if database == "sqlite" else _BEHIND


def _parameter(kind: str, chance: random.Random) -> float:
    value = chance.random()
    if "delayed" in kind:
        return round(0.05 + 0.45 * value, 3)
    if kind == "clock jumped":
        return round((2 * value - 1) * MAX_JUMP_S)
    if kind == "frames duplicated" or kind.startswith("COMMIT"):
        return 1 + int(value * 3)
    return 0
