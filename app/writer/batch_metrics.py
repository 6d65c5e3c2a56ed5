"""Metrics of committed batches."""

from collections.abc import Iterable, Sequence
from time import monotonic

from ..errors import StepkeepError
from ..observability import metrics
from .batch import Committed, Rejected, Result
from .request import WriteRequest


def record(batch: Sequence[WriteRequest], results: Iterable[Result | Exception]) -> None:
    """Count a batch's results, and observe its waits."""
    outcomes: dict[tuple[str, str], int] = {}
    events: dict[str, int] = {}
    for result in results:
        if isinstance(result, Committed) and result.event is not None:
            action = result.event.action
            events[action] = events.get(action, 0) + 1
        else:
            outcome = _outcome(result)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    if events:
        outcomes["accepted", ""] = sum(events.values())
    metrics.count_turns(outcomes, events)
    now = monotonic()
    metrics.TURN_SECONDS.observe_all(
        (now - request.submitted_at, len(request.turns)) for request in batch if request.turns
    )


def _outcome(result: Result | Exception) -> tuple[str, str]:
    if isinstance(result, Committed):
        return "duplicate", ""
    if isinstance(result, Rejected):
        return "refused", result.rejection.code
    return "failed", result.code if isinstance(result, StepkeepError) else "internal"
