"""Whether the expressions of a survey file make sense."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from ..conditions import with_reads_of_values
from ..expressions import ANY, RESERVED_WORDS, EvaluationError, Expression, infer
from .answers import Possibilities, possible_answer
from .comparisons import impossible_comparisons
from .compiling import Compiler
from .costs import Costs
from .document import Document, Path
from .failures import failure
from .findings import Findings
from .hints import calculation, misused_answers
from .missing import MissingAnswers, hides_all_options, text_place
from .models import Model
from .places import Place, answer_places, expression_places, names_in, names_of, step_indexes
from .routes import Jumps
from .samples import ValidParts
from .structure import Structure

_CONDITIONS = frozenset({"show_if", "when"})
_EARLY = "title and description can read parameters, today and now"
_LONGEST_EXAMPLE = 80


def check_expressions(
    document: Document, structure: Structure, models: Mapping[Path, Model], findings: Findings
) -> None:
    paths = answer_places(document)
    right = dict(structure.steps_and_fields())
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
    _warn_of_empty(models, findings)
    for place, expression in _right_ones(expression_places(document, models, right), problems, findings):
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
    by_path: dict[Path, list[Expression]] = defaultdict(list)
    for path, condition in shown.items():
        if path[-2] == "options":
            by_path[path[:-1]].append(condition)
    for path, conditions in by_path.items():
        own = [shown[part] for part in {path[:2], path[:-1]} if part in shown]
        is_each = len(conditions) == len(findings.document.at(path))
        if is_each and hides_all_options(conditions, own, partial(_can_avoid, jumps, paths, int(path[1])), valid):
            message = f"{findings.document.place(path)}: show_if may leave no option at all"
            findings.add(path, message, level="warning")


def _can_avoid(jumps: Jumps, paths: Mapping[str, Path], place: int, name: str) -> bool:
    return jumps.can_avoid(int(paths[name][1]), place)


def _right_ones(
    places: Iterable[Place], problems: "_Problems", findings: Findings
) -> Iterator[tuple[Place, Expression]]:
    compiler = Compiler(findings.document, findings)
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
    source = place.source if len(place.source) <= _LONGEST_EXAMPLE else "..."
    problem = f"{{{{ {place.source} }}}} may have no value, as {missing} may be missing here"
    message = f"{document.place(place.path)}: {problem}; write coalesce({source}, '...')"
    findings.add(place.path, message, level="warning", offset=place.offset)


def _check_reserved(document: Document, findings: Findings) -> None:
    for field, noun in (("parameters", "parameter"), ("values", "value")):
        for name in RESERVED_WORDS.intersection(names_of(document, field)):
            message = f"{field}: a {noun} cannot be called {name}, which is a word of CEL"
            findings.add((field, name), message, is_key=True)


def _warn_of_empty(models: Mapping[Path, Model], findings: Findings) -> None:
    for path in models:
        part = findings.document.at(path)
        for name in _CONDITIONS & part.keys():
            if part[name] is None:
                at = findings.document.place((*path, name))
                message = f"{at}: there is no condition, so this always applies; write one, or leave out {name}"
                findings.add((*path, name), message, level="warning")


@dataclass(frozen=True, slots=True)
class _Problems:
    places: Mapping[str, Path]
    valid: ValidParts
    possible: Possibilities
    costs: Costs
    findings: Findings

    def of(self, place: Place, expression: Expression) -> Iterator[str]:
        if place.before is not None and expression.step_ids is None:
            yield "must name the answers that it reads, such as answers.a"
            return
        reads_answers = expression.step_ids != frozenset() or expression.value_names
        if place.path[0] in {"title", "description"} and reads_answers:
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
        impossible = dict.fromkeys((*comparisons, *misused_answers(expression.tree, place.step, self.valid.steps)))
        yield from impossible
        if too_late or impossible or (place.has_answer and place.step is None):
            return
        whole = with_reads_of_values(expression, self.valid.values)
        reason = failure(whole, inferred.outcome, place, self.valid)
        if reason is not None:
            hint = calculation(expression.tree, place.field, place.step, self.valid.steps)
            yield f"this never has a value, whatever the answers are: {reason}{hint}"
            return
        problem = self.costs.problem(expression, place)
        if problem is not None:
            yield problem

    def _later_values(self, place: Place, expression: Expression) -> Iterator[str]:
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
        other = self.places[step_id]
        own = place.path[: len(other)]
        if other == own:
            return "this field" if "fields" in other else "this step"
        if other[:2] != own[:2]:
            return "a later step"
        return "a later field" if place.before != own[:2] else "this page"
