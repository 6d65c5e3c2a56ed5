"""The route of a session: the walk from the first step that follows the answers.

A session keeps the part of its route before its position (``step_history``). So an answer at the end of a long route
needs the rules of one step only, and those of steps whose rules read the answer (``StepGraph.dependents``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .definition import Survey
from .state import END, SessionState


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The steps of a walk, in order.

    Attributes:
        steps: each step once; all but the last are answered, the last can be.
        leads_to: where the last step leads once it is answered: the end, or back to a step of the route where a cycle
            closes; None while the last step has no answer.
        failed_conditions: the steps with a condition that failed to evaluate on the way.
    """

    steps: tuple[str, ...]
    leads_to: str | None
    failed_conditions: tuple[str, ...] = ()

    def position_after(self, step: str) -> str:
        """Return the position after a step of the route."""
        index = self.steps.index(step) + 1
        if index < len(self.steps):
            return self.steps[index]
        return self.leads_to or step

    def before(self, step: str) -> tuple[str, ...]:
        """Return the part of the route before ``step``; all of it for the end."""
        return self.steps if step == END else self.steps[: self.steps.index(step)]


def whole_route(survey: Survey, state: SessionState) -> Route:
    """Return the route of a session, including answered steps after the position."""
    known = _known_route(state)
    return _follow(survey, known, len(known) - 1, state.answers, _passed_unanswered(state), frozenset())


def is_on_route(survey: Survey, state: SessionState, step: str) -> bool:
    """Return whether the step is on the route."""
    if step == state.current_step or step in state.step_history:
        return True
    # Beyond the position there is a route only if the participant went back.
    return state.current_step in state.answers and step in whole_route(survey, state).steps


def reroute(
    survey: Survey, state: SessionState, changed: str, answers: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Route]:
    """Return the answers that stay on the route after the answer to one step changed, and the route that follows them.

    Rules can read an answer that leaves the route, so leaving can change the route again. Each pass removes at least
    one answer, so the loop ends. If a rule reads the answer of a later step, even the answer just given can leave: then
    the walk waits at that step.
    """
    route = _route_after(survey, state, changed, answers)
    while True:
        on_route = frozenset(route.steps)
        staying = {step: value for step, value in answers.items() if step in on_route}
        if len(staying) == len(answers):
            return staying, route
        left = answers.keys() - staying.keys()
        answers = staying
        if not left.isdisjoint(survey.graph.dependents):
            first_step = _known_route(state)[:1]
            route = _follow(survey, first_step, 0, answers, _passed_unanswered(state), frozenset())


def difference(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """Return how many steps ``after`` has in common with the start of ``before``, and the steps that follow them."""
    shorter = min(len(before), len(after))
    if before[:shorter] == after[:shorter]:
        return shorter, after[shorter:]
    keep = next(i for i in range(shorter) if before[i] != after[i])
    return keep, after[keep:]


def _known_route(state: SessionState) -> tuple[str, ...]:
    """Return the route up to the session's position."""
    if state.status == "completed":
        return state.step_history
    return (*state.step_history, state.current_step)


def _passed_unanswered(state: SessionState) -> frozenset[str]:
    """Return the steps before the position that have no answer: a saved state can have such steps."""
    return frozenset(step for step in state.step_history if step not in state.answers)


def _route_after(survey: Survey, state: SessionState, changed: str, answers: Mapping[str, Any]) -> Route:
    """Return the route after one answer changed, evaluating only rules that the change can affect."""
    known = _known_route(state)
    affected = survey.graph.dependents.get(changed, frozenset()) | {changed}
    first = next((index for index, step in enumerate(known) if step in affected), len(known) - 1)
    return _follow(survey, known, first, answers, _passed_unanswered(state), affected)


def _follow(
    survey: Survey,
    known: tuple[str, ...],
    first: int,
    answers: Mapping[str, Any],
    passed: frozenset[str],
    affected: frozenset[str],
) -> Route:
    """Walk on from ``known[first]`` to the end of the route.

    Args:
        known: the route before the change, up to the position.
        first: the first of its steps whose rules must be evaluated.
        passed: steps without an answer at which the walk does not stop.
        affected: the steps whose rules can lead elsewhere than before.
    """
    steps = list(known[: first + 1])
    visited = set(steps)
    successors = dict(pairwise(known))
    failed: list[str] = []
    while True:
        step = steps[-1]
        if (step not in answers and step not in passed) or survey.step(step) is None:
            return Route(steps=tuple(steps), leads_to=None, failed_conditions=tuple(failed))
        target = None if step in affected else successors.get(step)
        if target is None:
            target, did_fail = survey.graph.next_step(step, answers)
            if did_fail:
                failed.append(step)
        if target == END or target in visited:
            return Route(steps=tuple(steps), leads_to=target, failed_conditions=tuple(failed))
        steps.append(target)
        visited.add(target)
