"""Whether the expressions of a survey file compile, name what is known where they are evaluated, and make sense."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..conditions import with_reads_of_values
from ..expressions import (
    ANY,
    RESERVED_WORDS,
    EvaluationError,
    Expression,
    InvalidExpression,
    compile_expression,
    infer,
)
from ..texts import computed
from .answers import Possibilities, possible_answer
from .comparisons import impossible_comparisons
from .costs import Costs
from .document import Document, Path
from .failures import failure
from .findings import Findings
from .hints import calculation, without_options
from .insertions import places_of_insertions, text_place
from .jumps import Jumps
from .missing import MissingAnswers
from .models import Model
from .options import hides_all_options
from .parts import ValidParts, with_fields
from .places import (
    Place,
    answer_places,
    names_in,
    names_of,
    places_of_endings,
    places_of_steps,
    places_of_values,
    step_indexes,
)
from .structure import Structure

_SHOWN = 5
"""Fields that a message names."""

_AT = re.compile(r" at character (\d+)")
_UNKNOWN_NAME = re.compile(r"'(\w+)' does not exist")
_UNKNOWN_MEMBER = re.compile(r"(answers|parameters|values)\.(\w+) names a \w+ that is not in the survey")
_MEMBERS = ("answers", "parameters", "values")

_CONSTANTS = {"True": "true", "False": "false", "None": "null", "NULL": "null", "undefined": "null"}
"""Of other languages."""

_EARLY = "title and description can read parameters, today and now"
_LONGEST_EXAMPLE = 80
_NOUNS = {"parameters": "parameter", "values": "value"}


def check_expressions(
    document: Document, structure: Structure, models: Mapping[Path, Model], findings: Findings
) -> None:
    """Add what is wrong with expressions, and warn of steps without options and insertions without a value."""
    paths = answer_places(document)
    right = dict(with_fields(structure.steps))
    by_id = {one.id: one for path, one in right.items() if paths.get(one.id) == path}
    valid = ValidParts(steps=by_id, ids=tuple(paths), parameters=structure.parameters)
    possible = Possibilities(by_id, structure.parameters)
    problems = _Problems(paths, valid, possible, Costs(valid, possible), findings)
    jumps = Jumps.of(structure.steps, step_indexes(document), len(document.steps))
    missing = MissingAnswers(
        valid=valid,
        steps=() if structure.survey is None else structure.survey.steps,
        indexes={name: int(path[1]) for name, path in paths.items()},
        names=replace(names_in(document), answer=True),
        jumps=jumps,
    )
    shown: dict[Path, Expression] = {}
    _check_reserved(document, findings)
    places = (
        *places_of_values(document),
        *places_of_steps(document, right),
        *places_of_endings(document),
        *places_of_insertions(document, models, right),
    )
    for place, expression in _right_ones(places, problems, findings):
        if place.value is not None:
            valid.values[place.value] = with_reads_of_values(expression, valid.values)
        elif place.offset is not None and structure.survey is not None:
            _warn_of_missing(document, place, missing.find(expression, text_place(document, place)), findings)
        elif place.path[-1] == "show_if":
            shown[place.path[:-1]] = with_reads_of_values(expression, valid.values)
    _warn_of_options(shown, paths, jumps, valid, findings)


def _warn_of_options(
    shown: Mapping[Path, Expression], paths: Mapping[str, Path], jumps: Jumps, valid: ValidParts, findings: Findings
) -> None:
    by_path: dict[Path, list[Expression]] = {}
    for path, condition in shown.items():
        if path[-2] == "options":
            by_path.setdefault(path[:-1], []).append(condition)
    for path, conditions in by_path.items():
        own = [shown[part] for part in {path[:2], path[:-1]} if part in shown]
        avoidable = {name for name, at in paths.items() if jumps.can_avoid(int(at[1]), int(path[1]))}
        is_each = len(conditions) == len(findings.document.at(path))
        if is_each and hides_all_options(conditions, own, avoidable, valid):
            message = f"{findings.document.place(path)}: show_if may leave no option at all"
            findings.add(path, message, level="warning")


def _right_ones(
    places: Iterable[Place], problems: "_Problems", findings: Findings
) -> Iterator[tuple[Place, Expression]]:
    """Yield the expressions that have no problem; add the problems of the others."""
    compiler = _Compiler(findings.document, findings)
    for place in places:
        expression = compiler.compile(place)
        found = [] if expression is None else [*problems.of(place, expression)]
        for problem in found:
            findings.add(place.path, f"{findings.document.place(place.path)}: {problem}", offset=place.offset)
        if expression is not None and not found:
            yield place, expression


def _warn_of_missing(document: Document, place: Place, missing: str | None, findings: Findings) -> None:
    if missing is None:
        return
    inserted, written = f"{{{{ {place.source} }}}}", document.place(place.path)
    source = place.source if len(place.source) <= _LONGEST_EXAMPLE else "..."
    hint = f"write coalesce({source}, '...')"
    problem = f"{written}: {inserted} may have no value, as {missing} may be missing here; {hint}"
    findings.add(place.path, problem, level="warning", offset=place.offset)


def _check_reserved(document: Document, findings: Findings) -> None:
    for field, noun in _NOUNS.items():
        for name in names_of(document, field):
            if name in RESERVED_WORDS:
                message = f"{field}: a {noun} cannot be called {name}, which is a word of CEL"
                findings.add((field, name), message, is_key=True)


class _Compiler:
    def __init__(self, document: Document, findings: Findings) -> None:
        self._document = document
        self._findings = findings
        self._names = names_in(document)

    def compile(self, place: Place) -> Expression | None:
        """Return the compiled expression; add what is wrong with it. What is not in the survey may be in it."""
        try:
            return compile_expression(
                place.source, replace(self._names, answer=place.has_answer, texts=place.offset is not None)
            )
        except InvalidExpression as error:
            messages = error.args
        for message in messages:
            self._add_invalid(place, message)
        unknown = [found for message in messages if (found := _UNKNOWN_MEMBER.fullmatch(message))]
        answers, parameters, values = (
            frozenset(found[2] for found in unknown if found[1] == mapping) for mapping in _MEMBERS
        )
        names = replace(
            self._names,
            answer=place.has_answer,
            texts=place.offset is not None,
            answers=self._names.answers | answers,
            parameters=self._names.parameters | parameters,
            values=self._names.values | values,
        )
        try:
            return compile_expression(place.source, names)
        except InvalidExpression:
            return None

    def _add_invalid(self, place: Place, message: str) -> None:
        without_braces, bare = computed(place.source), _UNKNOWN_NAME.match(message)
        if place.offset is not None and not place.source:
            message = f"an insertion needs an expression, such as answers.{self._example(place)}"
        elif without_braces is not None:
            message = f"{'a condition' if place.is_condition else 'a value'} has no braces; write {without_braces}"
        elif bare is not None:
            message = self._unknown(bare[1], place, message)
        at, unknown = _AT.search(message), _UNKNOWN_MEMBER.fullmatch(message)
        parts = None if unknown is None or unknown[1] != "answers" else _parts_of(unknown[2], self._document)
        if parts is not None:
            message, unknown = parts, None
        meant = None if unknown is None else self._findings.nearest(unknown[2], getattr(self._names, unknown[1]))
        hint = "" if meant is None else f"; did you mean {meant}?"
        offset = place.offset
        if at is not None and place.field is None:
            offset = (offset or 0) + int(at[1]) - 1
        problem = f"{self._document.place(place.path)}: {_AT.sub('', message)}{hint}"
        self._findings.add(place.path, problem, offset=offset)

    def _unknown(self, name: str, place: Place, message: str) -> str:
        if name in _NOUNS:
            return f"the survey has no {name}"
        mapping = next((mapping for mapping in _MEMBERS if name in getattr(self._names, mapping)), None)
        problem = f"{name!r} does not exist"
        if mapping is not None:
            return f"{problem}; write {mapping}.{name}"
        if name == "answer":
            return f"{problem} here; write answers and the id of the step, such as answers.{self._example(place)}"
        meant = _CONSTANTS.get(name) or next(
            (one for one in self._names.variables if one in {name.lower(), f"{name.lower()}s"}), None
        )
        return f'{message}; write "{name}" for a text' if meant is None else f"{problem}; did you mean {meant}?"

    def _example(self, place: Place) -> str:
        own = None if place.step is None else place.step.id
        if own is not None and "check" in place.path:
            return own
        return min(self._names.answers - {own}, default="a")


def _parts_of(name: str, document: Document) -> str | None:
    """Return what to write instead of the answer of a page, or of a row of a grid; None if there is none."""
    index = step_indexes(document).get(name)
    names = [] if index is None else [f"answers.{field}" for field in _ids(document.fields(index))]
    if names:
        shown = ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])
        return f"answers.{name} is a page; write the answer of a field: {shown}"
    for step_id, index in step_indexes(document).items():
        if name in _ids(document.at(("steps", index, "rows"))):
            return f"{name} is a row of the grid {step_id}; write answers.{step_id}.{name}"
    return None


def _ids(parts: object) -> list[str]:
    """Return the ids of fields or rows, of those that are right."""
    ids = [part.get("id") for part in (parts if isinstance(parts, list) else ()) if isinstance(part, Mapping)]
    return [one for one in ids if isinstance(one, str)]


@dataclass(frozen=True, slots=True)
class _Problems:
    places: Mapping[str, Path]
    valid: ValidParts
    possible: Possibilities
    costs: Costs
    findings: Findings

    def of(self, place: Place, expression: Expression) -> Iterator[str]:
        """Yield what is wrong with an expression that compiles."""
        if place.before is not None and expression.step_ids is None:
            yield "must name the answers that it reads, such as answers.a"
            return
        if place.is_before_answers and (expression.step_ids != frozenset() or expression.value_names):
            yield f"answers and values are not known before the first question; {_EARLY}"
            return
        too_late = [*(self._later_values(place, expression)), *(self._later(place, expression))]
        yield from too_late
        if expression.tree is None:
            return
        own = (possible_answer(place.step, "answer"),) if place.has_answer and place.step is not None else (ANY,)
        inferred = infer(expression.tree, self.possible.of, own, self.valid.budget)
        if place.value is not None and not too_late and not isinstance(inferred.outcome, EvaluationError):
            self.possible.add_value(place.value, inferred.outcome)
        comparisons = impossible_comparisons(inferred.comparisons, self.findings)
        impossible = dict.fromkeys((*comparisons, *without_options(expression.tree, self.valid.steps)))
        yield from impossible
        if too_late or impossible or (place.has_answer and place.step is None):
            return
        whole = with_reads_of_values(expression, self.valid.values)
        reason = failure(whole, inferred.outcome, place.field, place.step, self.valid, is_condition=place.is_condition)
        if reason is not None:
            hint = calculation(expression.tree, place.field, place.step, self.valid.steps)
            yield f"this never has a value, whatever the answers are: {reason}{hint}"
            return
        kind, step = place.evaluated_with
        problem = self.costs.problem(expression, place.step, kind=kind, step=step, value=place.value)
        if problem is not None:
            yield problem

    def _later_values(self, place: Place, expression: Expression) -> Iterator[str]:
        """Yield which values a value reads that are not computed before it."""
        if place.value is None:
            return
        order = names_of(self.findings.document, "values")
        before = order[: order.index(place.value)]
        if expression.value_names.issuperset(order):
            yield f"must name the values that it reads, such as values.{order[0]}"
            return
        for name in sorted(expression.value_names.intersection(order).difference(before)):
            which = "is this value itself" if name == place.value else "is computed after this one"
            yield f"values.{name} {which}; a value can read only those before it"

    def _later(self, place: Place, expression: Expression) -> Iterator[str]:
        """Yield which answers decide how a step is shown, and are not known before it."""
        if place.before is None:
            return
        for step_id in self._not_before(place, expression):
            yield f"answers.{step_id} is the answer of {self._which(step_id, place)}; only earlier ones are known here"
        for name in sorted(expression.value_names & self.valid.values.keys()):
            value = self.valid.values[name]
            if value.step_ids is None:
                yield f"values.{name} must name the answers that it reads, such as answers.a, to be read here"
            for step_id in self._not_before(place, value):
                which = f"values.{name} reads answers.{step_id}, the answer of {self._which(step_id, place)}"
                yield f"{which}; only earlier ones are known here"

    def _not_before(self, place: Place, expression: Expression) -> list[str]:
        read = sorted(expression.step_ids or ())
        return [step_id for step_id in read if self.places.get(step_id, ()) >= (place.before or ())]

    def _which(self, step_id: str, place: Place) -> str:
        return _where(self.places[step_id], place)


def _where(other: Path, place: Place) -> str:
    own = place.path[: len(other)]
    if other == own:
        return "this field" if "fields" in other else "this step"
    if other[:2] != own[:2]:
        return "a later step"
    return "a later field" if place.before != own[:2] else "this page"
