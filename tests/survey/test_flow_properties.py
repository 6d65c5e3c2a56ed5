"""Laws of the walk for random surveys and commands, compared with a walk by brute force."""

from dataclasses import replace
from itertools import takewhile
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.core import strict_json
from app.survey import commands, flow
from app.survey.answering import accepted_value
from app.survey.commands import Rejection
from app.survey.definition import Survey, parse_definition
from app.survey.events import AnyEvent, from_record, to_record
from app.survey.expressions import EvaluationError, Expression, Scope
from app.survey.flow import decide, progress
from app.survey.routing import whole_route
from app.survey.state import END, SessionState, apply, fold
from tests.conftest import examples

VALUES = st.sampled_from([0, 1, 2, 3, None, True, "x", "", 1.5, [], ["a"], {"a": 1}])


@st.composite
def surveys(draw: st.DrawFn) -> Survey:
    """Draw a survey of up to 7 steps that can always end, with rules on the step's own answer and on others."""
    count = draw(st.integers(1, 7))
    ids = [f"S{number}" for number in range(count)]
    steps: list[dict[str, Any]] = []
    for index, step_id in enumerate(ids):
        rules = []
        # Forward only, and the next step is always possible: every step can be reached, and every walk can end.
        for _ in range(draw(st.integers(0, 2))):
            read = draw(st.sampled_from(ids))
            condition = draw(
                st.sampled_from([f"answer == {draw(st.integers(0, 3))}", f"answers.{read} > 1", "answer + 1 > 2"])
            )
            rules.append({"when": condition, "go": draw(st.sampled_from([*ids[index + 1 :], END]))})
        kind = draw(st.sampled_from(["scale", "scale", "info", "choice"]))
        step = {"id": step_id, "type": kind, "prompt": "p", "next": rules}
        if kind == "scale":
            step |= {"min": 0, "max": 3, "required": draw(st.booleans())}
        if kind == "choice":
            options = [{"value": value} for value in range(4)]
            step |= {"options": [{**option, **shown_if(draw, ids[:index])} for option in options]}
        step |= shown_if(draw, ids[:index])
        if any("answer ==" in rule["when"] for rule in rules):
            # The exact analysis of listed answers can find a step unreachable: make the rules read another answer too.
            for rule in rules:
                rule["when"] = f"({rule['when']}) && answers.{ids[0]} != 99"
        steps.append(step)
    document = {"id": "random", "title": "t", "language": "en", "steps": steps}
    return parse_definition(strict_json.encode(document), "random")


def shown_if(draw: st.DrawFn, earlier: list[str]) -> dict[str, str]:
    """Draw a condition on an earlier answer, which can lack one; mostly none."""
    if not earlier or draw(st.integers(0, 2)) > 0:
        return {}
    step = draw(st.sampled_from(earlier))
    return {"show_if": draw(st.sampled_from([f"answers.{step} > 1", f"answers.{step} != 1"]))}


def draw_command(draw: st.DrawFn, survey: Survey, state: SessionState) -> commands.AnyCommand:
    """Draw a command, mostly a sensible one."""
    ids = [step.id for step in survey.steps]
    step = draw(st.sampled_from([state.current_step, state.current_step, *ids, "nowhere"]))
    kind = draw(st.sampled_from(["answer", "answer", "answer", "edit", "back", "goto", "draft", "mode", "restart"]))
    match kind:
        case "back":
            return commands.Back(at=1)
        case "goto":
            return commands.Goto(at=1, step=step)
        case "draft":
            return commands.Draft(at=1, step=step, value=draw(VALUES))
        case "mode":
            return commands.SetMode(at=1, is_audio_mode=draw(st.booleans()))
        case "restart" if draw(st.integers(0, 5)) == 0:
            return commands.Restart(at=1)
        case "answer":
            return commands.Answer(at=1, step=state.current_step, value=draw(st.one_of(st.integers(0, 3), VALUES)))
    return commands.Answer(at=1, step=step, value=draw(st.one_of(st.integers(0, 3), VALUES)))


class BruteForce:
    """Follows the route by its definition: from the first step, evaluating every rule and every ``show_if``."""

    def __init__(self, survey: Survey, answers: dict[str, Any]) -> None:
        self.survey, self.answers = survey, answers
        self.ids = [step.id for step in survey.steps]
        self.following = dict(zip(self.ids, [*self.ids[1:], END], strict=True))

    def route(self) -> list[str]:
        route = [self.shown(self.ids[0])]
        while route[-1] in self.answers:
            target = self.after(route[-1])
            if target == END or target in route:
                break
            route.append(target)
        return route

    def after(self, step: str) -> str:
        for condition, target in self.survey.conditions.rules[step]:
            if condition is None or self.is_true(condition, self.answers.get(step)):
                return self.shown(target)
        return self.shown(self.following[step])

    def shown(self, step: str) -> str:
        while step in self.survey.conditions.shown and not self.is_true(self.survey.conditions.shown[step]):
            step = self.following[step]
        return step

    def route_without_withdrawn(self) -> list[str]:
        return list(takewhile(lambda step: not self.is_withdrawn(step), self.route()))

    def is_withdrawn(self, step: str) -> bool:
        if step not in self.answers or step not in self.survey.conditions.options:
            return False
        shown = self.survey.conditions.options[step]
        options = getattr(self.survey.step(step), "options", ())
        values = [one.value for one in options if one.value not in shown or self.is_true(shown[one.value])]
        answer = self.answers[step]
        return bool(values) if answer is None else answer not in values

    def is_true(self, condition: Expression, answer: object = None) -> bool:
        try:
            return condition.holds(Scope(self.answers, answer, self.ids))
        except EvaluationError:
            return False


@given(st.data())
@examples(150)
def test_every_law_of_the_walk_holds_for_random_commands(data: st.DataObject) -> None:
    """The fold is the state, answers are those of the route, back and goto lose none, decide never raises.

    The times of commands are random, as when a clock is set back; those of events never go back.
    """
    survey = data.draw(surveys())
    state: SessionState | None = None
    events: list[AnyEvent] = []
    command: commands.AnyCommand = commands.Begin(at=1)
    for _ in range(data.draw(st.integers(1, 25))):
        check_shortcut(survey, state, command)
        event = decide(survey, state, command)
        if not isinstance(event, Rejection):
            before = state
            state = apply(state, event)
            events.append(from_record(to_record(event)))
            assert state.updated_at == max(command.at, before.updated_at if before is not None else 0)
            if before is not None and isinstance(command, commands.Back | commands.Goto):
                assert state.answers == before.answers
            if before is not None and isinstance(command, commands.Answer):
                check_answers_stay(
                    survey, state, {**before.answers, command.step: state.answers.get(command.step, event.answer)}
                )
        assert state is not None
        check_laws(survey, state)
        command = replace(draw_command(data.draw, survey, state), at=data.draw(st.integers(0, 9)))
    assert fold(events) == state


def check_shortcut(survey: Survey, state: SessionState | None, command: commands.AnyCommand) -> None:
    """The usual answer makes the same event with and without following the route."""
    if state is None or not isinstance(command, commands.Answer):
        return
    step = survey.step(command.step)
    if state.status == "in_progress" and step is not None:
        value = accepted_value(survey, step, state, command)
        if isinstance(value, Rejection):
            return
        answers = {**state.answers, command.step: value}
        shortcut = flow._answered_simply(survey, state, command, answers)
        assert shortcut is None or shortcut == flow._answered(survey, state, command, answers)


def check_answers_stay(survey: Survey, state: SessionState, answers: dict[str, Any]) -> None:
    """An edit keeps what is left if the answers that leave the route are removed until none does; it can keep more."""
    while True:
        brute_force = BruteForce(survey, answers)
        on_route = brute_force.route_without_withdrawn()
        staying = {step: answers[step] for step in on_route if step in answers}
        if len(staying) == len(answers):
            break
        answers = staying
    assert answers.items() <= state.answers.items()
    if not survey.graph.readers.early:
        assert list(answers) == list(state.answers)[: len(answers)]


def check_laws(survey: Survey, state: SessionState) -> None:
    for step, answer in state.answers.items():
        shown = survey.conditions.options.get(step, {}).get(answer) if isinstance(answer, int) else None
        assert shown is None or shown.holds(Scope(state.answers, None, list(survey.steps_by_id)))
    route = BruteForce(survey, dict(state.answers)).route()
    assert list(whole_route(survey, state).steps) == route
    assert list(state.answers) == [step for step in route if step in state.answers]
    if state.status == "completed":
        assert state.current_step == END
        assert list(state.step_history) == route
    else:
        assert [*state.step_history, state.current_step] == route[: len(state.step_history) + 1]
    assert 0 <= progress(survey, state) <= 1


@given(surveys(), st.lists(st.integers(0, 3), min_size=8, max_size=8))
@examples(80)
def test_every_edit_makes_the_same_event_with_and_without_following_the_route(
    survey: Survey, answers: list[int]
) -> None:
    state = apply(None, decide(survey, None, commands.Begin(at=1)))
    for answer in answers:
        for step in state.step_history:
            for edited in range(4):
                check_shortcut(survey, state, commands.Answer(at=1, step=step, value=edited))
        event = decide(survey, state, commands.Answer(at=1, step=state.current_step, value=answer))
        state = state if isinstance(event, Rejection) else apply(state, event)


@given(surveys(), st.lists(st.integers(0, 3), min_size=8, max_size=8))
@examples(80)
def test_progress_never_falls_when_the_walk_goes_forward(survey: Survey, answers: list[int]) -> None:
    """Answering the current step never lowers it, and it is 1 at the end."""
    first = decide(survey, None, commands.Begin(at=1))
    assert not isinstance(first, Rejection)
    state = apply(None, first)
    for answer in answers:
        if state.status == "completed":
            assert progress(survey, state) == 1
            return
        step = survey.step(state.current_step)
        assert step is not None
        value = None if step.type == "info" else answer
        event = decide(survey, state, commands.Answer(at=1, step=state.current_step, value=value))
        if isinstance(event, Rejection):
            assert event.reads_answers  # the option is not shown
            return
        after = apply(state, event)
        # A rule that reads the answer of a later step can change the route behind the position.
        if after.step_history[: len(state.step_history)] == state.step_history:
            assert progress(survey, after) >= progress(survey, state)
        state = after
