"""What a run is asked for, and what it gave."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tests.chaos.checker import Finding
from tests.chaos.logs import ClientLog
from tests.chaos.plan import Fault

PARTICIPANTS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for.

    Attributes:
        seconds: how long faults are made.
        faults: it ends after so many, too; None: no limit.
        browsers: how many more participants use the browser's client.
        mutant: the server is made wrong on purpose.
        kinds: the only faults that are made; None: all.
    """

    database: str
    seed: str
    seconds: float
    faults: int | None = None
    participants: int = PARTICIPANTS
    browsers: int = 0
    mutant: str = ""
    kinds: frozenset[str] | None = None

    @property
    def command(self) -> str:
        """What replays it."""
        words = ["python -m tests.chaos", f"--database {self.database}", f"--minutes {self.seconds / 60:g}"]
        words += [f"--faults {self.faults}"] if self.faults is not None else []
        words += [f"--participants {self.participants}"] if self.participants != PARTICIPANTS else []
        words += [f'--mutant "{self.mutant}"'] if self.mutant else []
        return " ".join([*words, f"--seed {self.seed}"])


@dataclass(slots=True)
class Done:
    """A fault that was made: when it began, took hold, and was over, by the monotonic clock."""

    fault: Fault
    began_s: float
    held_s: float
    ended_s: float = 0.0


class Acknowledged(NamedTuple):
    """A command's acknowledgement, and when the command was given."""

    given_s: float
    at_s: float


@dataclass
class Result:
    """What a run gave.

    Attributes:
        missing: kinds of faults that can't be made here.
        restarts: how often the server was started again.
        facts: the database's kind and version.
    """

    order: Order
    began_s: float
    ended_s: float = 0.0
    faults: list[Done] = field(default_factory=list)
    logs: list[ClientLog] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    missing: frozenset[str] = frozenset()
    restarts: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def acknowledged(self) -> int:
        """How many commands were acknowledged until now."""
        return sum(answer.type == "ack" for log in list(self.logs) for answer in list(log.answered.values()))

    @cached_property
    def acknowledgements(self) -> Mapping[str, Sequence[Acknowledged]]:
        """By participant, each command's first acknowledgement, in the order of time; of a run that is over."""
        found: dict[str, list[Acknowledged]] = {}
        for log in self.logs:
            given_at = {given.id: given.at_s for given in log.given}
            row = found.setdefault(log.participant, [])
            row += [
                Acknowledged(given_at[answer.id], answer.at_s)
                for answer in log.answered.values()
                if answer.type == "ack" and answer.id in given_at
            ]
        for row in found.values():
            row.sort(key=lambda one: one.at_s)
        return found

    def count(self, message_type: str, *, duplicate: bool | None = None) -> int:
        """Return how many messages of a type the clients received."""
        return sum(
            message.type == message_type and duplicate in {None, message.duplicate}
            for log in self.logs
            for message in log.received
        )

    def of_rule(self, rule: str) -> int:
        """Return how many findings there are of a rule."""
        return sum(finding.rule == rule for finding in self.findings)

    def recovery_s(self, done: Done) -> tuple[float, float] | None:
        """Return the seconds from the fault's begin until anybody, and until everybody, was acknowledged again.

        None where the run ended before that.
        """
        firsts = []
        for row in self.acknowledgements.values():
            index = bisect_left(row, done.held_s, key=lambda one: one.at_s)
            if index < len(row):
                firsts.append(row[index].at_s - done.began_s)
        return (min(firsts), max(firsts)) if firsts else None

    def latencies_s(self, *, during_faults: bool) -> list[float]:
        """Return the seconds from command to acknowledgement: of those that a fault touched, or of the others."""
        spans = _merged([(done.began_s, done.ended_s or self.ended_s) for done in self.faults])
        starts = [start for start, _ in spans]
        found = []
        for row in self.acknowledgements.values():
            for one in row:
                index = bisect_left(starts, one.at_s)
                touched = index > 0 and spans[index - 1][1] >= one.given_s
                if touched is during_faults:
                    found.append(one.at_s - one.given_s)
        return found


def _merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the spans in order, with those that overlap as one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
