"""What is counted of a part of the sessions; tallies of parts are added up to that of all."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from ...survey.types import STEP_TYPES, BaseStep, Value
from .plan import PlannedStep
from .quantiles import Values

OTHER = None
"""Stands in a distribution for every answer that is none of the step's: it may be a text."""

_YEAR_DIGITS = 4


class AnswerTally:
    """The present answers to one step."""

    def __init__(self) -> None:
        self.given = 0
        self.skipped = 0
        self.chosen: Counter[Any] = Counter()
        self.numbers = Values()
        self.lengths = Values()

    def count(self, step: PlannedStep | None, answers: Sequence[Any]) -> None:
        """Count some answers; of a step that is not planned no more than how many."""
        given = [answer for answer in answers if answer is not None]
        kind = STEP_TYPES.get(step.type) if step is not None and step.type is not None else None
        self.given += len(given)
        self.skipped += len(answers) - len(given) if kind is None or kind.takes_answer else 0
        if step is None or kind is None:
            return
        if "lengths" in kind.statistics:
            self.lengths.add([len(answer) for answer in given if isinstance(answer, str)])
        if "numbers" in kind.statistics:
            self.numbers.add([float(answer) for answer in given if _is_number(answer)])
        if "labels" in kind.statistics:
            self.chosen.update(_choices(kind, step.labels, given))
        if "years" in kind.statistics:
            self.chosen.update(answer[:_YEAR_DIGITS] if _is_date(answer) else OTHER for answer in given)

    def add(self, other: "AnswerTally") -> None:
        """Add another's."""
        self.given += other.given
        self.skipped += other.skipped
        self.chosen.update(other.chosen)
        self.numbers.extend(other.numbers)
        self.lengths.extend(other.lengths)


class StepTally:
    """One step."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.microseconds = Values()
        self.answers = AnswerTally()

    def add(self, other: "StepTally") -> None:
        """Add another's."""
        self.counts.update(other.counts)
        self.microseconds.extend(other.microseconds)
        self.answers.add(other.answers)


class Tally:
    """All that is counted.

    Attributes:
        statuses, revisions, modes, began_days, completed_days: sessions by these; ``completed_by`` of them those that
            are completed, by ("revision", its id) and ("mode", its name); days since 1970.
        counts: ``returns``, ``resumed``, ``unread``.
        answers_by_mode: ``answered`` events by the mode of the session.
    """

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.revisions: Counter[str | None] = Counter()
        self.modes: Counter[str] = Counter()
        self.completed_by: Counter[tuple[str, str | None]] = Counter()
        self.began_days: Counter[int] = Counter()
        self.completed_days: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self.answers_by_mode: Counter[str] = Counter()
        self.duration, self.active, self.away = Values(), Values(), Values()
        self.steps: defaultdict[str, StepTally] = defaultdict(StepTally)

    def add(self, other: "Tally") -> None:
        """Add another's."""
        for name, own in vars(self).items():
            found = getattr(other, name)
            if isinstance(own, Counter):
                own.update(found)
            elif isinstance(own, Values):
                own.extend(found)
        for step, tally in other.steps.items():
            self.steps[step].add(tally)


def _choices(kind: type[BaseStep], labels: Mapping[Value, str], answers: Sequence[Any]) -> Counter[Any]:
    """Return how often each answer was chosen, counted first and judged then: there are few different ones."""
    if kind.is_list:
        answers = list(chain.from_iterable(answer if isinstance(answer, list) else [OTHER] for answer in answers))
    # To Python, True is 1: only one of them can be meant.
    if not kind.value_types.issuperset(map(type, answers)):
        answers = [answer if type(answer) in kind.value_types else OTHER for answer in answers]
    found = Counter(answers)
    others = [answer for answer in found if answer not in labels]
    count = sum(found.pop(answer) for answer in others)
    return found + Counter({OTHER: count})


def _is_number(answer: object) -> bool:
    return isinstance(answer, int | float) and not isinstance(answer, bool)


def _is_date(answer: object) -> bool:
    return (
        isinstance(answer, str) and answer[:_YEAR_DIGITS].isdecimal() and answer[_YEAR_DIGITS : _YEAR_DIGITS + 1] == "-"
    )
