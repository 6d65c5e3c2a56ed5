"""Samples, and their quantiles and bins."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.strict_json import MAX_INTEGER

BINS = 10  # whole numbers in a smaller range have one each
_US = 1_000_000

_LARGE, _SCALE = 2.0**900, 2.0**100
"""Sums and differences of larger numbers could be infinite; they are divided by this power of 2, which is exact."""


Samples = list[ArrayLike]  # arrays of numbers


def _concatenate(samples: Samples) -> NDArray[Any]:
    return np.concatenate([np.zeros(0), *samples])


def ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None


def seconds(samples: Samples) -> dict[str, Any]:
    """Return statistics in seconds of microseconds."""
    values = _concatenate(samples)
    median, p90 = _median_and_p90(values / _US, digits=3)
    return {"count": len(values), "median": median, "p90": p90}


def lengths(samples: Samples) -> dict[str, Any] | None:
    values = _concatenate(samples)
    if not len(values):
        return None
    median, p90 = _median_and_p90(values, digits=1)
    return {"median": median, "p90": p90, "max": int(values.max())}


def numbers(samples: Samples) -> dict[str, Any] | None:
    values = _concatenate(samples)
    if not len(values):
        return None
    scale = _SCALE if np.abs(values).max() > _LARGE else 1.0
    values = values / scale
    low, high = values.min(), values.max()
    return {
        "min": _json_number(low * scale),
        "max": _json_number(high * scale),
        "mean": round(float(np.mean(values)) * scale, 6),
        "median": round(float(np.median(values)) * scale, 6),
        "bins": _bins(values, low, high, scale),
    }


def _bins(values: NDArray[Any], low: float, high: float, scale: float) -> list[dict[str, Any]]:
    if low == high:
        return [{"from": _json_number(low * scale), "to": _json_number(high * scale), "count": len(values)}]
    has_whole_bins = high - low < BINS and bool(np.all(values == np.floor(values)))
    edges = np.arange(low, high + 2) if has_whole_bins else np.linspace(low, high, BINS + 1)
    counts, _ = np.histogram(values, bins=edges)
    return [
        {"from": _json_number(start * scale), "to": _json_number(end * scale), "count": int(count)}
        for (start, end), count in zip(pairwise(edges), counts, strict=True)
    ]


def _median_and_p90(values: NDArray[Any], *, digits: int) -> list[float | None]:
    if not len(values):
        return [None, None]
    return [round(float(value), digits) for value in np.percentile(values, (50, 90))]


def _json_number(number: Any) -> int | float:  # noqa: ANN401 - a NumPy scalar
    value = round(float(number), 6)
    return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else value
