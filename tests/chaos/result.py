"""The configuration of a run and its result."""

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
class RunConfig:
    """The configuration of a run on one database.

    Attributes:
        seconds: how long faults are injected.
        faults: maximum number of faults; None for no limit.
        browsers: number of additional participants with the JavaScript client.
        mutant: name of a mutant of the server.
        kinds: the kinds of faults to inject; None for all.
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
        """The command that repeats the run."""
        words = ["python -m tests.chaos", f"--database {self.database}", f"--minutes {self.seconds / 60:g}"]
        words += [f"--faults {self.faults}"] if self.faults is not None else []
        words += [f"--participants {self.participants}"] if self.participants != PARTICIPANTS else []
        words += [f'--mutant "{self.mutant}"'] if self.mutant else []
        return " ".join([*words, f"--seed {self.seed}"])


@dataclass(slots=True)
class InjectedFault:
    """An injected fault, with the monotonic times when it began, took effect, was to end and had ended."""

    fault: Fault
    began_s: float
    active_s: float
    ending_s: float = 0.0
    ended_s: float = 0.0


class Acknowledged(NamedTuple):
    """The times of a command and of its acknowledgement."""

    sent_s: float
    at_s: float


@dataclass
class Result:
    """The result of a run.

    Attributes:
        missing: kinds of faults that can't be injected on this machine.
        restarts: how often the server was restarted.
        reloads: how often it replaced itself.
        refused_reloads: how often it continued instead.
        erased: number of erased participants.
        facts: the database's kind and version.
    """

    config: RunConfig
    began_s: float
    ended_s: float = 0.0
    faults: list[InjectedFault] = field(default_factory=list)
    logs: list[ClientLog] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    missing: frozenset[str] = frozenset()
    restarts: int = 0
    reloads: int = 0
    refused_reloads: int = 0
    erased: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def acknowledged(self) -> int:
        """The number of commands acknowledged so far."""
        return sum(answer.type == "ack" for log in list(self.logs) for answer in list(log.answered.values()))

    @cached_property
    def acknowledgements(self) -> Mapping[str, Sequence[Acknowledged]]:
        """Each command's first acknowledgement, by participant and in chronological order; after the run."""
        by_participant: dict[str, list[Acknowledged]] = {}
        for log in self.logs:
            sent_at = {sent.id: sent.at_s for sent in log.sent}
            row = by_participant.setdefault(log.participant, [])
            row += [
                Acknowledged(sent_at[answer.id], answer.at_s)
                for answer in log.answered.values()
                if answer.type == "ack" and answer.id in sent_at
            ]
        for row in by_participant.values():
            row.sort(key=lambda ack: ack.at_s)
        return by_participant

    def count(self, message_type: str, *, duplicate: bool | None = None) -> int:
        """Return the number of messages of a type that clients received."""
        return sum(
            message.type == message_type and duplicate in {None, message.duplicate}
            for log in self.logs
            for message in log.received
        )

    def count_findings(self, rule: str) -> int:
        """Return the number of findings for a rule."""
        return sum(finding.rule == rule for finding in self.findings)

    def recovery_s(self, injected: InjectedFault) -> tuple[float, float] | None:
        """Return the seconds from the start of the fault to the next acknowledgement of any, and of every, participant.

        None if the run ended first.
        """
        firsts = []
        for row in self.acknowledgements.values():
            index = bisect_left(row, injected.active_s, key=lambda ack: ack.at_s)
            if index < len(row):
                firsts.append(row[index].at_s - injected.began_s)
        return (min(firsts), max(firsts)) if firsts else None

    def latencies_s(self, *, during_faults: bool) -> list[float]:
        """Return the seconds from command to acknowledgement, for commands during faults or for the others."""
        spans = _merged([(injected.began_s, injected.ended_s or self.ended_s) for injected in self.faults])
        starts = [start for start, _ in spans]
        return [
            ack.at_s - ack.sent_s
            for row in self.acknowledgements.values()
            for ack in row
            if _overlaps(spans, starts, ack) is during_faults
        ]


def _overlaps(spans: Sequence[tuple[float, float]], starts: Sequence[float], ack: Acknowledged) -> bool:
    index = bisect_left(starts, ack.at_s)
    return index > 0 and spans[index - 1][1] >= ack.sent_s


def _merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the spans in order, overlapping ones joined."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
