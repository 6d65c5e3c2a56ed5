"""The route of a session: the steps that the rules and its answers lead through.

Sessions store it (``step_history``), so an answer needs only the rules of its step and of ``StepGraph.dependents``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .definition import Survey
from .state import END, SessionState


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The steps of a route.

    Attributes:
        steps: in order, each once; all but the last are answered.
        leads_to: the end, or the step where a cycle closes; None while the last has no answer.
        failed_conditions: steps with a condition that failed to evaluate.
    """

    steps: tuple[str, ...]
    leads_to: str | None
    failed_conditions: tuple[str, ...] = ()

    def position_after(self, step: str) -> str:
        index = self.steps.index(step) + 1
        if index < len(self.steps):
            return self.steps[index]
        return self.leads_to or step

    def before(self, step: str) -> tuple[str, ...]:
        """Return the route before ``step``; all of it for the end."""
        return self.steps if step == END else self.steps[: self.steps.index(step)]


def whole_route(survey: Survey, state: SessionState) -> Route:
    """Return the route, including answered steps after the position."""
    known = _known_route(state)
    return _follow(survey, known, len(known) - 1, state.answers, _passed_unanswered(state), frozenset())


def is_on_route(survey: Survey, state: SessionState, step: str) -> bool:
    """Return whether the route has the step."""
    if step == state.current_step or step in state.step_history:
        return True
    # Answered steps beyond the position exist only if the participant went back.
    return state.current_step in state.answers and step in whole_route(survey, state).steps


def reroute(
    survey: Survey, state: SessionState, changed: str, answers: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Route]:
    """Return the answers that stay after one changed, and their route.

    Rules can read answers that leave, which changes the route again; each pass removes an answer, so the loop ends. If
    a rule reads a later answer, even the new one can leave: the walk waits there.
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
    """Return the length of the common start, and the steps of ``after`` beyond it."""
    shorter = min(len(before), len(after))
    if before[:shorter] == after[:shorter]:
        return shorter, after[shorter:]
    keep = next(i for i in range(shorter) if before[i] != after[i])
    return keep, after[keep:]


def _known_route(state: SessionState) -> tuple[str, ...]:
    if state.status == "completed":
        return state.step_history
    return (*state.step_history, state.current_step)


def _passed_unanswered(state: SessionState) -> frozenset[str]:
    """A saved state can have them."""
    return frozenset(step for step in state.step_history if step not in state.answers)


def _route_after(survey: Survey, state: SessionState, changed: str, answers: Mapping[str, Any]) -> Route:
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
    """Follow the rules from ``known[first]``.

    Args:
        known: the route before the change.
        first: the first step to evaluate.
        passed: steps without an answer that do not end the route.
        affected: steps that can lead elsewhere than before.
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
