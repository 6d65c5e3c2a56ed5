"""The rules of every interface: what a command does to a session (docs/protocol.md, docs/surveys.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never

from .commands import Answer, AnyCommand, Back, Begin, Draft, Expire, Goto, Note, Restart, Save, SetMode, Update
from .definition import Survey
from .events import Answered, AnyEvent, Drafted, Expired, ModeSet, Noted, Restarted, Saved, Started, WentBack, WentTo
from .routing import difference, is_on_route, reroute, whole_route
from .state import SessionState, Status
from .types import InvalidAnswer

RejectCode = Literal[
    "not_current",
    "invalid_answer",
    "required",
    "at_start",
    "completed",
    "expired",
    # For the service's API only; participants never get them.
    "no_session",
    "already_begun",
    "version_conflict",
    "unchanged",
]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a command was refused; the session did not change."""

    code: RejectCode
    message: str


def decide(  # noqa: C901, PLR0912 - one case a command
    survey: Survey | None, state: SessionState | None, command: AnyCommand
) -> AnyEvent | Rejection:
    """Return the command's one event, or why it is refused. Never raises.

    The event is no earlier than the session's last one: clocks are set back, and those of servers differ.

    Args:
        survey: the session's revision, for Begin and Restart the newest; None allows only Save, Update, Note and
            Expire.
        state: None before Begin.
    """
    if command.expected_version is not None:
        version = state.version if state is not None else 0
        if command.expected_version != version:
            return Rejection("version_conflict", f"The session is at version {version}.")
    if state is not None and command.session_started_at not in {None, state.started_at}:
        return Rejection("not_current", "This survey was started anew meanwhile. Please answer this question again.")
    if state is not None and command.at < state.updated_at:
        command = replace(command, at=state.updated_at)
    match command:
        case Begin():
            return _begin(survey, state, command)
        case Save():
            return _save(survey, state, command)
        case _ if state is None:
            return Rejection("no_session", "There is no such session.")
        case Update():
            return _update(state, command)
        case Note():
            return Noted(at=command.at, label=command.action, step=command.step, answer=command.answer)
        case Expire():
            return _expire(survey, state, command)
        case _ if survey is None:
            return Rejection("not_current", "This session belongs to no survey of this server.")
        case Restart():
            return Restarted(at=command.at, step=survey.first_step, survey_revision=survey.revision)
        case _ if rejection := _ended(survey, state, command.at):
            return rejection
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


def status_at(survey: Survey | None, state: SessionState, at: int) -> Status:
    """Return the status at a time: a session expires without an event."""
    deadline = expires_at(survey, state)
    return state.status if deadline is None or at < deadline else "expired"


def expires_at(survey: Survey | None, state: SessionState) -> int | None:
    """Return microseconds since 1970 UTC; None if it does not expire."""
    if survey is None or survey.expires_after_us is None or state.status != "in_progress":
        return None
    return state.updated_at + survey.expires_after_us


def progress(survey: Survey | None, state: SessionState) -> float:
    """Return the share done, 0 to 1, assuming the longest way."""
    if state.status == "completed":
        return 1.0
    done = len(state.step_history)
    left = survey.graph.remaining.get(state.current_step, 1) if survey is not None else 1
    return done / (done + left)


def _not_current(step: str) -> Rejection:
    return Rejection("not_current", f"The step {step[:64]} is not on the route of this session.")


def _begin(survey: Survey | None, state: SessionState | None, command: Begin) -> AnyEvent | Rejection:
    if state is not None:
        return Rejection("already_begun", "The session has already begun.")
    if survey is None:
        return Rejection("no_session", "There is no such survey.")
    return Started(
        at=command.at,
        step=survey.first_step,
        survey_revision=survey.revision,
        is_audio_mode=command.is_audio_mode,
    )


def _ended(survey: Survey, state: SessionState, at: int) -> Rejection | None:
    match status_at(survey, state, at):
        case "completed":
            return Rejection("completed", "This survey is completed. Start again to change answers.")
        case "expired":
            return Rejection("expired", "The time for this survey is over. Start again to take it.")
        case "in_progress":
            return None


def _answer(survey: Survey, state: SessionState, command: Answer) -> AnyEvent | Rejection:
    step = survey.step(command.step)
    if step is None or not is_on_route(survey, state, command.step):
        return _not_current(command.step)
    value = command.value
    if step.is_empty(value):
        if step.required and step.takes_answer:
            return Rejection("required", "This question needs an answer.")
    else:
        try:
            value = step.check(value)
        except InvalidAnswer as error:
            return Rejection("invalid_answer", str(error))
    answers = {**state.answers, command.step: value}
    return _answered_at_end(survey, state, command, answers) or _answered(survey, state, command, answers)


def _answered_at_end(
    survey: Survey, state: SessionState, command: Answer, answers: Mapping[str, Any]
) -> Answered | None:
    """A fast path of :func:`_answered`, in a third of its time, for a first answer that no earlier rule reads.

    None if the whole route must be followed.
    """
    step = command.step
    if step != state.current_step or step in state.answers:
        return None
    passed = set(state.step_history)
    if state.answers.keys() != passed:
        return None  # a saved state
    if not passed.isdisjoint(survey.graph.dependents.get(step, ())):
        return None
    to, did_fail = survey.graph.next_step(step, answers)
    if to in answers:
        return None  # a cycle closes
    return Answered(
        at=command.at,
        step=step,
        answer=answers[step],
        to=to,
        keep=len(state.step_history),
        then=(step,),
        failed_conditions=(step,) if did_fail else (),
    )


def _answered(survey: Survey, state: SessionState, command: Answer, answers: Mapping[str, Any]) -> Answered:
    on_route, route = reroute(survey, state, command.step, answers)
    if command.step == state.current_step and command.step in route.steps:
        to = route.position_after(command.step)
    elif state.current_step in route.steps:
        to = state.current_step
    else:
        to = route.leads_to or route.steps[-1]
    keep, then = difference(state.step_history, route.before(to))
    return Answered(
        at=command.at,
        step=command.step,
        answer=answers[command.step],
        to=to,
        keep=keep,
        then=then,
        dropped=tuple(step for step in answers if step not in on_route),
        failed_conditions=route.failed_conditions,
    )


def _back(state: SessionState, command: Back) -> AnyEvent | Rejection:
    if not state.step_history:
        return Rejection("at_start", "This is the first step.")
    return WentBack(at=command.at, step=state.step_history[-1])


def _goto(survey: Survey, state: SessionState, command: Goto) -> AnyEvent | Rejection:
    if command.step in state.step_history:
        return WentTo(at=command.at, step=command.step, keep=state.step_history.index(command.step))
    route = whole_route(survey, state)
    if command.step not in route.steps:
        return _not_current(command.step)
    keep, then = difference(state.step_history, route.before(command.step))
    return WentTo(at=command.at, step=command.step, keep=keep, then=then)


def _draft(survey: Survey, state: SessionState, command: Draft) -> AnyEvent | Rejection:
    if not is_on_route(survey, state, command.step):
        return _not_current(command.step)
    if state.drafts.get(command.step) == command.value:
        return Rejection("unchanged", "This draft is already stored.")
    step = survey.step(command.step)
    if step is not None and not step.accepts_draft(command.value):
        return Rejection("invalid_answer", "The draft is longer than an answer may be.")
    return Drafted(at=command.at, step=command.step, answer=command.value)


def _save(survey: Survey | None, state: SessionState | None, command: Save) -> AnyEvent:
    revision = state.survey_revision if state is not None else None
    if revision is None and survey is not None:
        revision = survey.revision
    return Saved(at=command.at, survey_revision=revision, **_saved_fields(command))


def _update(state: SessionState, command: Update) -> AnyEvent:
    values = {**_saved_fields(state), **command.changes}
    return Saved(at=command.at, survey_revision=state.survey_revision, **values)


def _saved_fields(source: Save | SessionState) -> dict[str, Any]:
    names = ("current_step", "answers", "step_history", "is_audio_mode", "session_data")
    return {name: getattr(source, name) for name in names}


def _expire(survey: Survey | None, state: SessionState, command: Expire) -> AnyEvent | Rejection:
    if state.status != "expired" and status_at(survey, state, command.at) == "expired":
        return Expired(at=command.at)
    return Rejection("unchanged", "The session has not expired.")
