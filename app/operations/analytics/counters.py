"""Counters of a part of the sessions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, Self

from ...survey import Survey, ValueFacts, value_facts
from ...survey.types import FieldStep, GridStep, PageStep, Step, Value, chosen_value
from .quantiles import Samples

OTHER = None  # values that are no answer of the step


class PlannedStep(NamedTuple):
    """A step in its newest revision, with the labels of all."""

    newest: Step | FieldStep
    labels: dict[Value, str]
    parts: "dict[str, PlannedStep]"


StepPlan = dict[str, PlannedStep]  # by id, the newest revision's first


def plan_steps(revisions: Sequence[Survey]) -> StepPlan:
    """Return the steps of revisions, newest first; older ones only add options."""
    plan: StepPlan = {}
    _add_steps(plan, chain.from_iterable(survey.steps for survey in revisions))
    return plan


def _add_steps(plan: StepPlan, steps: Iterable[Step | FieldStep]) -> None:
    for step in steps:
        planned = plan.setdefault(step.id, PlannedStep(step, {}, {}))
        if planned.newest.type == step.type:
            for value, label in step.labels().items():
                planned.labels.setdefault(value, label)
            if isinstance(step, PageStep | GridStep):
                _add_steps(planned.parts, step.parts())


ValuePlan = dict[str, ValueFacts]  # by name, the newest revision's first


def plan_values(revisions: Sequence[Survey]) -> ValuePlan:
    plan: ValuePlan = {}
    for name, (kind, texts) in chain.from_iterable(value_facts(survey).items() for survey in revisions):
        planned = plan.setdefault(name, ValueFacts(kind))
        plan[name] = planned._replace(texts=tuple(dict.fromkeys((*planned.texts, *texts))))
    return plan


class _Addable:
    def add(self, other: Self) -> None:
        for name, added in vars(other).items():
            own = getattr(self, name)
            if isinstance(own, Counter):
                own.update(added)
            elif isinstance(own, list):
                own.extend(added)
            else:
                for step, counters in added.items():
                    own[step].add(counters)


class StepCounters(_Addable):
    """Counters of one step; those of answers count only current ones."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.chosen: Counter[Any] = Counter()
        self.ranked: Counter[Any] = Counter()
        self.ranks: Counter[Any] = Counter()
        self.microseconds: Samples = []
        self.numbers: Samples = []
        self.lengths: Samples = []
        self.parts: defaultdict[str, StepCounters] = defaultdict(StepCounters)

    def count_answers(self, planned: PlannedStep | None, answers: Sequence[Any]) -> None:
        values = [answer for answer in answers if answer is not None]
        self.counts["given"] += len(values)
        if planned is None or planned.newest.takes_answer:
            self.counts["skipped"] += len(answers) - len(values)
        statistics = planned.newest.statistics if planned is not None else ()
        if "lengths" in statistics:
            self.lengths.append([len(value) for value in values if isinstance(value, str)])
        if "numbers" in statistics:
            self.numbers.append([float(value) for value in values if _is_number(value)])
        if "labels" in statistics and planned is not None:
            self.chosen.update(_count_options(planned, values))
        if "years" in statistics:
            self.chosen.update(value[:4] if _is_date(value) else OTHER for value in values)
        if "hours" in statistics:
            self.chosen.update(value[:2] if _is_time(value) else OTHER for value in values)
        if planned is not None:
            self._count_ranks(planned, values)
            self._count_parts(planned, values)

    def _count_parts(self, planned: PlannedStep, answers: Sequence[Any]) -> None:
        for part, asked in planned.parts.items():
            given = [answer[part] for answer in answers if isinstance(answer, Mapping) and part in answer]
            self.parts[part].count_answers(asked, given)

    def count_values(self, planned: ValueFacts, values: Sequence[Any]) -> None:
        known = [value for value in values if value is not None]
        self.counts["given"] += len(known)
        self.counts["skipped"] += len(values) - len(known)
        self.numbers.append([float(value) for value in known if _is_number(value)])
        named = frozenset(planned.texts)
        others = (value for value in known if not _is_number(value))
        self.chosen.update(
            value if isinstance(value, bool) or (isinstance(value, str) and value in named) else OTHER
            for value in others
        )

    def _count_ranks(self, planned: PlannedStep, rankings: Sequence[Any]) -> None:
        if "ranks" not in planned.newest.statistics:
            return
        firsts = [ranking[:1] if isinstance(ranking, list) else OTHER for ranking in rankings]
        self.chosen.update(_count_options(planned, firsts))
        for ranking in rankings:
            for rank, option in enumerate(ranking if isinstance(ranking, list) else (), start=1):
                if type(option) in planned.newest.value_types and option in planned.labels:
                    self.ranked[option] += 1
                    self.ranks[option] += rank


class Counters(_Addable):
    """Counters of all sessions, by day since 1970 or with the status."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.modes: Counter[tuple[str, str]] = Counter()
        self.revisions: Counter[tuple[str | None, str]] = Counter()
        self.languages: Counter[tuple[str | None, str]] = Counter()
        self.started_days: Counter[int] = Counter()
        self.completed_days: Counter[int] = Counter()
        self.answers_by_mode: Counter[str] = Counter()
        self.duration: Samples = []
        self.active: Samples = []
        self.away: Samples = []
        self.steps: defaultdict[str, StepCounters] = defaultdict(StepCounters)
        self.values: defaultdict[str, StepCounters] = defaultdict(StepCounters)


def _count_options(planned: PlannedStep, answers: Sequence[Any]) -> Counter[Any]:
    step, labels = planned.newest, planned.labels
    if step.is_list:
        answers = list(chain.from_iterable(answer if isinstance(answer, list) else [OTHER] for answer in answers))
    # True == 1: a step accepts only one of these types.
    if not step.value_types.issuperset(map(type, answers)):
        values = map(chosen_value, answers)
        answers = [value if type(value) in step.value_types else OTHER for value in values]
    counts = Counter(answers)  # first, because few answers differ
    others = [answer for answer in counts if answer not in labels]
    count = sum(counts.pop(answer) for answer in others)
    return counts + Counter({OTHER: count})


def _is_number(answer: object) -> bool:
    return isinstance(answer, int | float) and not isinstance(answer, bool)


def _is_time(answer: object) -> bool:
    return isinstance(answer, str) and answer[:2].isdecimal() and answer[2:3] == ":"


def _is_date(answer: object) -> bool:
    return isinstance(answer, str) and answer[:4].isdecimal() and answer[4:5] == "-"
