"""Laws of the walk for random surveys and commands, compared with a walk by brute force."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.core import strict_json
from app.survey import commands, flow
from app.survey.definition import Survey, parse_definition
from app.survey.events import AnyEvent, from_record, to_record
from app.survey.flow import Rejection, decide, progress
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
        kind = draw(st.sampled_from(["scale", "scale", "info"]))
        step = {"id": step_id, "type": kind, "prompt": "p", "next": rules}
        if kind == "scale":
            step |= {"min": 0, "max": 3, "required": draw(st.booleans())}
        if any("answer ==" in rule["when"] for rule in rules):
            # The exact analysis of listed answers can find a step unreachable: make the rules read another answer too.
            for rule in rules:
                rule["when"] = f"({rule['when']}) && answers.{ids[0]} != 99"
        steps.append(step)
    document = {"id": "random", "title": "t", "language": "en", "steps": steps}
    return parse_definition(strict_json.encode(document), "random")


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


def brute_force_route(survey: Survey, answers: dict[str, Any]) -> list[str]:
    """Return the route by its definition: from the first step, evaluating every rule."""
    route = [survey.first_step]
    while route[-1] in answers:
        target, _ = survey.graph.next_step(route[-1], answers)
        if target == END or target in route:
            break
        route.append(target)
    return route


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
        assert state is not None
        check_laws(survey, state)
        command = replace(draw_command(data.draw, survey, state), at=data.draw(st.integers(0, 9)))
    assert fold(events) == state


def check_shortcut(survey: Survey, state: SessionState | None, command: commands.AnyCommand) -> None:
    """The usual answer makes the same event with and without following the route."""
    if state is None or not isinstance(command, commands.Answer) or survey.step(command.step) is None:
        return
    if state.status == "in_progress":
        answers = {**state.answers, command.step: command.value}
        shortcut = flow._answered_at_end(survey, state, command, answers)
        assert shortcut is None or shortcut == flow._answered(survey, state, command, answers)


def check_laws(survey: Survey, state: SessionState) -> None:
    route = brute_force_route(survey, dict(state.answers))
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
        assert not isinstance(event, Rejection)
        after = apply(state, event)
        # A rule that reads the answer of a later step can change the route behind the position.
        if after.step_history[: len(state.step_history)] == state.step_history:
            assert progress(survey, after) >= progress(survey, state)
        state = after
