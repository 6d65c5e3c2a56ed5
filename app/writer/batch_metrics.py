"""Metrics, counted once a batch: a turn takes no lock."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from time import monotonic

import prometheus_client

from ..errors import StepkeepError
from ..observability import metrics
from .batch import Committed, Rejected, Result
from .request import WriteRequest


def record(batch: Sequence[WriteRequest], results: Iterable[Result | Exception]) -> None:
    for labels, times in Counter(map(_labels, results)).items():
        for counter in _counters(*labels):
            counter.inc(times)
    now = monotonic()
    metrics.TURN_SECONDS.observe_all(
        (now - request.submitted_at, len(request.turns)) for request in batch if request.turns
    )


def _labels(result: Result | Exception) -> tuple[str, str, str]:
    if isinstance(result, Committed):
        return ("duplicate", "", "") if result.event is None else ("accepted", "", result.event.action)
    if isinstance(result, Rejected):
        return "refused", result.rejection.code, ""
    return "failed", result.code if isinstance(result, StepkeepError) else "internal", ""


@cache  # finding a counter by labels takes longer than counting
def _counters(outcome: str, code: str, action: str) -> list[prometheus_client.Counter]:
    counters = [metrics.TURNS.labels(outcome, code)]
    if action:
        counters.append(metrics.EVENTS.labels(action))
    if code == "version_conflict":
        counters.append(metrics.VERSION_CONFLICTS)
    return counters
