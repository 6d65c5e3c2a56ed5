"""The rules of every interface: what a command does to a session."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

from ..core.session_dicts import Status
from . import events
from .answering import accepted_value, confirms_warning
from .commands import (
    Answer,
    AnyCommand,
    Back,
    Begin,
    Draft,
    Expire,
    Goto,
    Note,
    Rejection,
    Restart,
    Save,
    SetLanguage,
    SetMode,
    Update,
    refuse,
)
from .conditions import ExpressionContext
from .definition import Survey
from .events import AnyEvent
from .pages import with_hidden_draft
from .routing import difference, is_on_route, reroute, whole_route
from .scopes import expression_context, present_scope, route_context
from .state import END, Answers, SessionState
from .types import PageStep


def decide(  # noqa: C901 - one case a command
    survey: Survey | None, state: SessionState | None, command: AnyCommand
) -> AnyEvent | Rejection:
    """Return the command's one event, or why it is refused. Never raises.

    The event is no earlier than the session's last one: clocks are set back, and those of servers differ. ``survey`` is
    the session's revision, for Begin and Restart the newest; None allows only Save, Update, Note and Expire.
    """
    version = 0 if state is None else state.version
    if command.expected_version not in {None, version}:
        return Rejection("version_conflict", f"The session is at version {version}.")
    if state is not None and command.session_started_at not in {None, state.started_at}:
        return refuse(survey, "not_current", "started_again")
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
            return _update(survey, state, command)
        case Note():
            return events.Noted(at=command.at, label=command.action, step=command.step, answer=command.answer)
        case Expire():
            return _expire(survey, state, command)
        case _ if survey is None:
            return refuse(survey, "not_current", "no_survey")
        case Restart():
            return _restart(survey, state, command.at)
        case _:
            shown = survey if state.language is None else survey.in_language(state.language)
            return _decide_turn(shown, state, command)


def _decide_turn(
    survey: Survey, state: SessionState, command: Answer | Back | Goto | SetMode | SetLanguage | Draft
) -> AnyEvent | Rejection:
    if (ended := _ended(survey, state, command.at)) and not (
        isinstance(command, SetLanguage) and ended.code == "completed"
    ):
        return ended
    match command:
        case Answer():
            return _answer(survey, state, command)
        case Back():
            return _back(survey, state, command)
        case Goto():
            return _goto(survey, state, command)
        case SetMode():
            return events.ModeSet(at=command.at, is_audio_mode=command.is_audio_mode)
        case SetLanguage():
            return _set_language(survey, command)
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


def _not_current(survey: Survey, step: str) -> Rejection:
    return refuse(survey, "not_current", "not_on_route", step=step[:64])


def _begin(survey: Survey | None, state: SessionState | None, command: Begin) -> AnyEvent | Rejection:
    if state is not None:
        return Rejection("already_begun", "The session has already begun.")
    if survey is None:
        return Rejection("no_session", "There is no such survey.")
    return events.Started(
        at=command.at,
        survey_revision=survey.revision,
        is_audio_mode=command.is_audio_mode,
        language=(survey.offered_language(*command.languages) or survey.language) if survey.has_languages else None,
        parameters=command.parameters,
        **_first_step(survey, command.at, command.parameters),
    )


def _restart(survey: Survey, state: SessionState, at: int) -> events.Restarted:
    walk_started_at = at if survey.conditions.route_reads_time else None
    first = _first_step(survey, at, state.parameters)
    return events.Restarted(at=at, survey_revision=survey.revision, walk_started_at=walk_started_at, **first)


def _first_step(survey: Survey, at: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    context = route_context(survey, at, parameters)
    step = survey.graph.first_step(context)
    return {"step": step} if step != END else {"step": END, "completes": True, **_completion(survey, at, context, {})}


def _completion(survey: Survey, at: int, context: ExpressionContext, answers: Answers) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    route = survey.conditions.scope(answers, context)
    if survey.values:
        facts["values"] = dict(route.values)
    if survey.end:
        facts["ending"] = survey.conditions.choose_ending(present_scope(survey, route, at))
    return facts


def _set_language(survey: Survey, command: SetLanguage) -> AnyEvent | Rejection:
    language = survey.offered_language(command.language)
    if language is None:
        return refuse(survey, "invalid_language", "no_such_language", languages=", ".join(survey.offered_languages))
    return events.LanguageSet(at=command.at, language=language)


def _ended(survey: Survey, state: SessionState, at: int) -> Rejection | None:
    match status_at(survey, state, at):
        case "completed":
            return refuse(survey, "completed", "completed")
        case "expired":
            return refuse(survey, "expired", "expired")
        case "in_progress":
            return None


def _answer(survey: Survey, state: SessionState, command: Answer) -> AnyEvent | Rejection:
    step = survey.step(command.step)
    if step is None or not is_on_route(survey, state, command.step):
        return _not_current(survey, command.step)
    value = accepted_value(survey, step, state, command)
    if isinstance(value, Rejection):
        return value
    if command.confirmed and not confirms_warning(survey, step, state, command, value):
        command = replace(command, confirmed=False)
    answers = {**state.answers, command.step: value}
    return _answered_simply(survey, state, command, answers) or _answered(survey, state, command, answers)


def _answered_simply(survey: Survey, state: SessionState, command: Answer, answers: Answers) -> events.Answered | None:
    """Return the event in a third of the time of :func:`_answered`; None if the whole route must be followed.

    It need not for a first answer that no earlier rule reads, and another answer that no rule reads at all.
    """
    step, history = command.step, state.step_history
    if step in survey.graph.readers.early or state.answers.keys() != set(history):
        return None  # or a saved state
    if step == state.current_step and step not in state.answers:
        to, did_fail = survey.graph.next_step(step, answers, expression_context(survey, state))
        if to in answers:
            return None  # a cycle closes
        then: tuple[str, ...] = (step,)
    elif step in state.answers and survey.graph.leads_on(step, (*history, state.current_step)):
        to, did_fail, then = state.current_step, False, ()
    else:
        return None
    has_facts = survey.adds_to_answers or command.confirmed
    return events.Answered(
        at=command.at,
        step=step,
        answer=answers[step],
        to=to,
        keep=len(history),
        then=then,
        failed_conditions=(step,) if did_fail else (),
        **(_answer_facts(survey, state, command, to, answers) if has_facts else _NO_FACTS),
    )


_NO_FACTS: dict[str, Any] = {}


def _answer_facts(survey: Survey, state: SessionState, command: Answer, to: str, answers: Answers) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if survey.has_languages:
        facts["language"] = survey.shown_language
    if command.confirmed:
        facts["confirmed"] = True
    if to == END:
        facts |= _completion(survey, command.at, expression_context(survey, state), answers)
    return facts


def _answered(survey: Survey, state: SessionState, command: Answer, answers: Answers) -> events.Answered:
    on_route, route = reroute(survey, state, command.step, answers)
    if command.step == state.current_step and command.step in route.steps:
        to = route.position_after(command.step)
    elif state.current_step in route.steps:
        to = state.current_step
    else:
        to = route.leads_to or route.steps[-1]
    keep, then = difference(state.step_history, route.before(to))
    return events.Answered(
        at=command.at,
        step=command.step,
        answer=answers[command.step],
        to=to,
        keep=keep,
        then=then,
        dropped=tuple(step for step in answers if step not in on_route),
        failed_conditions=route.failed_conditions,
        trimmed={page: tuple(fields) for page, fields in route.trimmed.items()},
        **_answer_facts(survey, state, command, to, on_route),
    )


def _back(survey: Survey, state: SessionState, command: Back) -> AnyEvent | Rejection:
    if not state.step_history:
        return refuse(survey, "at_start", "at_start")
    return events.WentBack(at=command.at, step=state.step_history[-1])


def _goto(survey: Survey, state: SessionState, command: Goto) -> AnyEvent | Rejection:
    if command.step in state.step_history:
        return events.WentTo(at=command.at, step=command.step, keep=state.step_history.index(command.step))
    route = whole_route(survey, state)
    if command.step not in route.steps:
        return _not_current(survey, command.step)
    keep, then = difference(state.step_history, route.before(command.step))
    return events.WentTo(at=command.at, step=command.step, keep=keep, then=then)


def _draft(survey: Survey, state: SessionState, command: Draft) -> AnyEvent | Rejection:
    if not is_on_route(survey, state, command.step):
        return _not_current(survey, command.step)
    step, draft = survey.step(command.step), command.value
    if step is not None and not step.accepts_draft(draft):
        return refuse(survey, "invalid_answer", "draft_too_long")
    if isinstance(step, PageStep) and isinstance(draft, Mapping):
        draft = with_hidden_draft(survey, step, state, draft)
    if state.drafts.get(command.step) == draft:
        return Rejection("unchanged", "This draft is already stored.")
    return events.Drafted(at=command.at, step=command.step, answer=draft)


def _save(survey: Survey | None, state: SessionState | None, command: Save) -> AnyEvent:
    revision = state.survey_revision if state is not None else None
    if revision is None and survey is not None:
        revision = survey.revision
    fields = _saved_fields(command)
    return events.Saved(
        at=command.at, survey_revision=revision, **_saved_completion(survey, state, command.at, fields), **fields
    )


def _update(survey: Survey | None, state: SessionState, command: Update) -> AnyEvent:
    fields = {**_saved_fields(state), **command.changes}
    if state.status == "completed" and command.changes.keys().isdisjoint({"current_step", "answers"}):
        completion: dict[str, Any] = {"ending": state.ending, "values": state.values}
    else:
        completion = _saved_completion(survey, state, command.at, fields)
    return events.Saved(at=command.at, survey_revision=state.survey_revision, **completion, **fields)


def _saved_completion(
    survey: Survey | None, state: SessionState | None, at: int, fields: Mapping[str, Any]
) -> dict[str, Any]:
    if survey is None or fields["current_step"] != END:
        return {}
    context = route_context(survey, *((at, {}) if state is None else (state.walk_started_at, state.parameters)))
    return _completion(survey, at, context, fields["answers"])


def _saved_fields(source: Save | SessionState) -> dict[str, Any]:
    names = ("current_step", "answers", "step_history", "is_audio_mode", "session_data")
    return {name: getattr(source, name) for name in names}


def _expire(survey: Survey | None, state: SessionState, command: Expire) -> AnyEvent | Rejection:
    if state.status != "expired" and status_at(survey, state, command.at) == "expired":
        return events.Expired(at=command.at)
    return Rejection("unchanged", "The session has not expired.")
