"""Whether steps lead to each other and to the end."""

from collections.abc import Mapping

from pydantic import ValidationError

from ...core import strict_json
from ..conditions import compile_conditions
from ..definition import Survey
from ..state import END
from ..step_graph import StepGraph
from ..types import STEP_TYPES
from ..types.info import InfoStep
from .document import Document, Path
from .findings import Findings
from .places import answer_places, step_indexes


def check_routes(document: Document, survey: Survey | None, findings: Findings) -> None:
    indexes = step_indexes(document)
    is_complete = _check_ids(document, indexes, findings)
    is_complete = _check_targets(document, indexes, findings) and is_complete
    _warn_of_last_ones(document, findings)
    graph = _graph(document, survey) if is_complete else None
    if graph is None:
        return
    for step_id in graph.unreachable:
        findings.add(
            ("steps", indexes[step_id], "id"),
            "no step leads here: add a rule that goes to this step, or remove it",
        )
    if graph.endless:
        step_id, *others = graph.endless
        others_too = f" nor from {', '.join(others[:10])}" if others else ""
        findings.add(
            ("steps", indexes[step_id], "id"),
            f"no answer leads from here to the end{others_too}: a cycle that no answer leaves",
        )


def _warn_of_last_ones(document: Document, findings: Findings) -> None:
    for path in (("end",), *(("steps", index, "next") for index in range(len(document.steps)))):
        items = document.at(path)
        conditions = [isinstance(one, dict) and "when" in one for one in (items if isinstance(items, list) else ())]
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


def _check_ids(document: Document, indexes: dict[str, int], findings: Findings) -> bool:
    is_complete = True
    for index, step in enumerate(document.steps):
        step_id = step.get("id") if isinstance(step, dict) else None
        if isinstance(step_id, str) and indexes[step_id] != index:
            is_complete = False
            line, _ = document.position(("steps", indexes[step_id], "id"))
            findings.add(("steps", index, "id"), f"the step in line {line} has the same id")
    _check_fields(document, indexes, findings)
    return is_complete


def _check_fields(document: Document, indexes: Mapping[str, int], findings: Findings) -> None:
    seen: dict[str, Path] = {step_id: ("steps", index, "id") for step_id, index in indexes.items()}
    for index in range(len(document.steps)):
        for number, field in enumerate(document.fields(index)):
            path: Path = ("steps", index, "fields", number, "id")
            field_id = field.get("id") if isinstance(field, dict) else None
            other = seen.setdefault(field_id, path) if isinstance(field_id, str) else path
            if other != path:
                kind = "field" if "fields" in other else "step"
                line, _ = document.position(other)
                findings.add(path, f"fields[{number}]: the {kind} in line {line} has the same id")


def _check_targets(document: Document, indexes: dict[str, int], findings: Findings) -> bool:
    is_complete = True
    for index, step in enumerate(document.steps):
        rules = step.get("next") if isinstance(step, dict) else None
        for number, rule in enumerate(rules if isinstance(rules, list) else ()):
            target = rule.get("go") if isinstance(rule, dict) else None
            if isinstance(target, str) and target != END and target not in indexes:
                is_complete = False
                field = answer_places(document).get(target)
                meant = None if field else findings.nearest(target, (*indexes, END))
                hint = f"; did you mean {meant}?" if meant else ""
                if field:
                    hint = f"; it is a field of the page {document.step_id(field)}"
                findings.add(("steps", index, "next", number, "go"), f"go to {target}, but there is no such step{hint}")
    return is_complete
