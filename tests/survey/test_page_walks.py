"""Walks through random surveys with pages, compared with one that evaluates every expression from the start."""

from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.core import strict_json
from app.survey.commands import Answer, Back, Begin, Draft, Rejection
from app.survey.definition import Survey, parse_definition
from app.survey.events import Answered, AnyEvent, from_record, to_record
from app.survey.expressions import EvaluationError, Names, Scope, compile_expression
from app.survey.flow import decide
from app.survey.state import END, SessionState, apply, fold
from tests.conftest import examples

Model = dict[str, Any]

VALUES: dict[str, list[Any]] = {"boolean": [True, False], "number": [0, 1, 2, 3], "choice": ["x", "y", "z"]}
CONDITIONS = {
    "boolean": ["{}", "{} == false", "!answered({})", "{} != true"],
    "number": ["{} > 1", "{} == 1", "coalesce({}, 3) > 1"],
    "choice": ['{} == "x"', '{} != "y"'],
    "value": ["{} > 2", "{} == null"],
}


class Author:
    """Writes a random survey: each expression reads answers and values that are known where it is."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.known: list[tuple[str, str]] = [("parameters.k", "number")]
        self.values: dict[str, str] = {}

    def survey(self) -> Model:
        ids = [f"s{number}" for number in range(self.random.randint(2, 6))]
        steps = [self._step(number, ids) for number in range(len(ids))]
        parameters = {"k": {"type": "number", "from": "api"}}
        head = {"id": "e", "title": "t", "language": "en", "parameters": parameters, "values": self.values}
        return {**head, "steps": steps}

    def _step(self, number: int, ids: list[str]) -> Model:
        shown = self._maybe("show_if")
        if self.random.random() < 0.6:
            before = tuple(self.known)
            names = [f"{ids[number]}_{letter}" for letter in "abcd"[: self.random.randint(1, 4)]]
            fields = [{**self._maybe("show_if"), **self._question(name, before)} for name in names]
            step = {"id": ids[number], "type": "page", "prompt": "p", "fields": fields, **shown}
        else:
            step = {**self._question(ids[number], tuple(self.known)), **shown}
        numbers = [name for name, kind in self.known if kind == "number"]
        if self.random.random() < 0.3:
            self.values[f"v{number}"] = f"{self.random.choice(numbers)} + {self.random.choice(numbers)}"
            self.known.append((f"values.v{number}", "value"))
        rule = self._maybe("when")
        return {**step, "next": [{**rule, "go": self.random.choice([*ids[number + 1 :], END])}]} if rule else step

    def _question(self, name: str, before: tuple[tuple[str, str], ...]) -> Model:
        """Return a step or a field, whose answer is known from now on; its options read what is before it."""
        kind = self.random.choice(list(VALUES))
        question: Model = {"id": name, "type": kind, "prompt": "p", "required": self.random.random() < 0.6}
        if kind == "choice":
            question["options"] = [{"value": value, **self._maybe("show_if", before)} for value in VALUES[kind]]
        self.known.append((f"answers.{name}", kind))
        return question

    def _maybe(self, name: str, known: tuple[tuple[str, str], ...] | None = None) -> Model:
        read, kind = self.random.choice(self.known if known is None else known)
        return {name: self.random.choice(CONDITIONS[kind]).format(read)} if self.random.random() < 0.5 else {}


class BruteForce:
    """Follows a route from the first step, by the words of docs/surveys.md.

    Attributes:
        on_route: the answers that stay, without those to fields and options that are not shown.
        route: its steps.
        leads_to: the end, or None where an answer is missing.
    """

    def __init__(self, survey: Survey, model: Model, answers: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self.names: Names = survey.conditions.names
        self.ids, self.model, self.parameters = survey.conditions.ids, model, parameters
        self.flat: dict[str, Any] = {}
        self.on_route: dict[str, Any] = {}
        self.route: list[str] = []
        self.leads_to: str | None = None
        steps = {step["id"]: step for step in model["steps"]}
        place = self._shown_from(0)
        while place < len(steps):
            step = model["steps"][place]
            self.route.append(step["id"])
            if step["id"] not in answers or not self._keeps(step, answers[step["id"]]):
                return
            to = next((rule["go"] for rule in step.get("next", ()) if self._is_true(rule["when"])), None)
            if to == END:
                break
            place = self._shown_from(place + 1 if to is None else list(steps).index(to))
        self.leads_to = END

    def _keeps(self, step: Model, answer: Any) -> bool:
        if step["type"] != "page":
            self.on_route[step["id"]] = self.flat[step["id"]] = answer
            if not self._fits(step, answer):
                del self.on_route[step["id"]], self.flat[step["id"]]
            return step["id"] in self.on_route
        before, kept = dict(self.flat), {}
        for field in step["fields"]:
            if self._is_true(field.get("show_if", "true")) and field["id"] in answer:
                fits = self._fits(field, answer[field["id"]])
                if fits:
                    kept[field["id"]] = self.flat[field["id"]] = answer[field["id"]]
                elif field["required"]:
                    self.flat = before
                    return False
            elif self._is_true(field.get("show_if", "true")) and not self._fits(field, None):
                self.flat = before
                return False
        self.on_route[step["id"]] = kept
        return True

    def _fits(self, question: Model, answer: Any) -> bool:
        shown = [one["value"] for one in question.get("options", ()) if self._is_true(one.get("show_if", "true"))]
        if question["type"] == "choice":
            return answer in shown if answer is not None else not question["required"] or not shown
        return answer is not None or not question["required"]

    def _shown_from(self, place: int) -> int:
        while place < len(self.model["steps"]):
            step = self.model["steps"][place]
            fields = [self._is_true(field.get("show_if", "true")) for field in step.get("fields", ())]
            if self._is_true(step.get("show_if", "true")) and (any(fields) or not fields):
                break
            place += 1
        return place

    def _is_true(self, source: str) -> bool:
        values: dict[str, Any] = {}
        for name, expression in self.model["values"].items():
            try:
                values[name] = compile_expression(expression, self.names).value(self._scope(values))
            except EvaluationError:
                values[name] = None
        try:
            return compile_expression(source, self.names).holds(self._scope(values))
        except EvaluationError:
            return False

    def _scope(self, values: Mapping[str, Any]) -> Scope:
        return Scope(self.flat, None, self.ids, None, self.parameters, values)


def draw_answer(random: Random, step: Model) -> Any:
    if step["type"] != "page":
        return random.choice([*VALUES[step["type"]], *([] if step["required"] else [None])])
    return {field["id"]: draw_answer(random, field) for field in step["fields"] if random.random() < 0.9}


def accepted(random: Random, survey: Survey, state: SessionState, step: Model) -> AnyEvent | Rejection:
    """Answer a step; what a refusal names is left out, or answered otherwise."""
    value = draw_answer(random, step)
    for _ in range(8):
        found = decide(survey, state, Answer(at=1, step=step["id"], value=value))
        if not isinstance(found, Rejection) or not found.fields:
            break
        for name, message in found.fields.items():
            if "is not asked" in message:
                del value[name]
            else:
                value[name] = random.choice(VALUES[next(one for one in step["fields"] if one["id"] == name)["type"]])
    return found


@given(st.randoms(use_true_random=False))
@examples(150)
def test_pages_are_walked_as_if_everything_were_evaluated_anew(random: Random) -> None:
    """Answers, route, position and drafts after each answer, of the current step or an edit."""
    model = Author(random).survey()
    steps = {step["id"]: step for step in model["steps"]}
    survey = parse_definition(strict_json.encode(model), "e.json")
    parameters = {"k": random.randint(0, 3)}
    begun = decide(survey, None, Begin(at=1, parameters=parameters))
    assert not isinstance(begun, Rejection)
    state, events = apply(None, begun), [begun]
    assert state.current_step == (BruteForce(survey, model, {}, parameters).route or [END])[0]
    for _ in range(12):
        if state.status == "completed":
            break
        draft = Draft(at=1, step=state.current_step, value=draw_answer(random, steps[state.current_step]))
        edited = random.choice([state.current_step, *state.answers])
        kind = random.random()
        event = decide(survey, state, Back(at=1) if kind < 0.1 else draft) if kind < 0.2 else None
        event = accepted(random, survey, state, steps[edited]) if event is None else event
        if isinstance(event, Rejection):
            continue
        events.append(event)
        after = apply(state, event)
        if isinstance(event, Answered):
            compare(BruteForce(survey, model, {**state.answers, edited: event.answer}, parameters), state, event, after)
        state = after
    assert fold(from_record(to_record(event)) for event in events) == state


def compare(expected: BruteForce, before: SessionState, event: Answered, after: SessionState) -> None:
    route, answers = expected.route, {**before.answers, event.step: event.answer}
    assert dict(after.answers) == expected.on_route
    last = expected.leads_to or route[-1]
    if before.current_step not in route:
        position = last
    elif event.step != before.current_step or event.step not in expected.on_route:
        position = before.current_step
    else:
        position = [*route, last][route.index(event.step) + 1]
    assert after.current_step == position
    assert list(after.step_history) == (route if position == END else route[: route.index(position)])
    for step, answer in answers.items():
        kept = expected.on_route.get(step)
        if isinstance(answer, dict):
            gone = {name: one for name, one in answer.items() if one is not None and name not in (kept or {})}
            assert gone.items() <= (after.drafts.get(step) or {}).items()
        elif step not in expected.on_route and answer is not None:
            assert after.drafts[step] == answer
