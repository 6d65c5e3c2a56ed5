"""Where steps lead, and which steps their rules jump over."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

from pydantic import ValidationError

from ...core import strict_json
from ..conditions import compile_conditions
from ..definition import Survey
from ..state import END
from ..step_graph import StepGraph
from ..types import STEP_TYPES, BaseStep
from ..types.info import InfoStep
from .document import Document, Path
from .findings import Findings
from .places import answer_places, step_indexes

_MAX_ROUNDS = 20
"""Of a search that takes as many as rules lead back within each other."""


def check_routes(document: Document, survey: Survey | None, findings: Findings) -> None:
    indexes = step_indexes(document)
    is_complete = _check_ids(document, indexes, findings)
    is_complete = _check_targets(document, indexes, findings) and is_complete
    _warn_of_last_ones(document, findings)
    graph = _graph(document, survey) if is_complete else None
    if graph is None:
        return
    for step_id in graph.unreachable:
        message = "no step leads here: add a rule that goes to this step, or remove it"
        findings.add(("steps", indexes[step_id], "id"), message)
    if graph.endless:
        step_id, *others = graph.endless
        others_too = f" nor from {', '.join(others[:10])}" if others else ""
        message = f"no answer leads from here to the end{others_too}: a cycle that no answer leaves"
        findings.add(("steps", indexes[step_id], "id"), message)


def _warn_of_last_ones(document: Document, findings: Findings) -> None:
    for path in (("end",), *(("steps", index, "next") for index in range(len(document.steps)))):
        conditions = [isinstance(one, dict) and "when" in one for one in document.items(path)]
        if False in conditions[:-1]:
            message = "this never applies, as what is before it has no `when` and always applies"
            place = (*path, conditions.index(False) + 1)
            findings.add(place, f"{document.place(place)}: {message}", level="warning")


def _graph(document: Document, survey: Survey | None) -> StepGraph | None:
    """Return the graph of steps that may be wrong otherwise, if that is known."""
    if survey is not None:
        return survey.graph
    steps = []
    for step in document.steps:
        if not isinstance(step, Mapping) or str(step.get("type")) not in STEP_TYPES:
            return None
        walked = {name: step[name] for name in ("id", "next", "show_if") if name in step}
        try:
            # As if there were nothing to answer, which never leads elsewhere than an answer can.
            steps.append(InfoStep.model_validate_json(strict_json.encode({"type": "info", "prompt": "?", **walked})))
        except ValidationError:
            return None
    if not steps:
        return None
    return StepGraph.build(compile_conditions(steps, ()), dict.fromkeys(step.id for step in steps))


def _check_ids(document: Document, indexes: Mapping[str, int], findings: Findings) -> bool:
    is_complete = True
    seen: dict[str, Path] = {step_id: ("steps", index, "id") for step_id, index in indexes.items()}
    for index, step_id in document.ids(("steps",)):
        if indexes[step_id] != index:
            is_complete = False
            line, _ = document.position(seen[step_id])
            findings.add(("steps", index, "id"), f"the step in line {line} has the same id")
    for index in range(len(document.steps)):
        fields: Path = ("steps", index, "fields")
        for number, field_id in document.ids(fields) if document.fields(index) else ():
            path = (*fields, number, "id")
            other = seen.setdefault(field_id, path)
            if other != path:  # the answers of both would be one
                kind = "field" if "fields" in other else "step"
                line, _ = document.position(other)
                findings.add(path, f"fields[{number}]: the {kind} in line {line} has the same id")
    return is_complete


def _check_targets(document: Document, indexes: Mapping[str, int], findings: Findings) -> bool:
    is_complete = True
    for index in range(len(document.steps)):
        for number in range(len(document.items(("steps", index, "next")))):
            path: Path = ("steps", index, "next", number, "go")
            target = document.at(path)
            if not isinstance(target, str) or target == END or target in indexes:
                continue
            is_complete = False
            field = answer_places(document).get(target)
            meant = None if field else findings.nearest(target, (*indexes, END))
            hint = f"; did you mean {meant}?" if meant else ""
            if field:
                hint = f"; it is a field of the page {document.step_id(field)}"
            findings.add(path, f"go to {target}, but there is no such step{hint}")
    return is_complete


@dataclass(frozen=True, slots=True)
class Jumps:
    """Where rules lead. Places are the indexes of steps; the end's is behind the last one."""

    rules: Mapping[int, Sequence[tuple[str | None, int]]]
    _longest: Sequence[tuple[int, int]]
    """The steps that jump, each with the last place where it leads."""

    _always: Sequence[int]
    """By place, the steps that every route to it comes to: a bit each."""

    @classmethod
    def of(cls, steps: Mapping[int, BaseStep], indexes: Mapping[str, int], count: int) -> "Jumps":
        """Return the jumps of a file; wrong steps lead to the next one."""
        places = {**indexes, END: count}
        rules = {
            index: tuple((rule.when, places[rule.go]) for rule in step.next if rule.go in places)
            for index, step in steps.items()
        }
        sources: list[list[int]] = [[] for _ in range(count + 1)]
        for index in range(count):
            step, own = steps.get(index), rules.get(index, ())
            is_left_out = step is None or step.show_if is not None
            for target in {to for _, to in own}:
                sources[target].append(index)
            if is_left_out or all(when is not None for when, _ in own):
                sources[index + 1].append(index)
        longest = [(index, max(to for _, to in own)) for index, own in rules.items() if own]
        return cls(rules, [(index, to) for index, to in longest if to > index + 1], _always_before(sources))

    def can_avoid(self, index: int, place: int) -> bool:
        return not self._always[place] >> index & 1

    def over(self, index: int) -> Iterator[int]:
        return (before for before, target in self._longest if before < index < target)


def _always_before(sources: Sequence[Sequence[int]]) -> Sequence[int]:
    """Return each place's dominators, itself included; after too many rounds there may be more."""
    always = [1, *[-1] * (len(sources) - 1)]
    for _ in range(_MAX_ROUNDS):
        found = [1]
        for place, before in enumerate(sources[1:], start=1):
            found.append(reduce(and_, (found[one] if one < place else always[one] for one in before), -1) | 1 << place)
        if found == always:
            break
        always = found
    return always
