"""The route of a session: the steps that the rules and its answers lead through.

Sessions store it (``step_history``), so an answer needs only the conditions that read it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from .definition import Survey
from .pages import fit_page
from .scopes import expression_context
from .state import END, Answers, SessionState
from .types import PageStep
from .types.choice import OptionsStep

MAX_PASSES = 30  # after so many, no answer counts before its step is reached, so that one turn cannot take long


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The steps of a route."""

    steps: tuple[str, ...]  # each once; all but the last are answered
    leads_to: str | None  # the end, or the step where a cycle closes; None while the last has no answer
    failed_conditions: tuple[str, ...] = ()  # steps with a condition that failed to evaluate
    withdrawn: str | None = None  # the last step, if its answer is not valid any more with what is shown
    trimmed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # fields that are not shown, by page

    def position_after(self, step: str) -> str:
        index = self.steps.index(step) + 1
        if index < len(self.steps):
            return self.steps[index]
        return self.leads_to or step

    def before(self, step: str) -> tuple[str, ...]:
        return self.steps if step == END else self.steps[: self.steps.index(step)]


def whole_route(survey: Survey, state: SessionState) -> Route:
    """Return the route, including answered steps after the position."""
    known = _known_route(state)
    return _Walk(survey, state, state.answers, state.answers.keys()).follow(known, len(known) - 1)


def is_on_route(survey: Survey, state: SessionState, step: str) -> bool:
    if step == state.current_step or step in state.step_history:
        return True
    # Answered steps beyond the position exist only if the participant went back.
    return state.current_step in state.answers and step in whole_route(survey, state).steps


def reroute(survey: Survey, state: SessionState, changed: str, answers: Answers) -> tuple[Answers, Route]:
    """Return the answers that stay after one changed, and their route.

    An answer counts once the walk has reached its step. One that is read earlier counts from the start, and leaves if
    the step is not reached; then the route changes again. If a rule reads a later answer, even the new one can leave.
    """
    early = survey.graph.readers.early
    known = _known_route(state)
    first = 0
    if changed not in early:
        first = known.index(changed) if changed in known else len(known) - 1
    presumed = early & answers.keys()
    passes = 1
    trimmed: dict[str, Mapping[str, Any]] = {}
    route = _Walk(survey, state, answers, presumed).follow(known, first, changed)
    while not presumed <= (on_route := frozenset(route.steps) - {route.withdrawn}) or presumed & route.trimmed.keys():
        trimmed = _joined(trimmed, {page: route.trimmed[page] for page in presumed & route.trimmed.keys()})
        presumed = presumed & on_route if passes < MAX_PASSES else frozenset()
        passes += 1
        counting = {step: value for step, value in answers.items() if step in presumed or step not in early}
        answers = {step: without(value, trimmed.get(step)) for step, value in counting.items()}
        route = _Walk(survey, state, answers, presumed).follow(known[:1], 0)
    route = replace(route, trimmed=_joined(trimmed, route.trimmed))
    return {step: without(value, route.trimmed.get(step)) for step, value in answers.items() if step in on_route}, route


def _joined(*trimmed: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    pages = dict.fromkeys(page for one in trimmed for page in one)
    return {page: {name: value for one in trimmed for name, value in one.get(page, {}).items()} for page in pages}


def without(answer: Any, fields: Collection[str] | None) -> Any:  # noqa: ANN401 - any JSON
    return answer if not fields else {name: value for name, value in answer.items() if name not in fields}


def difference(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    shorter = min(len(before), len(after))
    if before[:shorter] == after[:shorter]:
        return shorter, after[shorter:]
    keep = next(i for i in range(shorter) if before[i] != after[i])
    return keep, after[keep:]


def _known_route(state: SessionState) -> tuple[str, ...]:
    if state.status == "completed":
        return state.step_history
    return (*state.step_history, state.current_step)


class _Walk:
    def __init__(self, survey: Survey, state: SessionState, answers: Answers, presumed: Collection[str]) -> None:
        self._survey = survey
        self._answers = answers
        self._counting = {step: answers[step] for step in presumed}  # before they are reached
        self._failed: list[str] = []
        self._passed = frozenset(state.step_history) - state.answers.keys()  # as a saved state can have
        self._context = expression_context(survey, state)
        self._trimmed: dict[str, Mapping[str, Any]] = {}

    def follow(self, known: tuple[str, ...], first: int, changed: str | None = None) -> Route:
        """Return the route, which begins with the steps up to ``known[first]``."""
        steps: list[str] = []
        for step in known[: first + 1]:
            self._reach(step, steps)
        visited = set(steps)
        successors = dict(pairwise(known))
        while True:
            step = steps[-1]
            if (step not in self._answers and step not in self._passed) or self._survey.step(step) is None:
                return self._route(steps, None)
            target = successors.get(step)
            if target is None or self._can_be_redirected(step, changed):
                if self._is_withdrawn(step):
                    return self._route(steps, None, withdrawn=step)
                target = self._next_step(step)
                if target != successors.get(step):
                    successors = {}  # of another route
            if target == END or target in visited:
                return self._route(steps, target)
            self._reach(target, steps)
            visited.add(target)

    def _route(self, steps: list[str], leads_to: str | None, withdrawn: str | None = None) -> Route:
        return Route(
            steps=tuple(steps),
            leads_to=leads_to,
            failed_conditions=tuple(self._failed),
            withdrawn=withdrawn,
            trimmed={step: fields for step, fields in self._trimmed.items() if step != withdrawn},
        )

    def _reach(self, step: str, steps: list[str]) -> None:
        steps.append(step)
        if step in self._answers:
            self._counting[step] = self._answers[step]

    def _next_step(self, step: str) -> str:
        target, did_fail = self._survey.graph.next_step(step, self._counting, self._context)
        if did_fail:
            self._failed.append(step)
        return target

    def _can_be_redirected(self, step: str, changed: str | None) -> bool:
        if changed is None:
            return False
        # A page's answer of which fields are left out is another one, too.
        return step == changed or any(
            self._survey.graph.readers.can_redirect(one, step) for one in (changed, *self._trimmed)
        )

    def _is_withdrawn(self, step: str) -> bool:
        with_options = self._survey.step(step)
        if isinstance(with_options, PageStep):
            return self._is_page_incomplete(with_options)
        if step not in self._survey.conditions.options or not isinstance(with_options, OptionsStep):
            return False
        scope = self._survey.conditions.scope(self._counting, self._context)
        hidden = self._survey.conditions.hidden_options(step, scope)
        return step in self._answers and not with_options.fits_options(self._answers[step], hidden)

    def _is_page_incomplete(self, page: PageStep) -> bool:
        """Return whether a shown field lacks an answer; if not, answers to hidden ones do not count from here on."""
        if page.id not in self._answers or page.id not in self._survey.conditions.varying:
            return False
        fitted = fit_page(self._survey, page, self._counting, self._context)
        if fitted.hidden and fitted.is_complete:
            self._trimmed[page.id] = fitted.hidden
            self._counting[page.id] = fitted.kept
        return not fitted.is_complete
