"""The plan of faults: their kinds, order and parameters depend on the seed alone.

The faults of three layers run concurrently, so that they overlap: the ``edge`` (the server's processes, its clock, the
network to the clients), the ``store`` (the database and the network to it), and ``erasure`` (of participants who answer).
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Layer = Literal["edge", "store", "erasure"]

LAYERS: tuple[Layer, ...] = ("edge", "store", "erasure")

DISK_FULL = "disk full"
FILE_LOST = frozenset({"file moved", "file replaced"})
"""The server's open file has another name, or none."""

MEAN_GAP_S = 0.25
"""Mean time between two faults of a layer."""

MAX_JUMP_S = 2 * 86_400
"""Maximum offset of the server's clock: small enough that no session of a shipped survey expires."""

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

_DATABASE: Mapping[str, tuple[int, Range]] = {
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
    "file moved": (2, (1.0, 4.0)),
    "file replaced": (2, (1.0, 4.0)),
}

_ERASURE: Mapping[str, tuple[int, Range]] = {
    # The duration is that of the wait before the next one, in which the participant's clients go on.
    "participant erased": (3, (0.5, 2.5)),
    "participant erased by another process": (2, (0.5, 2.5)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        number: within its layer, from 1.
        parameter: delay in seconds, clock offset in seconds, number of COMMITs or frames, or which participant (0 to 1).
        gap_s: pause of the layer after the fault.
    """

    layer: Layer
    number: int
    kind: str
    duration_s: float
    parameter: float
    gap_s: float


def plan(seed: str, database: str, layer: Layer, *, without: frozenset[str] = frozenset()) -> Iterator[Fault]:
    """Yield a layer's faults endlessly.

    Args:
        without: kinds to leave out; the other faults stay the same.
    """
    rng = random.Random(f"{seed} {database} {layer}")
    kinds = fault_kinds(database, layer)
    number = 0
    while True:
        kind = rng.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
        duration_s = rng.uniform(*kinds[kind][1])
        parameter = _parameter(kind, rng)
        gap_s = rng.expovariate(1 / MEAN_GAP_S)
        if kind not in without:
            number += 1
            yield Fault(layer, number, kind, round(duration_s, 3), parameter, round(gap_s, 3))


def fault_kinds(database: str, layer: Layer) -> Mapping[str, tuple[int, Range]]:
    """Return a layer's kinds of faults, each with its weight and the range of its duration."""
    if layer == "edge":
        return _EDGE
    if layer == "erasure":
        return _ERASURE
    return _FILE if database == "sqlite" else _DATABASE


def _parameter(kind: str, rng: random.Random) -> float:
    value = rng.random()
    if "delayed" in kind:
        return round(0.05 + 0.45 * value, 3)
    if kind == "clock jumped":
        return round((2 * value - 1) * MAX_JUMP_S)
    if kind == "frames duplicated" or kind.startswith("COMMIT"):
        return 1 + int(value * 3)
    if kind in _ERASURE:
        return round(value, 6)
    return 0
