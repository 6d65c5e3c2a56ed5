"""Whether the expressions of a survey file compile, name what is known where they are evaluated, and make sense."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..expressions import ANY, Expression, InvalidExpression, Names, Possible, StepBudget, compile_expression, infer
from ..texts import computed
from ..types import STEP_TYPES, BaseStep
from .answers import possible_answer, possible_answers
from .comparisons import impossible_comparisons
from .costs import Costs
from .document import Document, Path
from .failures import MAX_STEPS_OF_FILE, Known, failure
from .findings import Findings
from .hints import calculation
from .options import first_landings, hides_all_options
from .routes import step_indexes

_AT = re.compile(r" at character (\d+)")
_UNKNOWN_NAME = re.compile(r"'(\w+)' does not exist")
_UNKNOWN_STEP = re.compile(r"answers\.(\w+) names a step that is not in the survey")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where an expression stands.

    Attributes:
        step: whose expression it is; None at the end of the survey, and where the step is wrong.
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

    @property
    def evaluated_with(self) -> tuple[str, int | None]:
        """What one command evaluates together with this, and for which step, if not for all."""
        if self.path[0] == "end":
            return "endings", None
        is_of_route = self.field is None and "check" not in self.path
        return ("conditions of the route", None) if is_of_route else ("expressions of the step", self.index)


def check_expressions(document: Document, steps: Mapping[int, BaseStep], findings: Findings) -> None:
    """Add what is wrong with expressions, and warn of steps that may have no option."""
    indexes = step_indexes(document)
    by_id = {step.id: step for index, step in steps.items() if indexes.get(step.id) == index}
    known = Known(steps=by_id, ids=tuple(indexes), budget=StepBudget(MAX_STEPS_OF_FILE))
    answers = possible_answers(by_id)
    problems = _Problems(indexes, known, answers, Costs(known, answers), findings)
    options: dict[int, list[Expression]] = {}
    for place in (*_of_steps(document, steps), *_of_endings(document)):
        expression = _compile(place, indexes, document, findings)
        if expression is None:
            continue
        found = [*problems.of(place, expression)]
        for problem in found:
            findings.add(place.path, f"{document.place(place.path)}: {problem}")
        if "options" in place.path and not found:
            options.setdefault(place.index, []).append(expression)
    landings = first_landings(steps, indexes)
    for index, conditions in options.items():
        is_each = len(conditions) == len(document.at(("steps", index, "options")))
        if is_each and hides_all_options(conditions, landings, index, known):
            findings.add(("steps", index, "options"), "options: show_if may leave no option at all", level="warning")


def _compile(place: _Place, indexes: Mapping[str, int], document: Document, findings: Findings) -> Expression | None:
    """Return the compiled expression; add what is wrong with it. Steps that are not in the survey may be in it."""
    names = Names(answers=frozenset(indexes), answer=place.has_answer)
    try:
        return compile_expression(place.source, names)
    except InvalidExpression as error:
        messages = error.args
    for message in messages:
        _add_invalid(place, message, indexes, document, findings)
    unknown = {found[1] for message in messages if (found := _UNKNOWN_STEP.fullmatch(message))}
    try:
        return compile_expression(place.source, replace(names, answers=names.answers | unknown))
    except InvalidExpression:
        return None


def _add_invalid(
    place: _Place, message: str, indexes: Mapping[str, int], document: Document, findings: Findings
) -> None:
    without_braces, bare = computed(place.source), _UNKNOWN_NAME.match(message)
    if without_braces is not None:
        message = f"a condition has no braces; write {without_braces}"
    elif bare is not None:
        is_step = bare[1] in indexes
        message = f"{bare[0]}; write answers.{bare[1]}" if is_step else f'{message}; write "{bare[1]}" for a text'
    at, unknown = _AT.search(message), _UNKNOWN_STEP.fullmatch(message)
    meant = None if unknown is None else findings.nearest(unknown[1], indexes)
    hint = "" if meant is None else f"; did you mean {meant}?"
    findings.add(
        place.path,
        f"{document.place(place.path)}: {_AT.sub('', message)}{hint}",
        offset=None if at is None or place.field is not None else int(at[1]) - 1,
    )


@dataclass(frozen=True, slots=True)
class _Problems:
    indexes: Mapping[str, int]
    known: Known
    answers: Callable[[str], Possible]
    costs: Costs
    findings: Findings

    def of(self, place: _Place, expression: Expression) -> Iterator[str]:
        """Yield what is wrong with an expression that compiles."""
        if place.is_early and expression.step_ids is None:
            yield "must name the answers that it reads, such as answers.a"
            return
        named = sorted(expression.step_ids or ()) if place.is_early else ()
        later = [step_id for step_id in named if self.indexes.get(step_id, -1) >= place.index]
        for step_id in later:
            where = "this step" if self.indexes[step_id] == place.index else "a later step"
            yield f"answers.{step_id} is the answer of {where}; only earlier ones are known here"
        if expression.tree is None:
            return
        own = (possible_answer(place.step, "answer"),) if place.has_answer and place.step is not None else (ANY,)
        inferred = infer(expression.tree, self.answers, own, self.known.budget)
        impossible = dict.fromkeys(impossible_comparisons(inferred.comparisons, self.findings))
        yield from impossible
        if later or impossible or (place.has_answer and place.step is None):
            return
        reason = failure(expression, inferred.outcome, place.field, place.step, self.known)
        if reason is not None:
            hint = calculation(expression.tree, place.field, place.step, self.known.steps)
            yield f"this never has a value, whatever the answers are: {reason}{hint}"
            return
        kind, step = place.evaluated_with
        problem = self.costs.problem(expression, place.step, kind=kind, step=step)
        if problem is not None:
            yield problem


def _of_steps(document: Document, steps: Mapping[int, BaseStep]) -> Iterator[_Place]:
    for index, step in enumerate(document.steps):
        if isinstance(step, Mapping):
            yield from _of_step(document, index, step, steps.get(index))


def _of_step(document: Document, index: int, step: Mapping[str, Any], right: BaseStep | None) -> Iterator[_Place]:
    path: Path = ("steps", index)
    early = (*_conditions(document, path, "show_if"), *_listed(document, (*path, "options"), "show_if"))
    late = (*_listed(document, (*path, "next"), "when"), *_listed(document, (*path, "check"), "that"))
    for at, source in early:
        yield _Place(path=at, source=source, step=right, index=index, is_early=True)
    for at, source in late:
        yield _Place(path=at, source=source, step=right, index=index, has_answer=True)
    for field in STEP_TYPES.get(str(step.get("type")), BaseStep).computable:
        expression = computed(step.get(field))
        if expression is not None:
            at = (*path, field)
            yield _Place(path=at, source=expression, step=right, index=index, field=field, is_early=True)


def _of_endings(document: Document) -> Iterator[_Place]:
    for path, source in _listed(document, ("end",), "when"):
        yield _Place(path=path, source=source)


def _listed(document: Document, path: Path, name: str) -> Iterator[tuple[Path, str]]:
    """Yield the conditions of the items of a list."""
    items = document.at(path)
    for number in range(len(items) if isinstance(items, list) else 0):
        yield from _conditions(document, (*path, number), name)


def _conditions(document: Document, path: Path, name: str) -> Iterator[tuple[Path, str]]:
    condition = document.at((*path, name))
    if isinstance(condition, str | bool):
        yield (*path, name), str(condition).lower() if isinstance(condition, bool) else condition
