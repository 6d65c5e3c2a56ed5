"""Python functions that evaluate the parts of an expression."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .frame import MADE, OPERATOR_STEPS, SCOPE, STEPS, Evaluate, Frame, OutOfSteps, Scope, length, spend
from .values import OPERATORS, SCALARS, EvaluationError, from_json, is_other, item_at, type_name


def member(mapping: str, name: str) -> Evaluate:
    index = Scope._fields.index(mapping)
    return lambda frame: _converted(frame, (index, name), frame[SCOPE][index].get(name))


def _converted(frame: Frame, key: object, value: Any) -> Any:  # noqa: ANN401 - any value
    """Convert JSON data, a list once an evaluation."""
    if value is None or type(value) in SCALARS:
        return value
    made = frame[MADE]
    if key not in made:
        made[key] = from_json(value)
    return made[key]


def _all_answers(frame: Frame) -> Any:  # noqa: ANN401 - any value
    scope: Scope = frame[SCOPE]
    made = frame[MADE]
    if "answers" not in made:
        spend(frame, len(scope.all_ids))
        made["answers"] = {step: from_json(scope.answers.get(step)) for step in scope.all_ids}
    return made["answers"]


def _time(length: int) -> Evaluate:
    def read(frame: Frame) -> str:
        now: str | None = frame[SCOPE].now
        if now is None:
            raise EvaluationError("the time is not known here")
        return now[:length]

    return read


VARIABLES_OF_SCOPE: Mapping[str, Evaluate] = {
    "answers": _all_answers,
    "answer": lambda frame: _converted(frame, "answer", frame[SCOPE].answer),
    "parameters": lambda frame: _converted(frame, "parameters", frame[SCOPE].parameters),
    "values": lambda frame: _converted(frame, "values", frame[SCOPE].values),
    "today": _time(len("2026-01-31")),
    "now": _time(len("2026-01-31T12:00")),
}


def selected(operand: Evaluate, field: str) -> Evaluate:
    return lambda frame: item_at(operand(frame), field)


def looked_up(operand: Evaluate, key: Evaluate) -> Evaluate:
    return lambda frame: _found(frame, operand(frame), key(frame))


def _found(frame: Frame, collection: object, key: object) -> Any:  # noqa: ANN401 - any value
    if type(key) is not str:
        spend(frame, length(collection))
    return item_at(collection, key)


def called(function: Callable[..., Any], arguments: list[Evaluate], *, reads_all: bool) -> Evaluate:
    if len(arguments) == 1 and not reads_all:
        (argument,) = arguments
        return lambda frame: function(argument(frame))

    def evaluate(frame: Frame) -> Any:  # noqa: ANN401 - any value
        values = [argument(frame) for argument in arguments]
        for value in values:
            if type(value) is not float:
                spend(frame, length(value))
        return function(*values)

    return evaluate


def conditional(cases: list[tuple[Evaluate, Evaluate]], otherwise: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> Any:  # noqa: ANN401 - any value
        for when, then in cases:
            if _boolean(when(frame)):
                return then(frame)
        return otherwise(frame)

    return evaluate


def chained(first: Evaluate, rest: list[tuple[str, Evaluate]]) -> Evaluate:
    steps = [(OPERATORS[operator], OPERATOR_STEPS.get(operator), operand) for operator, operand in rest]
    if len(steps) == 1 and steps[0][1] is None:
        ((apply_one, _, second),) = steps
        return lambda frame: apply_one(first(frame), second(frame))

    def evaluate(frame: Frame) -> Any:  # noqa: ANN401 - any value
        value = first(frame)
        for apply, count, operand in steps:
            other = operand(frame)
            if count is not None:
                spend(frame, count(frame, value, other))
            value = apply(value, other)
        return value

    return evaluate


def has_field(operand: Evaluate, field: str) -> Evaluate:
    def test(frame: Frame) -> bool:
        collection = operand(frame)
        if type(collection) is dict:
            return field in collection
        raise EvaluationError(f"a {type_name(collection)} has no fields")

    return test


def indexed(operand: Evaluate, number: float) -> Evaluate:
    index = int(number)

    def evaluate(frame: Frame) -> Any:  # noqa: ANN401 - any value
        collection = operand(frame)
        if type(collection) is not list:
            return _found(frame, collection, number)  # of a map with numbers as keys
        if index < len(collection):
            return collection[index]
        raise EvaluationError("the list is shorter")

    return evaluate


def _boolean(value: object) -> bool:
    if value is True:
        return True
    if value is False:
        return False
    raise EvaluationError(f"a {type_name(value)} is not true or false")


def negated(operand: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> float:
        value = operand(frame)
        if type(value) is float:
            return -value
        raise EvaluationError(f"a {type_name(value)} cannot be negative")

    return evaluate


def inverted(operand: Evaluate) -> Evaluate:
    return lambda frame: not _boolean(operand(frame))


def compared(operand: Evaluate, constant: object, *, is_equal: bool) -> Evaluate:
    kind = type(constant)

    def evaluate(frame: Frame) -> bool:
        value = operand(frame)
        return (type(value) is kind and value == constant) is is_equal

    return evaluate


def logic(operands: list[Evaluate], *, decisive: bool) -> Evaluate:
    return lambda frame: _decided(frame, operands, decisive=decisive)


def _decided(frame: Frame, operands: Iterable[Evaluate], *, decisive: bool) -> bool:
    """Return whether one operand is decisive, even if another fails: false for ``&&``, true for ``||``."""
    failure = None
    for operand in operands:
        try:
            value: object = operand(frame)
            if value is decisive:
                return decisive
            _boolean(value)
        except EvaluationError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return not decisive


def list_of(items: list[Evaluate]) -> Evaluate:
    return lambda frame: [item(frame) for item in items]


def map_of(entries: list[tuple[Evaluate, Evaluate]]) -> Evaluate:
    def evaluate(frame: Frame) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in entries:
            name = key(frame)
            if type(name) not in {str, float, bool}:
                raise EvaluationError(f"a {type_name(name)} cannot be the key of a map")
            if name in result:
                raise EvaluationError("the map has a key twice")
            result[name] = value(frame)
        return result

    return evaluate


Passes = Callable[[Frame], Iterator[Any]]
"""Yields each item of a list, after it has become the value of the loop's variable."""


def passes(operand: Evaluate, slot: int, steps: int) -> Passes:
    def each(frame: Frame) -> Iterator[Any]:
        collection = operand(frame)
        if type(collection) not in {list, dict}:
            raise EvaluationError(f"a {type_name(collection)} is not a list")
        for item in collection:
            frame[STEPS] -= steps  # spend(), without its call
            if frame[STEPS] < 0:
                raise OutOfSteps
            frame[slot] = item
            yield item

    return each


def loop(macro: str, each: Passes, body: list[Evaluate]) -> Evaluate:
    first, last = body[0], body[-1]
    match macro:
        case "all" | "exists":
            decisive = macro == "exists"
            return lambda frame: _decided(frame, (first for _ in each(frame)), decisive=decisive)
        case "map" if len(body) == 1:
            return lambda frame: [last(frame) for _ in each(frame)]
        case "map":
            return lambda frame: [last(frame) for _ in each(frame) if _boolean(first(frame))]
        case "filter":
            return lambda frame: [item for item in each(frame) if _boolean(first(frame))]
        case _:
            return lambda frame: sum(_boolean(first(frame)) for _ in each(frame)) == 1


def coalesced(arguments: list[Evaluate]) -> Evaluate:
    def evaluate(frame: Frame) -> Any:  # noqa: ANN401 - any value
        for argument in arguments:
            try:
                value = argument(frame)
            except EvaluationError:
                continue
            if value is not None:
                return value
        return None

    return evaluate


def answered(argument: Evaluate) -> Evaluate:
    def evaluate(frame: Frame) -> bool:
        try:
            value = argument(frame)
        except EvaluationError:
            return False
        return value is not None and value not in ("", [])

    return evaluate


def label(step: str) -> Evaluate:
    def evaluate(frame: Frame) -> str | None:
        scope: Scope = frame[SCOPE]
        answer = scope.answers.get(step)
        if answer is None:
            return None
        if scope.labels is None:
            raise EvaluationError("labels are not known here")
        values = [one["value"] if is_other(one) else one for one in _listed(frame, answer)]
        joined = ", ".join(scope.labels(step, value) or str(value) for value in values)
        spend(frame, length(joined))
        return joined

    return evaluate


def other_text(step: str) -> Evaluate:
    return lambda frame: next(
        (str(one["text"]) for one in _listed(frame, frame[SCOPE].answers.get(step)) if is_other(one)), None
    )


def _listed(frame: Frame, answer: Any) -> Sequence[Any]:  # noqa: ANN401 - JSON of any kind
    if not isinstance(answer, list | tuple):
        return (answer,)
    spend(frame, len(answer))
    return answer
