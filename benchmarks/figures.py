"""What a run found: medians over rounds, and ratios of what was measured in the same round."""

import dataclasses
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.contest import Result
from benchmarks.programme import PEER


class Point(NamedTuple):
    """What was measured in every round."""

    contest: str
    entrant: str
    what: str
    callers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A whole run.

    Attributes:
        machine: facts of the machine, in the report's words.
        results: every measurement.
        facts: by contest and entrant, what it says of itself.
        absent: by contest and entrant, why it is left out; by contest alone, with an empty entrant.
        arguments: the command line.
    """

    machine: Mapping[str, str]
    results: Sequence[Result]
    facts: Mapping[str, Mapping[str, Mapping[str, str]]]
    absent: Mapping[str, Mapping[str, str]]
    arguments: str
    _rates: dict[Point, dict[int, Result]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for result in self.results:
            self._rates.setdefault(_point(result), {})[result.round] = result

    def keep(self, path: Path) -> None:
        """Write the run, so that its report can be made again."""
        document = {
            "machine": dict(self.machine),
            "arguments": self.arguments,
            "facts": self.facts,
            "absent": self.absent,
            "results": [dataclasses.asdict(result) for result in self.results],
        }
        path.write_text(json.dumps(document, indent=0) + "\n")

    @property
    def contests(self) -> list[str]:
        """The contests in which something was measured."""
        return list(dict.fromkeys(point.contest for point in self._rates))

    def points(self, contest: str) -> list[Point]:
        """Return what was measured in a contest, in its order."""
        return [point for point in self._rates if point.contest == contest]

    def lines(self, contest: str) -> list[tuple[str, str]]:
        """Return the contest's entrants, each with what it did: the lines of a table."""
        return list(dict.fromkeys((point.entrant, point.what) for point in self.points(contest)))

    def rounds(self, contest: str) -> int:
        """Return how many rounds there were."""
        return max(result.round for result in self.results if result.contest == contest)

    def family(self, point: Point) -> str:
        """Return whose it is: ours, raw, orm or peer."""
        return next(iter(self._rates[point].values())).family

    def family_of(self, contest: str, entrant: str) -> str | None:
        """Return whose this entrant is; None if nothing was measured of it."""
        return next((self.family(point) for point in self.points(contest) if point.entrant == entrant), None)

    def rate(self, point: Point) -> float | None:
        """Return the median of turns a second."""
        return self._median(point, "rate")

    def p50_us(self, point: Point) -> float | None:
        """Return the median over rounds of the median time of a turn, in microseconds."""
        return self._median(point, "p50_us")

    def p99_us(self, point: Point) -> float | None:
        """Return the median over rounds of the time that 99 of 100 turns need at most, in microseconds."""
        return self._median(point, "p99_us")

    def errors(self, point: Point) -> Counter[str]:
        """Return the errors of all rounds."""
        found: Counter[str] = Counter()
        for result in self._rates.get(point, {}).values():
            found.update(result.errors)
        return found

    def ratio(self, above: Point, below: Point) -> float | None:
        """Return the median over the rounds of one rate through another of the same round."""
        over, under = self._rates.get(above, {}), self._rates.get(below, {})
        ratios = [
            over[number].rate / under[number].rate for number in over if number in under and under[number].rate > 0
        ]
        return statistics.median(ratios) if ratios else None

    def fastest_peer(self, contest: str, callers: int) -> Point | None:
        """Return the fastest peer that is durable (files that are never flushed are no yardstick)."""
        return self._fastest(
            point
            for point in self.points(contest)
            if self.family(point) == PEER and point.callers == callers and "cachelib" not in point.entrant
        )

    def fastest_group(self, contest: str, entrant: str, size: int) -> Point | None:
        """Return the faster of the raw driver's forms of a group."""
        return self._fastest(
            point
            for point in self.points(contest)
            if point.entrant == entrant and point.callers == size and point.what != "turns"
        )

    def _fastest(self, points: Iterable[Point]) -> Point | None:
        return max(points, key=lambda point: self.rate(point) or 0.0, default=None)

    def _median(self, point: Point, name: str) -> float | None:
        found = [getattr(result, name) for result in self._rates.get(point, {}).values()]
        return statistics.median(found) if found else None


def read(path: Path) -> Run:
    """Return a run that was kept."""
    document = json.loads(path.read_text())
    return Run(**{**document, "results": [Result(**result) for result in document["results"]]})


def _point(result: Result) -> Point:
    return Point(result.contest, result.entrant, result.what, result.callers)
