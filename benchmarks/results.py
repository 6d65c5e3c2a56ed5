"""The results of a run: medians over rounds, and ratios within a round."""

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
    """A measurement that is repeated in every round."""

    contest: str
    entrant: str
    what: str
    callers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A whole run.

    Attributes:
        machine: facts of the machine for the report.
        results: every measurement.
        facts: the entrant's facts, by contest and entrant.
        absent: the reason why an entrant is missing, by contest and entrant; the entrant is empty for a whole contest.
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

    def save(self, path: Path) -> None:
        """Write the run, so that its report can be rendered again."""
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
        """The contests with results."""
        return list(dict.fromkeys(point.contest for point in self._rates))

    def points(self, contest: str) -> list[Point]:
        """Return the measurements of a contest in order."""
        return [point for point in self._rates if point.contest == contest]

    def lines(self, contest: str) -> list[tuple[str, str]]:
        """Return the lines of a contest's table: each entrant with an operation."""
        return list(dict.fromkeys((point.entrant, point.what) for point in self.points(contest)))

    def rounds(self, contest: str) -> int:
        """Return the number of rounds."""
        return max(result.round for result in self.results if result.contest == contest)

    def family(self, point: Point) -> str:
        """Return the family: stepkeep, raw, orm or peer."""
        return next(iter(self._rates[point].values())).family

    def family_of(self, contest: str, entrant: str) -> str | None:
        """Return the family of an entrant; None without results."""
        return next((self.family(point) for point in self.points(contest) if point.entrant == entrant), None)

    def rate(self, point: Point) -> float | None:
        """Return the median of turns per second."""
        return self._median(point, "rate")

    def p50_us(self, point: Point) -> float | None:
        """Return the median over rounds of the median time of a turn, in microseconds."""
        return self._median(point, "p50_us")

    def p99_us(self, point: Point) -> float | None:
        """Return the median over rounds of the 99th percentile of the time of a turn, in microseconds."""
        return self._median(point, "p99_us")

    def errors(self, point: Point) -> Counter[str]:
        """Return the errors of all rounds."""
        errors: Counter[str] = Counter()
        for result in self._rates.get(point, {}).values():
            errors.update(result.errors)
        return errors

    def ratio(self, above: Point, below: Point) -> float | None:
        """Return the median over rounds of the ratio of two rates in the same round."""
        numerators, denominators = self._rates.get(above, {}), self._rates.get(below, {})
        ratios = [
            numerators[number].rate / denominators[number].rate
            for number in numerators
            if number in denominators and denominators[number].rate > 0
        ]
        return statistics.median(ratios) if ratios else None

    def fastest_peer(self, contest: str, callers: int) -> Point | None:
        """Return the fastest durable peer; files that are never flushed are excluded."""
        return self._fastest(
            point
            for point in self.points(contest)
            if self.family(point) == PEER and point.callers == callers and "cachelib" not in point.entrant
        )

    def fastest_group(self, contest: str, entrant: str, size: int) -> Point | None:
        """Return the fastest way of the raw driver to write a group."""
        return self._fastest(
            point
            for point in self.points(contest)
            if point.entrant == entrant and point.callers == size and point.what != "turns"
        )

    def _fastest(self, points: Iterable[Point]) -> Point | None:
        return max(points, key=lambda point: self.rate(point) or 0.0, default=None)

    def _median(self, point: Point, name: str) -> float | None:
        values = [getattr(result, name) for result in self._rates.get(point, {}).values()]
        return statistics.median(values) if values else None


def read(path: Path) -> Run:
    """Read a saved run."""
    document = json.loads(path.read_text())
    return Run(**{**document, "results": [Result(**result) for result in document["results"]]})


def _point(result: Result) -> Point:
    return Point(result.contest, result.entrant, result.what, result.callers)
