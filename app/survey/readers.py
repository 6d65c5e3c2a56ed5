"""Which steps an answer can lead elsewhere: those whose conditions, or whose next steps' conditions, read it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .conditions import Conditions
from .expressions import Expression
from .state import END

_ANY = None
"""In place of a step: any; a set for each step would be quadratic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The readers of each answer, in space linear in what the conditions name."""

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


def _own_expressions(conditions: Conditions, step: str) -> Iterator[Expression]:
    yield from (condition for condition, _ in conditions.rules[step] if condition is not None)
    yield from conditions.shown_parts(step)


def _reads(expressions: Iterable[Expression]) -> Iterator[str | None]:
    for expression in expressions:
        yield from (_ANY,) if expression.step_ids is None else expression.step_ids


def _runs(ids: Sequence[str], shown: Collection[str]) -> dict[str, int]:
    """Return the place of the first of the steps in a row that can be hidden, for each of them."""
    runs: dict[str, int] = {}
    for place, step in enumerate(ids):
        if step in shown:
            runs[step] = runs.get(ids[place - 1], place) if place else place
    return runs


def _early(conditions: Conditions, targets: Mapping[str, Collection[str]], places: Mapping[str, int]) -> frozenset[str]:
    """Return the steps that are read where the walk can still reach them.

    It follows the order of the file, but for cycles: of the steps that a cycle spans, any can come later.
    """
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
    """Return for each place the first one that the walk can come back to from there; its own without a cycle."""
    starts = [0] * len(places)
    lowest = end = len(places)
    for step, place in reversed(tuple(places.items())):
        lowest = min(lowest, place, *(places[target] for target in targets[step] if target != END))
        if lowest == place:
            starts[place:end] = [place] * (end - place)
            lowest, end = len(places), place
    return starts
