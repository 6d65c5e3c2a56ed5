"""The rules of the walk (SURVEY_FORMAT.md): what comes of a command.

:func:`decide` is the only place where a command is judged, for every door. It returns the one event
that the command makes, or a named rejection; it never raises and never changes anything.

The **route** is the walk from the first step that follows the answers. A session keeps the part before
its position (``step_history``); so an answer at the end of a long route needs one step's rules only,
and those of the steps whose rules read the answer that changed (``Walkway.readers``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, assert_never

from .answers import InvalidAnswer
from .commands import Answer, AnyCommand, Back, Begin, Draft, Expire, Goto, Note, Restart, Save, SetMode, Update
from .definition import END, Survey
from .events import Answered, AnyEvent, Drafted, Expired, ModeSet, Noted, Restarted, Saved, Started, WentBack, WentTo
from .state import SessionState, Status

RejectCode = Literal[
    "not_current",
    "invalid_answer",
    "required",
    "at_start",
    "completed",
    "expired",
    # These four never reach a participant: the service turns them into errors of the API.
    "no_session",
    "already_begun",
    "version_conflict",
    "unchanged",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a command was refused; nothing happened.

    Attributes:
        code: stable, for programs (PROTOCOL.md, reject codes).
        message: for the participant.
    """

    code: RejectCode
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The steps that a walk passes, in order.

    Attributes:
        steps: each step once; all but the last are answered, the last may be.
        leads_to: where the last step leads when it is answered: the end, or back to a step of the
            route where a circle closes; None where the last step waits for its answer.
        failed_conditions: the steps whose conditions could not be evaluated on the way.
    """

    steps: tuple[str, ...]
    leads_to: str | None
    failed_conditions: tuple[str, ...] = ()

    def position_after(self, step: str) -> str:
        """Return where the walk goes on from a step of the route."""
        index = self.steps.index(step) + 1
        if index < len(self.steps):
            return self.steps[index]
        return self.leads_to or step

    def before(self, step: str) -> tuple[str, ...]:
        """Return the part of the route before ``step``; all of it for the end."""
        return self.steps if step == END else self.steps[: self.steps.index(step)]


def decide(  # noqa: C901 - one case a command
    survey: Survey | None, state: SessionState | None, command: AnyCommand
) -> AnyEvent | Rejection:
    """Return the event that the command makes, or why it is refused.

    Args:
        survey: the definition that the session is pinned to (for Begin and Restart the newest);
            None where the session belongs to no known survey: then only Save, Update, Note and
            Expire can work.
        state: the session as it is, None where there is none.
    """
    if command.expected_version is not None:
        found = state.version if state is not None else 0
        if command.expected_version != found:
            return _rejected("version_conflict", f"The session is at version {found}.")
    if isinstance(command, Begin):
        return _begin(survey, state, command)
    if isinstance(command, Save):
        return _save(survey, state, command)
    if state is None:
        return _rejected("no_session", "There is no such session.")
    if isinstance(command, Update):
        return _update(state, command)
    if isinstance(command, Note):
        return Noted(at=command.at, label=command.action, step=command.step, answer=command.answer)
    if isinstance(command, Expire):
        return _expire(survey, state, command)
    if survey is None:
        return _rejected("not_current", "This session belongs to no survey that is known here.")
    return _walk_command(survey, state, command)


def route_of(survey: Survey, state: SessionState) -> Route:
    """Return the whole route of a session, its answered steps after the position included."""
    known = _known(state)
    return _follow(survey, known, len(known) - 1, state.answers, _passed(state), frozenset())


def status_at(survey: Survey | None, state: SessionState, at: int) -> Status:
    """Return the status at a time: a session whose time is over is expired before anything says so."""
    after_us = survey.expires_after_us if survey is not None else None
    if state.status == "in_progress" and after_us is not None and at - state.updated_at >= after_us:
        return "expired"
    return state.status


def progress(survey: Survey | None, state: SessionState) -> float:
    """Return how much is done, 0 to 1: steps passed of the steps passed and the most that are left."""
    if state.status == "completed":
        return 1.0
    done = len(state.step_history)
    left = survey.walkway.remaining.get(state.current_step, 1) if survey is not None else 1
    return done / (done + left)


def _rejected(code: RejectCode, message: str) -> Rejection:
    return Rejection(code=code, message=message)


def _walk_command(  # noqa: C901 - as decide
    survey: Survey, state: SessionState, command: Answer | Back | Goto | SetMode | Draft | Restart
) -> AnyEvent | Rejection:
    if isinstance(command, Restart):
        return Restarted(at=command.at, step=survey.first_step, survey_revision=survey.revision)
    match status_at(survey, state, command.at):
        case "completed":
            return _rejected("completed", "This survey is completed. Start again to change answers.")
        case "expired":
            return _rejected("expired", "The time for this survey is over. Start again to take it.")
        case "in_progress":
            pass
    match command:
        case Answer():
            return _answer(survey, state, command)
        case Back():
            return _back(state, command)
        case Goto():
            return _goto(survey, state, command)
        case SetMode():
            return ModeSet(at=command.at, is_audio_mode=command.is_audio_mode)
        case Draft():
            return _draft(survey, state, command)
        case _:
            assert_never(command)


def _begin(survey: Survey | None, state: SessionState | None, command: Begin) -> AnyEvent | Rejection:
    if state is not None:
        return _rejected("already_begun", "The session has begun already.")
    if survey is None:
        return _rejected("no_session", "There is no such survey.")
    return Started(
        at=command.at,
        step=survey.first_step,
        survey_revision=survey.revision,
        is_audio_mode=command.is_audio_mode,
    )


def _answer(survey: Survey, state: SessionState, command: Answer) -> AnyEvent | Rejection:
    step = survey.step(command.step)
    if step is None or not _is_on_route(survey, state, command.step):
        return _not_current(command.step)
    value = command.value
    if value is None or (value == "" and step.type == "text"):
        if step.required:
            return _rejected("required", "This question needs an answer.")
    else:
        try:
            value = step.check(value)
        except InvalidAnswer as error:
            return _rejected("invalid_answer", str(error))
    return _answered(survey, state, command, value)


def _answered(survey: Survey, state: SessionState, command: Answer, value: object) -> Answered:
    given = {**state.answers, command.step: value}
    return _answered_at_the_end(survey, state, command, given) or _answered_on_the_way(survey, state, command, given)


def _answered_at_the_end(
    survey: Survey, state: SessionState, command: Answer, given: Mapping[str, Any]
) -> Answered | None:
    """Return what the usual answer does: the first one to the last step of a route that nothing else can change.

    None where the whole route has to be followed. It gives what :func:`_answered_on_the_way` would, in a third of
    the time.
    """
    step = command.step
    if step != state.current_step or step in state.answers:
        return None
    passed = set(state.step_history)
    if state.answers.keys() != passed:
        return None  # a whole state that was saved
    if not passed.isdisjoint(survey.walkway.readers.get(step, ())):
        return None
    to, did_fail = survey.walkway.leads_to(step, given)
    if to in given:
        return None  # the walk closes a circle
    return Answered(
        at=command.at,
        step=step,
        answer=given[step],
        to=to,
        keep=len(state.step_history),
        then=(step,),
        failed_conditions=(step,) if did_fail else (),
    )


def _answered_on_the_way(survey: Survey, state: SessionState, command: Answer, given: Mapping[str, Any]) -> Answered:
    answers, route = _settled(survey, state, command.step, given)
    on_route = frozenset(route.steps)
    if command.step == state.current_step and command.step in on_route:
        to = route.position_after(command.step)
    elif state.current_step in on_route:
        to = state.current_step
    else:
        to = route.leads_to or route.steps[-1]
    keep, then = _difference(state.step_history, route.before(to))
    return Answered(
        at=command.at,
        step=command.step,
        answer=given[command.step],
        to=to,
        keep=keep,
        then=then,
        dropped=tuple(step for step in given if step not in answers),
        failed_conditions=route.failed_conditions,
    )


def _settled(
    survey: Survey, state: SessionState, changed: str, answers: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Route]:
    """Return the answers that are on the route, and the route that follows these answers.

    An answer that leaves the route can be one that rules read, and so can change the route again; each
    turn drops at least one answer, so there is a last. A rule that reads a later step's answer can even
    drop the answer that was just given: then the walk waits at that step.
    """
    route = _route_after(survey, state, changed, answers)
    while True:
        on_route = frozenset(route.steps)
        kept = {step: value for step, value in answers.items() if step in on_route}
        if len(kept) == len(answers):
            return kept, route
        dropped = answers.keys() - kept.keys()
        answers = kept
        if not dropped.isdisjoint(survey.walkway.readers):
            route = _follow(survey, _known(state)[:1], 0, kept, _passed(state), frozenset())


def _back(state: SessionState, command: Back) -> AnyEvent | Rejection:
    if not state.step_history:
        return _rejected("at_start", "This is the first step.")
    return WentBack(at=command.at, step=state.step_history[-1])


def _goto(survey: Survey, state: SessionState, command: Goto) -> AnyEvent | Rejection:
    if command.step in state.step_history:
        return WentTo(at=command.at, step=command.step, keep=state.step_history.index(command.step))
    route = route_of(survey, state)
    if command.step not in route.steps:
        return _not_current(command.step)
    keep, then = _difference(state.step_history, route.before(command.step))
    return WentTo(at=command.at, step=command.step, keep=keep, then=then)


def _draft(survey: Survey, state: SessionState, command: Draft) -> AnyEvent | Rejection:
    if not _is_on_route(survey, state, command.step):
        return _not_current(command.step)
    if state.drafts.get(command.step) == command.value:
        return _rejected("unchanged", "This draft is kept already.")
    return Drafted(at=command.at, step=command.step, answer=command.value)


def _save(survey: Survey | None, state: SessionState | None, command: Save) -> AnyEvent:
    revision = state.survey_revision if state is not None else None
    if revision is None and survey is not None:
        revision = survey.revision
    return Saved(
        at=command.at,
        current_step=command.current_step,
        answers=command.answers,
        step_history=command.step_history,
        is_audio_mode=command.is_audio_mode,
        session_data=command.session_data,
        survey_revision=revision,
    )


def _update(state: SessionState, command: Update) -> AnyEvent:
    whole: dict[str, Any] = {
        "current_step": state.current_step,
        "answers": state.answers,
        "step_history": state.step_history,
        "is_audio_mode": state.is_audio_mode,
        "session_data": state.session_data,
    }
    return Saved(at=command.at, survey_revision=state.survey_revision, **{**whole, **command.changes})


def _expire(survey: Survey | None, state: SessionState, command: Expire) -> AnyEvent | Rejection:
    if state.status != "expired" and status_at(survey, state, command.at) == "expired":
        return Expired(at=command.at)
    return _rejected("unchanged", "The session's time is not over.")


def _not_current(step: str) -> Rejection:
    return _rejected("not_current", f"The step {step[:64]} is not part of this walk now.")


def _known(state: SessionState) -> tuple[str, ...]:
    """The route as far as the session's position tells it."""
    if state.status == "completed":
        return state.step_history
    return (*state.step_history, state.current_step)


def _passed(state: SessionState) -> frozenset[str]:
    """Steps before the position without an answer: a whole state that was saved may have such."""
    return frozenset(step for step in state.step_history if step not in state.answers)


def _is_on_route(survey: Survey, state: SessionState, step: str) -> bool:
    if step == state.current_step or step in state.step_history:
        return True
    # Beyond the position there is a route only where the participant went back.
    return state.current_step in state.answers and step in route_of(survey, state).steps


def _route_after(survey: Survey, state: SessionState, changed: str, answers: Mapping[str, Any]) -> Route:
    """Return the route with one answer changed, asking only rules that the change can touch."""
    known = _known(state)
    touched = survey.walkway.readers.get(changed, frozenset()) | {changed}
    first = next((index for index, step in enumerate(known) if step in touched), len(known) - 1)
    return _follow(survey, known, first, answers, _passed(state), touched)


def _follow(
    survey: Survey,
    known: tuple[str, ...],
    first: int,
    answers: Mapping[str, Any],
    passed: frozenset[str],
    touched: frozenset[str],
) -> Route:
    """Walk on from ``known[first]`` to the route's end.

    Args:
        known: the route before the change, as far as it is known.
        first: the first of its steps whose rules have to be asked.
        passed: steps without an answer that the walk doesn't stop at.
        touched: the steps whose rules may lead elsewhere than before.
    """
    steps = list(known[: first + 1])
    seen = set(steps)
    succession = dict(pairwise(known))
    failed: list[str] = []
    while True:
        step = steps[-1]
        if (step not in answers and step not in passed) or survey.step(step) is None:
            return Route(steps=tuple(steps), leads_to=None, failed_conditions=tuple(failed))
        target = None if step in touched else succession.get(step)
        if target is None:
            target, did_fail = survey.walkway.leads_to(step, answers)
            if did_fail:
                failed.append(step)
        if target == END or target in seen:
            return Route(steps=tuple(steps), leads_to=target, failed_conditions=tuple(failed))
        steps.append(target)
        seen.add(target)


def _difference(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """Return how much of ``before`` stays, counted from its start, and what follows it in ``after``."""
    shorter = min(len(before), len(after))
    if before[:shorter] == after[:shorter]:
        return shorter, after[shorter:]
    keep = next(i for i in range(shorter) if before[i] != after[i])
    return keep, after[keep:]
