"""Where each step can lead, and what follows from that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .expressions import Condition, EvaluationError
from .state import END

Rules = tuple[tuple[Condition | None, str], ...]
"""Each condition with the step it leads to; None always holds."""

_Edges = Mapping[str, frozenset[str]]


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
        _require_reachable(ids, edges)
        _require_end(ids, edges)
        return cls(
            ids=ids,
            rules=rules,
            following=following,
            remaining=_most_remaining(ids, edges),
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
    reached = _closure(ids[0], edges)
    for step in ids:
        if step not in reached:
            raise ValueError(f"no rule and no order leads to the step {step}: add a rule that goes there, or remove it")


def _require_end(ids: tuple[str, ...], edges: _Edges) -> None:
    backwards: dict[str, set[str]] = {step: set() for step in (*ids, END)}
    for step, targets in edges.items():
        for target in targets:
            backwards[target].add(step)
    ending = _closure(END, backwards)
    stuck = [step for step in ids if step not in ending]
    if stuck:
        raise ValueError(f"no answer leads from {', '.join(stuck[:10])} to the end: a cycle that no answer leaves")


def _closure(start: str, edges: Mapping[str, frozenset[str] | set[str]]) -> set[str]:
    reached = {start}
    waiting = [start]
    while waiting:
        for target in edges.get(waiting.pop(), ()):
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    return reached


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


def _most_remaining(ids: tuple[str, ...], edges: _Edges) -> dict[str, int]:
    """Return the most steps that are left, the step included.

    It falls along every edge but in a cycle, which counts as one stretch. So progress, done / (done + left), never
    falls while the walk goes forward.
    """
    left: dict[str, int] = {}
    for cycle in _strongly_connected(ids, edges):  # each after its targets
        beyond = max(
            (left.get(target, 0) for step in cycle for target in edges[step] if target not in cycle),
            default=0,
        )
        for step in cycle:
            left[step] = beyond + len(cycle)
    return left


def _strongly_connected(  # noqa: C901, PLR0915 - one algorithm, as it is published
    ids: tuple[str, ...], edges: _Edges
) -> list[set[str]]:
    """Each component after those it leads to (Tarjan 1972, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    components: list[set[str]] = []
    for root in ids:
        if root in index:
            continue
        visits = [(root, iter(sorted(edges[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while visits:
            step, targets = visits[-1]
            for target in targets:
                if target not in edges:
                    continue
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    visits.append((target, iter(sorted(edges[target]))))
                    break
                if target in on_stack:
                    low[step] = min(low[step], index[target])
            else:
                visits.pop()
                if visits:
                    low[visits[-1][0]] = min(low[visits[-1][0]], low[step])
                if low[step] == index[step]:
                    component = set()
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.add(member)
                        if member == step:
                            break
                    components.append(component)
    return components
