"""Where each step of a survey may lead, and what follows from it. Imported by ``definition``.

The static picture behind the walk: which steps can be reached, whether every walk can end, how much is
left at most (for progress), and whose rules read which answers (so that one changed answer asks only
the conditions that it can change).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .conditions import Condition, ConditionFailed

Rules = tuple[tuple[Condition | None, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walkway:
    """The steps and the ways between them.

    Attributes:
        ids: the steps' ids, in the order of the file.
        rules: by step, its compiled rules; a condition of None always holds.
        following: by step, the next one in the list, or the end.
        remaining: by step, how many steps are left at most, itself included.
        readers: by step, the other steps whose rules read its answer.
    """

    ids: tuple[str, ...]
    rules: Mapping[str, Rules]
    following: Mapping[str, str]
    end: str
    remaining: Mapping[str, int] = field(default_factory=dict)
    readers: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        *,
        ids: tuple[str, ...],
        rules: Mapping[str, Rules],
        every_answer: Mapping[str, tuple[object, ...] | None],
        end: str,
    ) -> "Walkway":
        """Return the walkway of these steps.

        Args:
            every_answer: by step, all its answers if they are few; then what its rules can do is known.

        Raises:
            ValueError: a step that nothing reaches, or a circle that no answer leaves.
        """
        following = dict(zip(ids, (*ids[1:], end), strict=True))
        bare = cls(ids=ids, rules=rules, following=following, end=end)
        ways = {step: bare._targets(step, every_answer[step]) for step in ids}
        _check_reached(ids, ways)
        _check_left(ids, ways, end)
        return cls(
            ids=ids,
            rules=rules,
            following=following,
            end=end,
            remaining=_longest_ways(ids, ways, end),
            readers=_readers(ids, rules),
        )

    def leads_to(self, step: str, answers: Mapping[str, Any]) -> tuple[str, bool]:
        """Return the step that ``step`` leads to with these answers, and whether a condition failed."""
        failed = False
        answer = answers.get(step)
        for condition, target in self.rules[step]:
            if condition is None:
                return target, failed
            try:
                if condition.holds(answer, answers, self.ids):
                    return target, failed
            except ConditionFailed:
                failed = True
        return self.following[step], failed

    def leads_always_to(self, step: str) -> str | None:
        """Return the step that ``step`` leads to whatever was answered; None where that depends on answers."""
        rules = self.rules[step]
        if not rules:
            return self.following[step]
        condition, target = rules[0]
        return target if condition is None else None

    def reads(self, step: str) -> frozenset[str] | None:
        """Return the steps, other than itself, whose answers decide where ``step`` leads; None for any."""
        read: set[str] = set()
        for condition, _ in self.rules[step]:
            if condition is None:
                break
            if condition.step_ids is None:
                return None
            read |= condition.step_ids
        return frozenset(read - {step})

    def _targets(self, step: str, every_answer: tuple[object, ...] | None) -> frozenset[str]:
        """Return where the step may lead: exact if its rules read only its own few answers."""
        rules = self.rules[step]
        conditions = [condition for condition, _ in rules if condition is not None]
        if every_answer is not None and all(condition.step_ids == frozenset() for condition in conditions):
            return frozenset(self.leads_to(step, {step: answer})[0] for answer in every_answer)
        targets = []
        for condition, target in rules:
            targets.append(target)
            if condition is None:
                return frozenset(targets)
        return frozenset((*targets, self.following[step]))


def _check_reached(ids: tuple[str, ...], ways: Mapping[str, frozenset[str]]) -> None:
    reached = _closure({ids[0]}, ways)
    for step in ids:
        if step not in reached:
            raise ValueError(f"nothing leads to the step {step}: a rule must go there, or it must be removed")


def _check_left(ids: tuple[str, ...], ways: Mapping[str, frozenset[str]], end: str) -> None:
    backwards: dict[str, set[str]] = {step: set() for step in (*ids, end)}
    for step, targets in ways.items():
        for target in targets:
            backwards[target].add(step)
    leaving = _closure({end}, backwards)
    stuck = [step for step in ids if step not in leaving]
    if stuck:
        shown = ", ".join(stuck[:10])
        raise ValueError(f"no answer leads from {shown} to the end: a circle that no answer leaves")


def _closure(start: set[str], ways: Mapping[str, frozenset[str] | set[str]]) -> set[str]:
    reached = set(start)
    waiting = list(start)
    while waiting:
        for target in ways.get(waiting.pop(), ()):
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    return reached


def _readers(ids: Sequence[str], rules: Mapping[str, Rules]) -> dict[str, frozenset[str]]:
    readers: dict[str, set[str]] = {}
    for step in ids:
        for condition, _ in rules[step]:
            if condition is None:
                continue
            for read in ids if condition.step_ids is None else condition.step_ids:
                if read != step:
                    readers.setdefault(read, set()).add(step)
    return {step: frozenset(who) for step, who in readers.items()}


def _longest_ways(ids: tuple[str, ...], ways: Mapping[str, frozenset[str]], end: str) -> dict[str, int]:
    """Return, by step, the most steps that are left from it, itself included.

    Along every way the number falls by at least one, except within a circle, whose steps count as one
    stretch of that many steps: so progress (done / (done + left)) never falls while the walk goes on.
    """
    left: dict[str, int] = {}
    for circle in _circles(ids, ways):  # a circle comes after all that it leads to
        beyond = max(
            (left.get(target, 0) for step in circle for target in ways[step] if target not in circle),
            default=0,
        )
        for step in circle:
            left[step] = beyond + len(circle)
    left.pop(end, None)
    return left


def _circles(  # noqa: C901, PLR0915 - one algorithm, as it is published
    ids: tuple[str, ...], ways: Mapping[str, frozenset[str]]
) -> list[set[str]]:
    """Return the strongly connected components, each after those it leads to (Tarjan 1972, no recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    components: list[set[str]] = []
    for root in ids:
        if root in index:
            continue
        visits = [(root, iter(sorted(ways[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while visits:
            step, targets = visits[-1]
            for target in targets:
                if target not in ways:
                    continue
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    visits.append((target, iter(sorted(ways[target]))))
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
