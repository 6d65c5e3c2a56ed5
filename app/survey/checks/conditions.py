"""Whether the expressions of a survey file compile, name what is known where they are evaluated, and make sense."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..expressions import Expression, InvalidExpression, Names, StepBudget, compile_expression
from ..texts import computed
from ..types import BaseStep
from .comparisons import impossible_comparisons
from .document import Document, Path
from .findings import Findings
from .hints import calculation
from .routes import step_indexes
from .samples import MAX_STEPS_OF_FILE, failure, hides_all_options
from .structure import show_place

_AT = re.compile(r" at character (\d+)")
_UNKNOWN_NAME = re.compile(r"'(\w+)' does not exist")
_UNKNOWN_STEP = re.compile(r"answers\.(\w+) names a step that is not in the survey")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an expression stands.

    Attributes:
        step: whose expression it is; None at the end of the survey.
        index: of the step.
        field: whose value it computes; None for a condition.
        has_answer: whether there is ``answer``.
        is_early: whether it decides how the step is shown, and may only read earlier answers, by their names.
    """

    path: Path
    source: str
    step: BaseStep | None = None
    index: int = 0
    field: str | None = None
    has_answer: bool = False
    is_early: bool = False


def check_expressions(document: Document, steps: Mapping[int, BaseStep], findings: Findings) -> None:
    """Add what is wrong with expressions, and warn of steps that may have no option."""
    indexes = step_indexes(document)
    by_id = {step.id: step for index, step in steps.items() if indexes.get(step.id) == index}
    ids, known = frozenset(indexes), tuple(indexes)
    budget = StepBudget(MAX_STEPS_OF_FILE)
    options: dict[int, list[Expression]] = {}
    places = [place for index, step in steps.items() for place in _of_step(index, step)]
    for place in (*places, *_of_endings(document)):
        try:
            names = Names(answers=ids, answer=place.has_answer)
            expression = compile_expression(place.source, names)
        except InvalidExpression as error:
            _add_invalid(place, str(error), indexes, document, findings)
            continue
        for problem in _problems(place, expression, indexes, by_id, budget, findings):
            findings.add(place.path, f"{show_place(place.path, document)}: {problem}")
        if "options" in place.path:
            options.setdefault(place.index, []).append(expression)
    for index, conditions in options.items():
        is_each = len(conditions) == len(getattr(steps[index], "options", ()))
        if is_each and hides_all_options(conditions, by_id, known, budget):
            findings.add(("steps", index, "options"), "options: show_if may leave no option at all", level="warning")


def _add_invalid(
    place: _Place, message: str, indexes: Mapping[str, int], document: Document, findings: Findings
) -> None:
    without_braces, bare = computed(place.source), _UNKNOWN_NAME.match(message)
    if without_braces is not None:
        message = f"a condition has no braces; write {without_braces}"
    elif bare is not None and bare[1] in indexes:
        message = f"{bare[0]}; write answers.{bare[1]}"
    at, unknown = _AT.search(message), _UNKNOWN_STEP.fullmatch(message)
    meant = None if unknown is None else findings.nearest(unknown[1], indexes)
    hint = "" if meant is None else f"; did you mean {meant}?"
    findings.add(
        place.path,
        f"{show_place(place.path, document)}: {_AT.sub('', message)}{hint}",
        offset=None if at is None or place.field is not None else int(at[1]) - 1,
    )


def _problems(
    place: _Place,
    expression: Expression,
    indexes: Mapping[str, int],
    steps: Mapping[str, BaseStep],
    budget: StepBudget,
    findings: Findings,
) -> Iterator[str]:
    if place.is_early and expression.step_ids is None:
        yield "must name the answers that it reads, such as answers.a"
        return
    named = sorted(expression.step_ids or ()) if place.is_early else ()
    later = [step_id for step_id in named if indexes[step_id] >= place.index]
    for step_id in later:
        where = "this step" if indexes[step_id] == place.index else "a later step"
        yield f"answers.{step_id} is the answer of {where}; only earlier ones are known here"
    if later or expression.tree is None:
        return
    own = place.step if place.has_answer else None
    impossible = list(impossible_comparisons(expression.tree, own, steps, findings))
    yield from impossible
    reason = None if impossible else failure(expression, place.field, place.step, steps, tuple(indexes), budget)
    if reason is not None:
        hint = calculation(expression.tree, place.field, place.step, steps)
        yield f"this never has a value, whatever the answers are: {reason}{hint}"


def _of_step(index: int, step: BaseStep) -> Iterator[_Place]:
    path: Path = ("steps", index)
    if step.show_if is not None:
        yield _Place(path=(*path, "show_if"), source=step.show_if, step=step, index=index, is_early=True)
    for number, option in enumerate(getattr(step, "options", ())):
        if option.show_if is not None:
            at = (*path, "options", number, "show_if")
            yield _Place(path=at, source=option.show_if, step=step, index=index, is_early=True)
    for number, rule in enumerate(step.next):
        if rule.when is not None:
            at = (*path, "next", number, "when")
            yield _Place(path=at, source=rule.when, step=step, index=index, has_answer=True)
    for number, check in enumerate(step.check):
        at = (*path, "check", number, "that")
        yield _Place(path=at, source=check.that, step=step, index=index, has_answer=True)
    for field, source in step.computed.items():
        yield _Place(path=(*path, field), source=source, step=step, index=index, field=field, is_early=True)


def _of_endings(document: Document) -> Iterator[_Place]:
    endings = document.at(("end",))
    for number, ending in enumerate(endings if isinstance(endings, list) else ()):
        when = ending.get("when") if isinstance(ending, dict) else None
        if isinstance(when, str):
            yield _Place(path=("end", number, "when"), source=when)
