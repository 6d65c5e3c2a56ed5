"""Where each step can lead, and what follows from that."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .expressions import Condition, EvaluationError
from .state import END

Rules = tuple[tuple[Condition | None, str], ...]
"""Each condition with the step it leads to; None always holds."""

_Edges = Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGraph:
    """The steps and the edges between them.

    Attributes:
        following: the next step in the list, or the end.
        remaining: the most steps that can be left, this one included.
        dependents: other steps whose rules read its answer.
    """

    ids: tuple[str, ...]
    rules: Mapping[str, Rules]
    following: Mapping[str, str]
    remaining: Mapping[str, int]
    dependents: Mapping[str, frozenset[str]]

    @classmethod
    def build(
        cls, rules: Mapping[str, Rules], possible_answers: Mapping[str, tuple[object, ...] | None]
    ) -> "StepGraph":
        """Return the graph of a survey.

        Args:
            rules: in the order of the file.
            possible_answers: make edges exact.

        Raises:
            ValueError: an unreachable step, or an endless cycle.
        """
        ids = tuple(rules)
        following = dict(zip(ids, (*ids[1:], END), strict=True))
        edges = {step: _targets(step, rules[step], following[step], possible_answers[step]) for step in ids}
        backwards = _reversed(edges)
        _require_reachable(ids, edges)
        _require_end(ids, backwards)
        return cls(
            ids=ids,
            rules=rules,
            following=following,
            remaining=_most_remaining(ids, edges, backwards),
            dependents=_dependents(ids, rules),
        )

    def next_step(self, step: str, answers: Mapping[str, Any]) -> tuple[str, bool]:
        """Return the next step, and whether a condition failed to evaluate."""
        return _next_step(step, self.rules[step], self.following[step], answers, self.ids)

    def fixed_next_step(self, step: str) -> str | None:
        """Return the next step if it does not depend on answers."""
        rules = self.rules[step]
        if not rules:
            return self.following[step]
        condition, target = rules[0]
        return target if condition is None else None

    def dependencies(self, step: str) -> frozenset[str] | None:
        """Return the other steps whose answers are read; None if any may."""
        read: set[str] = set()
        for condition, _ in self.rules[step]:
            if condition is None:
                break
            if condition.step_ids is None:
                return None
            read |= condition.step_ids
        return frozenset(read - {step})


def _next_step(
    step: str, rules: Rules, following: str, answers: Mapping[str, Any], ids: Sequence[str]
) -> tuple[str, bool]:
    failed = False
    answer = answers.get(step)
    for condition, target in rules:
        if condition is None:
            return target, failed
        try:
            if condition.holds(answer, answers, ids):
                return target, failed
        except EvaluationError:
            failed = True
    return following, failed


def _targets(step: str, rules: Rules, following: str, possible_answers: tuple[object, ...] | None) -> frozenset[str]:
    """Exact if the rules read only its own answer, of which all are known."""
    conditions = [condition for condition, _ in rules if condition is not None]
    if possible_answers is not None and all(condition.step_ids == frozenset() for condition in conditions):
        return frozenset(_next_step(step, rules, following, {step: answer}, ())[0] for answer in possible_answers)
    targets = []
    for condition, target in rules:
        targets.append(target)
        if condition is None:
            return frozenset(targets)
    return frozenset((*targets, following))


def _require_reachable(ids: tuple[str, ...], edges: _Edges) -> None:
    reached = set(_walk(ids[0], edges, set()))
    for step in ids:
        if step not in reached:
            raise ValueError(f"no rule and no order leads to the step {step}: add a rule that goes there, or remove it")


def _require_end(ids: tuple[str, ...], backwards: _Edges) -> None:
    ending = set(_walk(END, backwards, set()))
    stuck = [step for step in ids if step not in ending]
    if stuck:
        raise ValueError(f"no answer leads from {', '.join(stuck[:10])} to the end: a cycle that no answer leaves")


def _reversed(edges: _Edges) -> dict[str, set[str]]:
    backwards: dict[str, set[str]] = {step: set() for step in (*edges, END)}
    for step, targets in edges.items():
        for target in targets:
            backwards[target].add(step)
    return backwards


def _walk(start: str, edges: _Edges, seen: set[str]) -> list[str]:
    """Return the steps reached without those in ``seen``, each after those it leads to, and add them to ``seen``."""
    finished: list[str] = []
    visits = [(start, iter(edges.get(start, ())))]
    seen.add(start)
    while visits:
        step, targets = visits[-1]
        target = next((target for target in targets if target not in seen), None)
        if target is None:
            finished.append(step)
            visits.pop()
        else:
            seen.add(target)
            visits.append((target, iter(edges.get(target, ()))))
    return finished


def _dependents(ids: Sequence[str], rules: Mapping[str, Rules]) -> dict[str, frozenset[str]]:
    dependents: dict[str, set[str]] = {}
    for step in ids:
        for condition, _ in rules[step]:
            if condition is None:
                continue
            for read in ids if condition.step_ids is None else condition.step_ids:
                if read != step:
                    dependents.setdefault(read, set()).add(step)
    return {step: frozenset(readers) for step, readers in dependents.items()}


def _most_remaining(ids: tuple[str, ...], edges: _Edges, backwards: _Edges) -> dict[str, int]:
    """Return the most steps that are left, the step included.

    It falls along every edge but in a cycle, which counts as one stretch. So progress, done / (done + left), never
    falls while the walk goes forward.
    """
    left: dict[str, int] = {}
    for cycle in _strongly_connected(ids, edges, backwards):  # each after its targets
        beyond = max((left.get(target, 0) for step in cycle for target in edges[step]), default=0)
        left |= dict.fromkeys(cycle, beyond + len(cycle))
    return left


def _strongly_connected(ids: tuple[str, ...], edges: _Edges, backwards: _Edges) -> Iterator[list[str]]:
    """Yield each component after those it leads to (Kosaraju and Sharir 1981)."""
    seen = {END}
    finished = [step for start in ids if start not in seen for step in _walk(start, backwards, seen)]
    seen = {END}
    return (_walk(step, edges, seen) for step in reversed(finished) if step not in seen)
