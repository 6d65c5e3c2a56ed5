"""Where each step can lead."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .conditions import NO_CONTEXT, Conditions, ExpressionContext, Rules, holds, read_ids
from .expressions import EvaluationError, Expression, Scope
from .state import END, Answers

MAX_READS = 200  # beyond so many, `dependencies` are any

_Edges = Mapping[str, Collection[str]]
_ANY = None  # in place of a step: any; a set for each step would be quadratic


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The readers of each answer, in space linear in the conditions."""

    own: Mapping[str | None, Collection[str]]  # by step that is read, those whose rules or options read it
    gates: Mapping[str | None, Mapping[int, int]]  # the last place in each run where a `show_if` reads the step
    entries: Mapping[str, Sequence[tuple[int, int]]]  # runs and places of steps with `show_if` that the step leads to
    early: frozenset[str]  # steps whose answers can be read before the walk reaches them

    @classmethod
    def build(cls, conditions: Conditions, targets: Mapping[str, Collection[str]]) -> "Readers":
        ids = tuple(targets)
        places = {step: place for place, step in enumerate(ids)}
        runs = _runs(ids, conditions.shown)
        own: dict[str | None, set[str]] = {}
        for step in ids:
            for read in _reads(_own_expressions(conditions, step)):
                own.setdefault(read, set()).add(step)
        gates: dict[str | None, dict[int, int]] = {}
        for step in ids:
            if (condition := conditions.shown.get(step)) is not None:
                for read in _reads((condition,)):
                    gates.setdefault(read, {})[runs[step]] = places[step]
        return cls(
            own=own,
            gates=gates,
            entries={
                step: tuple((runs[target], places[target]) for target in reached if target in runs)
                for step, reached in targets.items()
            },
            early=_early(conditions, targets, places),
        )

    def has_any(self, changed: str) -> bool:
        return any(read in by_step for read in (changed, _ANY) for by_step in (self.own, self.gates))

    def can_redirect(self, changed: str, step: str) -> bool:
        """Return whether a change of an answer can lead a step elsewhere, or withdraw its answer."""
        for read in (changed, _ANY):
            if step in self.own.get(read, ()):
                return True
            last = self.gates.get(read)
            if last and any(last.get(run, -1) >= place for run, place in self.entries[step]):
                return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGraph:
    """The steps and the edges between them."""

    conditions: Conditions
    ids: tuple[str, ...]
    following: Mapping[str, str]  # the next step in the list, or the end
    remaining: Mapping[str, int]  # the most steps that can be left, this one included
    gate_reads: Mapping[str, frozenset[str] | None]  # whose answers decide what follows a hidden step; None: any
    readers: Readers
    unreachable: tuple[str, ...]  # steps to which no rule and no order leads
    endless: tuple[str, ...]  # steps from which no answer leads to the end

    @classmethod
    def build(cls, conditions: Conditions, possible_answers: Mapping[str, tuple[object, ...] | None]) -> "StepGraph":
        rules, shown = conditions.rules, conditions.shown
        ids = tuple(rules)
        following = dict(zip(ids, (*ids[1:], END), strict=True))
        targets = {step: _targets(step, rules[step], following[step], possible_answers[step]) for step in ids}
        edges = _with_gates(targets, following, shown) if shown else targets
        backwards = _reversed(edges)
        reached = frozenset(_depth_first(_gate(ids[0], shown), edges, set()))
        ending = frozenset(_depth_first(END, backwards, set()))
        return cls(
            conditions=conditions,
            ids=ids,
            following=following,
            remaining=_most_remaining(edges, backwards),
            gate_reads=_gate_reads(following, shown),
            readers=Readers.build(conditions, targets),
            unreachable=tuple(step for step in ids if step not in reached),
            endless=tuple(step for step in ids if step not in ending),
        )

    def first_step(self, context: ExpressionContext = NO_CONTEXT) -> str:
        return self._first_shown(self.ids[0], self.conditions.scope({}, context))

    @property
    def fixed_first_step(self) -> str | None:
        return None if self.ids[0] in self.conditions.shown else self.ids[0]

    def next_step(self, step: str, answers: Answers, context: ExpressionContext = NO_CONTEXT) -> tuple[str, bool]:
        """Return the next step that is shown, and whether a rule failed to evaluate."""
        conditions = self.conditions
        following, failed = self.following[step], False
        if rules := conditions.rules[step]:
            following, failed = _next_step(rules, following, conditions.scope(answers, context, answers.get(step)))
        if following in conditions.shown:
            following = self._first_shown(following, conditions.scope(answers, context))
        return following, failed

    def fixed_next_step(self, step: str) -> str | None:
        rules = self.conditions.rules[step]
        condition, target = rules[0] if rules else (None, self.following[step])
        return target if condition is None and target not in self.conditions.shown else None

    def leads_on(self, step: str, route: Sequence[str]) -> bool:
        """Return whether a step of a route leads on as it does, whatever its own answer is."""
        is_free = step not in self.conditions.varying and not self.readers.has_any(step)
        return is_free and self.fixed_next_step(step) == route[route.index(step) + 1]

    def dependencies(self, step: str) -> frozenset[str] | None:
        """Return the other steps whose answers decide which step is next; None if any may."""
        rules = self.conditions.rules[step]
        conditions = []
        targets = [self.following[step]]
        for condition, target in rules:
            if condition is None:
                targets[0] = target
                break
            conditions.append(condition)
            targets.append(target)
        read = _union(
            read_ids(conditions), *(self.gate_reads[target] for target in targets if target in self.gate_reads)
        )
        return None if read is None else read - {step}

    def _first_shown(self, step: str, scope: Scope) -> str:
        shown = self.conditions.shown
        while (condition := shown.get(step)) is not None and not holds(condition, scope):
            step = self.following[step]
        return step


def _gate_reads(following: Mapping[str, str], shown: Mapping[str, Expression]) -> dict[str, frozenset[str] | None]:
    reads: dict[str, frozenset[str] | None] = {}
    for step in reversed(tuple(following)):
        if step in shown:
            reads[step] = _union(reads.get(following[step], frozenset()), shown[step].step_ids)
    return reads


def _union(first: frozenset[str] | None, *others: frozenset[str] | None) -> frozenset[str] | None:
    found = first
    for read in others:
        if found is None or read is None:
            return None
        found = found if read <= found else found | read
    return None if found is None or len(found) > MAX_READS else found


def _next_step(rules: Rules, following: str, scope: Scope) -> tuple[str, bool]:
    failed = False
    for condition, target in rules:
        if condition is None:
            return target, failed
        try:
            if condition.holds(scope):
                return target, failed
        except EvaluationError:
            failed = True
    return following, failed


def _targets(step: str, rules: Rules, following: str, possible_answers: tuple[object, ...] | None) -> frozenset[str]:
    conditions = [condition for condition, _ in rules if condition is not None]
    if possible_answers is not None and all(condition.reads_only_answer for condition in conditions):
        return frozenset(_next_step(rules, following, Scope({step: answer}, answer))[0] for answer in possible_answers)
    targets = []
    for condition, target in rules:
        targets.append(target)
        if condition is None:
            return frozenset(targets)
    return frozenset((*targets, following))


def _gate(step: str, shown: Collection[str]) -> str:
    return f"{step}?" if step in shown else step


def _with_gates(targets: _Edges, following: Mapping[str, str], shown: Collection[str]) -> _Edges:
    """Return the edges through a gate before each step that can be hidden: direct ones would be quadratic."""
    edges: dict[str, Collection[str]] = {
        step: frozenset(_gate(target, shown) for target in reached) for step, reached in targets.items()
    }
    return edges | {_gate(step, shown): (step, _gate(following[step], shown)) for step in shown}


def _reversed(edges: _Edges) -> dict[str, set[str]]:
    backwards: dict[str, set[str]] = {step: set() for step in (*edges, END)}
    for step, targets in edges.items():
        for target in targets:
            backwards[target].add(step)
    return backwards


def _depth_first(start: str, edges: _Edges, seen: set[str]) -> list[str]:
    """Return the steps reached, each after those it leads to, and add them to ``seen``."""
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


def _most_remaining(edges: _Edges, backwards: _Edges) -> dict[str, int]:
    """Return the most steps that are left, the step included; a cycle counts as one stretch.

    So progress, done / (done + left), never falls while the walk goes forward.
    """
    left: dict[str, int] = {}
    for cycle in _strongly_connected(tuple(edges), edges, backwards):  # each after its targets
        beyond = max((left.get(target, 0) for step in cycle for target in edges[step]), default=0)
        steps = sum(not node.endswith("?") for node in cycle)
        left |= dict.fromkeys(cycle, beyond + steps)
    return left


def _strongly_connected(ids: tuple[str, ...], edges: _Edges, backwards: _Edges) -> Iterator[list[str]]:
    """Yield each component after those it leads to (Kosaraju and Sharir 1981)."""
    seen = {END}
    finished = [step for start in ids if start not in seen for step in _depth_first(start, backwards, seen)]
    seen = {END}
    return (_depth_first(step, edges, seen) for step in reversed(finished) if step not in seen)


def _own_expressions(conditions: Conditions, step: str) -> Iterator[Expression]:
    yield from (condition for condition, _ in conditions.rules[step] if condition is not None)
    yield from conditions.shown_parts(step)


def _reads(expressions: Iterable[Expression]) -> Iterator[str | None]:
    for expression in expressions:
        yield from (_ANY,) if expression.step_ids is None else expression.step_ids


def _runs(ids: Sequence[str], shown: Collection[str]) -> dict[str, int]:
    """Return, for each step that can be hidden, the place of the first one of those in a row."""
    runs: dict[str, int] = {}
    for place, step in enumerate(ids):
        if step in shown:
            runs[step] = runs.get(ids[place - 1], place) if place else place
    return runs


def _early(conditions: Conditions, targets: Mapping[str, Collection[str]], places: Mapping[str, int]) -> frozenset[str]:
    """Return the steps that are read where the walk can still reach them: later, or in the same cycle."""
    ids = tuple(targets)
    starts = _cycle_starts(targets, places)
    from_here = len(ids)
    early: set[str] = set()
    for step, place in places.items():
        condition = conditions.shown.get(step)
        gate = () if condition is None else (condition,)
        for expressions, first in ((_own_expressions(conditions, step), place + 1), (gate, place)):
            for read in _reads(expressions):
                if read is _ANY:
                    from_here = min(from_here, starts[place] if starts[place] < place else first)
                elif places[read] >= first or starts[place] <= places[read] < place:
                    early.add(read)
    return frozenset(early.union(ids[from_here:]))


def _cycle_starts(targets: Mapping[str, Collection[str]], places: Mapping[str, int]) -> list[int]:
    """Return for each place the first one that the walk can come back to from there."""
    starts = [0] * len(places)
    lowest = end = len(places)
    for step, place in reversed(tuple(places.items())):
        lowest = min(lowest, place, *(places[target] for target in targets[step] if target != END))
        if lowest == place:
            starts[place:end] = [place] * (end - place)
            lowest, end = len(places), place
    return starts
