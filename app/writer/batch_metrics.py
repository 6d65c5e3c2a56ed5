"""What came of a batch, counted for ``app/observability/metrics.py`` a batch at a time. Used by ``writer.py``."""

from collections.abc import Iterable, Sequence
from time import monotonic

from ..errors import StepkeepError
from ..observability import metrics
from .batch import Committed, Rejected, Result
from .request import WriteRequest


def record(batch: Sequence[WriteRequest], answers: Iterable[Result | Exception]) -> None:
    """Count the answers of a batch, and how long its tickets waited for them."""
    outcomes: dict[tuple[str, str], int] = {}
    events: dict[str, int] = {}
    for answer in answers:
        if isinstance(answer, Committed) and answer.event is not None:
            action = answer.event.action
            events[action] = events.get(action, 0) + 1
        else:
            named = _named(answer)
            outcomes[named] = outcomes.get(named, 0) + 1
    if events:
        outcomes["accepted", ""] = sum(events.values())
    metrics.count_turns(outcomes, events)
    now = monotonic()
    metrics.TURN_SECONDS.observe_all((now - ticket.at, len(ticket.turns)) for ticket in batch if ticket.turns)


def _named(answer: Result | Exception) -> tuple[str, str]:
    """Return the outcome and the code of what changed nothing."""
    if isinstance(answer, Committed):
        return "duplicate", ""
    if isinstance(answer, Rejected):
        return "refused", answer.rejection.code
    return "failed", answer.code if isinstance(answer, StepkeepError) else "internal"
