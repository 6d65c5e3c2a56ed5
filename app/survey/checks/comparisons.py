"""Comparisons of an expression that no answer can make true, such as with a label instead of a value."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..expressions import Binary, Index, ListOf, Literal, Loop, Name, Node, Select, Unary, number_text
from ..types import BaseStep, InvalidAnswer
from .findings import Findings

_SHOWN = 8
"""Values that a message names."""

Scalar = float | str | bool


@dataclass(frozen=True, slots=True)
class _Operand:
    """What a part of an expression reads.

    Attributes:
        name: as it is written.
        findings: which suggest what may be meant.
        is_item: whether it is one of the step's answers, which are lists.
    """

    name: str
    step: BaseStep
    findings: Findings
    is_item: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """The right steps of a file by id, and its findings."""

    steps: Mapping[str, BaseStep]
    findings: Findings


_Variables = Mapping[str, _Operand]


def impossible_comparisons(
    tree: Node, own: BaseStep | None, steps: Mapping[str, BaseStep], findings: Findings
) -> Iterator[str]:
    """Yield why comparisons can never be true.

    Args:
        own: the step whose answer is ``answer``.
        steps: those that are right, by id.
        findings: of the file.
    """
    variables = {} if own is None else {"answer": _Operand("answer", own, findings)}
    yield from dict.fromkeys(_within(tree, variables, _Known(steps, findings)))


def _within(node: Node, variables: _Variables, known: _Known) -> Iterator[str]:
    if isinstance(node, Binary) and len(node.rest) == 1:
        ((operator, right),) = node.rest
        yield from _compare(node.first, operator, right, variables, known)
    if isinstance(node, Loop):
        yield from _within(node.operand, variables, known)
        listed = _operand(node.operand, variables, known)
        items = {name: one for name, one in variables.items() if name != node.variable}
        if listed is not None and listed.step.is_list and not listed.is_item:
            items[node.variable] = _Operand(node.variable, listed.step, listed.findings, is_item=True)
        for part in node.body:
            yield from _within(part, items, known)
        return
    for part in node.parts:
        yield from _within(part, variables, known)


def _compare(left: Node, operator: str, right: Node, variables: _Variables, known: _Known) -> Iterator[str]:
    if operator in {"==", "!="}:
        for one, other in ((left, right), (right, left)):
            operand = _operand(one, variables, known)
            if operand is None:
                continue
            if isinstance(other, ListOf) and operand.step.is_list:
                operand = _item_of(operand)
            yield from _problems(operand, other.items if isinstance(other, ListOf) else (other,))
    elif operator == "in":
        operand = _operand(left, variables, known)
        if operand is not None and isinstance(right, ListOf):
            yield from _problems(operand, right.items)
        listed = _operand(right, variables, known)
        if listed is not None and listed.step.is_list and not listed.is_item:
            yield from _problems(_item_of(listed), (left,))


def _operand(node: Node, variables: _Variables, known: _Known) -> _Operand | None:
    if isinstance(node, Name):
        return variables.get(node.name)
    step_id = None
    if isinstance(node, Select) and node.operand == Name("answers") and not node.is_test:
        step_id = node.field
    elif isinstance(node, Index) and node.operand == Name("answers") and isinstance(node.key, Literal):
        step_id = node.key.value if isinstance(node.key.value, str) else None
    step = None if step_id is None else known.steps.get(step_id)
    return None if step is None else _Operand(f"answers.{step_id}", step, known.findings)


def _item_of(listed: _Operand) -> _Operand:
    return _Operand(f"an item of {listed.name}", listed.step, listed.findings, is_item=True)


def _problems(operand: _Operand, others: Iterable[Node]) -> Iterator[str]:
    for other in others:
        value = _constant(other)
        problem = None if value is None else _problem(operand, value)
        if problem is not None:
            yield problem


def _constant(node: Node) -> Scalar | None:
    if isinstance(node, Unary) and node.operator == "-":
        value = _constant(node.operand)
        return -value if isinstance(value, float) else None
    if isinstance(node, Literal) and isinstance(node.value, float | str | bool):
        return node.value
    return None


def _problem(operand: _Operand, value: Scalar) -> str | None:
    step, shown = operand.step, _show(value)
    if not step.takes_answer:
        return f"{operand.name} is never {shown}: nothing is answered there"
    if step.is_list and not operand.is_item:
        return f"{operand.name} is never {shown}: it is a list; write {shown} in {operand.name}"
    choices = tuple(step.labels())
    if not choices:
        return _refused(operand, value)
    if any(_is_equal(value, choice) for choice in choices):
        return None
    return f"{operand.name} is never {shown}{_hint(operand, value, choices)}"


def _refused(operand: _Operand, value: Scalar) -> str | None:
    """Return why a step that has too many answers to name them has not this one."""
    step, shown = operand.step, _show(value)
    if step.is_empty(value):
        return f"{operand.name} is never {shown}: an empty answer is null; compare with null"
    if type(value) not in step.value_types and not (isinstance(value, float) and int in step.value_types):
        kind = "numbers" if float in step.value_types else "texts" if str in step.value_types else "of another type"
        bare = f"; write {value}, without quotes" if isinstance(value, str) and kind == "numbers" else ""
        return f"{operand.name} is never {shown}: its answers are {kind}{bare}"
    try:
        stored = step.check_answer(value)
    except InvalidAnswer as error:
        return f"{operand.name} is never {shown}: {str(error).rstrip('.')}"
    return None if stored == value else f"{operand.name} is never {shown}: it is stored as {_show(stored)}"


def _hint(operand: _Operand, value: Scalar, choices: tuple[object, ...]) -> str:
    same = next((one for one in choices if _text(one) == _text(value)), None)
    if same is not None:
        return f": write {_show(same)}, {'with' if isinstance(same, str) else 'without'} quotes"
    labelled = next((one for one, label in operand.step.labels().items() if label == value and one != label), None)
    if labelled is not None:
        return f": that is the label; write {_show(labelled)}"
    texts = [one for one in choices if isinstance(one, str)]
    meant = operand.findings.nearest(value, texts) if isinstance(value, str) else None
    if meant is not None:
        return f"; did you mean {_show(meant)}?"
    more = ", ..." if len(choices) > _SHOWN else ""
    return f": its answers are {', '.join(map(_show, choices[:_SHOWN]))}{more}"


def _is_equal(value: Scalar, choice: object) -> bool:
    return isinstance(value, bool) == isinstance(choice, bool) and value == choice


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return number_text(value) if isinstance(value, int | float) else str(value)


def _show(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else _text(value)
