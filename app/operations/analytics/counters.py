"""Counters of a part of the sessions."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from ...survey.types import STEP_TYPES, BaseStep, Value
from .quantiles import SampleArray
from .step_plan import PlannedStep

OTHER = None
"""Values that are no answer of the step."""

_YEAR_DIGITS = 4


class AnswerCounters:
    """The current answers to one step."""

    def __init__(self) -> None:
        self.answered = 0
        self.skipped = 0
        self.chosen: Counter[Any] = Counter()
        self.numbers = SampleArray()
        self.lengths = SampleArray()

    def count(self, step: PlannedStep | None, answers: Sequence[Any]) -> None:
        values = [answer for answer in answers if answer is not None]
        step_type = STEP_TYPES.get(step.type) if step is not None and step.type is not None else None
        self.answered += len(values)
        self.skipped += len(answers) - len(values) if step_type is None or step_type.takes_answer else 0
        if step is None or step_type is None:
            return
        if "lengths" in step_type.statistics:
            self.lengths.add([len(value) for value in values if isinstance(value, str)])
        if "numbers" in step_type.statistics:
            self.numbers.add([float(value) for value in values if _is_number(value)])
        if "labels" in step_type.statistics:
            self.chosen.update(_count_options(step_type, step.labels, values))
        if "years" in step_type.statistics:
            self.chosen.update(value[:_YEAR_DIGITS] if _is_date(value) else OTHER for value in values)

    def add(self, other: "AnswerCounters") -> None:
        self.answered += other.answered
        self.skipped += other.skipped
        self.chosen.update(other.chosen)
        self.numbers.extend(other.numbers)
        self.lengths.extend(other.lengths)


class StepCounters:
    """Counters of one step."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.microseconds = SampleArray()
        self.answers = AnswerCounters()

    def add(self, other: "StepCounters") -> None:
        self.counts.update(other.counts)
        self.microseconds.extend(other.microseconds)
        self.answers.add(other.answers)


class Counters:
    """All counters.

    Attributes:
        started_days, completed_days: by day since 1970.
        completed_by: by ("revision", its id) and ("mode", its name).
        counts: ``returns``, ``resumed``, ``unread``.
    """

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.revisions: Counter[str | None] = Counter()
        self.modes: Counter[str] = Counter()
        self.completed_by: Counter[tuple[str, str | None]] = Counter()
        self.started_days: Counter[int] = Counter()
        self.completed_days: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self.answers_by_mode: Counter[str] = Counter()
        self.duration, self.active, self.away = SampleArray(), SampleArray(), SampleArray()
        self.steps: defaultdict[str, StepCounters] = defaultdict(StepCounters)

    def add(self, other: "Counters") -> None:
        for name, own in vars(self).items():
            added = getattr(other, name)
            if isinstance(own, Counter):
                own.update(added)
            elif isinstance(own, SampleArray):
                own.extend(added)
        for step, counters in other.steps.items():
            self.steps[step].add(counters)


def _count_options(step_type: type[BaseStep], labels: Mapping[Value, str], answers: Sequence[Any]) -> Counter[Any]:
    if step_type.is_list:
        answers = list(chain.from_iterable(answer if isinstance(answer, list) else [OTHER] for answer in answers))
    # True == 1: a step accepts only one of these types.
    if not step_type.value_types.issuperset(map(type, answers)):
        answers = [answer if type(answer) in step_type.value_types else OTHER for answer in answers]
    counts = Counter(answers)  # first, because few answers differ
    others = [answer for answer in counts if answer not in labels]
    count = sum(counts.pop(answer) for answer in others)
    return counts + Counter({OTHER: count})


def _is_number(answer: object) -> bool:
    return isinstance(answer, int | float) and not isinstance(answer, bool)


def _is_date(answer: object) -> bool:
    return (
        isinstance(answer, str) and answer[:_YEAR_DIGITS].isdecimal() and answer[_YEAR_DIGITS : _YEAR_DIGITS + 1] == "-"
    )
