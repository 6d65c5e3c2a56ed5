"""Where the rules of a survey file jump over steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

from ..state import END
from ..types import BaseStep

_MAX_ROUNDS = 20
"""Of a search that takes as many as rules lead back within each other."""


@dataclass(frozen=True, slots=True)
class Jumps:
    """Where rules lead. Places are the indexes of steps; the end's is behind the last one."""

    rules: Mapping[int, Sequence[tuple[str | None, int]]]
    _longest: Sequence[tuple[int, int]]
    """The steps that jump, each with the last place where it leads."""

    _always: Sequence[int]
    """By place, the steps that every route to it comes to: a bit each."""

    @classmethod
    def of(cls, steps: Mapping[int, BaseStep], indexes: Mapping[str, int], count: int) -> "Jumps":
        """Return the jumps of a file; wrong steps lead to the next one."""
        places = {**indexes, END: count}
        rules = {
            index: tuple((rule.when, places[rule.go]) for rule in step.next if rule.go in places)
            for index, step in steps.items()
        }
        sources: list[list[int]] = [[] for _ in range(count + 1)]
        for index in range(count):
            step, own = steps.get(index), rules.get(index, ())
            is_left_out = step is None or step.show_if is not None
            for target in {to for _, to in own}:
                sources[target].append(index)
            if is_left_out or all(when is not None for when, _ in own):
                sources[index + 1].append(index)
        longest = [(index, max(to for _, to in own)) for index, own in rules.items() if own]
        return cls(rules, [(index, to) for index, to in longest if to > index + 1], _always_before(sources))

    def can_avoid(self, index: int, place: int) -> bool:
        return not self._always[place] >> index & 1

    def over(self, index: int) -> Iterator[int]:
        return (before for before, target in self._longest if before < index < target)


def _always_before(sources: Sequence[Sequence[int]]) -> Sequence[int]:
    """Return each place's dominators, itself included; after too many rounds there may be more."""
    always = [1, *[-1] * (len(sources) - 1)]
    for _ in range(_MAX_ROUNDS):
        found = [1]
        for place, before in enumerate(sources[1:], start=1):
            found.append(reduce(and_, (found[one] if one < place else always[one] for one in before), -1) | 1 << place)
        if found == always:
            break
        always = found
    return always
