"""Values that arrive in parts, and what is told of them all: 8 bytes a value are kept, and nothing else."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MEDIAN, P90 = 50, 90

BINS = 10
"""Bins of numbers; whole numbers that lie closer together than that have one each."""

_US = 1_000_000


class Values:
    """Numbers that are only ever added.

    Attributes:
        parts: as they came, none of them empty.
    """

    def __init__(self) -> None:
        self.parts: list[NDArray[Any]] = []

    def add(self, values: ArrayLike) -> None:
        """Add some."""
        found = np.asarray(values)
        if len(found):
            self.parts.append(found)

    def extend(self, other: "Values") -> None:
        """Add those of another."""
        self.parts.extend(other.parts)

    @property
    def whole(self) -> NDArray[Any]:
        """All of them."""
        return np.concatenate(self.parts) if self.parts else np.zeros(0)


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole to six digits; None of nothing."""
    return round(part / whole, 6) if whole else None


def seconds(values: Values) -> dict[str, Any]:
    """Return the count, median and p90, in seconds, of values in microseconds."""
    found = values.whole
    median, p90 = _quantiles(found / _US, (MEDIAN, P90), digits=3)
    return {"count": len(found), "median": median, "p90": p90}


def lengths(values: Values) -> dict[str, Any] | None:
    """Return the median, p90 and greatest of lengths; None of none."""
    found = values.whole
    if not len(found):
        return None
    median, p90 = _quantiles(found, (MEDIAN, P90), digits=1)
    return {"median": median, "p90": p90, "max": int(found.max())}


def numbers(values: Values) -> dict[str, Any] | None:
    """Return what is told of numbers, and their bins; None of none."""
    found = values.whole
    if not len(found):
        return None
    low, high = found.min(), found.max()
    (median,) = _quantiles(found, (MEDIAN,), digits=6)
    return {
        "min": _plain(low),
        "max": _plain(high),
        "mean": round(float(np.mean(found)), 6),
        "median": median,
        "bins": _bins(found, low, high),
    }


def _bins(found: NDArray[Any], low: float, high: float) -> list[dict[str, Any]]:
    if low == high:
        return [{"from": _plain(low), "to": _plain(high), "count": len(found)}]
    is_fine = high - low < BINS and bool(np.all(found == np.floor(found)))
    edges = np.arange(low, high + 2) if is_fine else np.linspace(low, high, BINS + 1)
    counts, _ = np.histogram(found, bins=edges)
    return [
        {"from": _plain(start), "to": _plain(end), "count": int(count)}
        for (start, end), count in zip(pairwise(edges), counts, strict=True)
    ]


def _quantiles(found: NDArray[Any], percents: Sequence[int], *, digits: int) -> list[float | None]:
    if not len(found):
        return [None] * len(percents)
    return [round(float(value), digits) for value in np.percentile(found, percents)]


def _plain(number: Any) -> int | float:  # noqa: ANN401 - a number of numpy's
    """Return a number as JSON has it: a whole one without a point."""
    value = round(float(number), 6)
    return int(value) if value.is_integer() else value
