"""The state of a session: the fold of its events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never

from ..core.session_dicts import Status
from . import events
from .events import AnyEvent

Answers = Mapping[str, Any]  # by step, as they are stored
END = "end"  # the target of rules that complete the survey


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """What only some surveys' sessions have; see the event ``Answered``."""

    language: str | None = None
    walk_started_at: int | None = None  # of a later walk; None for the session's `started_at`
    ending: int | None = None
    parameters: Mapping[str, Any] | None = None  # None if there are none
    values: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """The state of one participant in one survey; times are microseconds since 1970 UTC."""

    version: int  # the number of events
    survey_revision: str | None  # None if the survey is unknown
    status: Status
    current_step: str
    answers: Answers  # exactly those on the route, in its order
    step_history: tuple[str, ...]  # the route before the current step, oldest first
    is_audio_mode: bool
    drafts: Mapping[str, Any]  # unsubmitted answers, and answers to steps no longer on the route
    session_data: Mapping[str, Any] | None
    started_at: int
    updated_at: int
    completed_at: int | None
    context: SessionContext | None = None  # None if it would be empty

    @property
    def language(self) -> str | None:
        return None if self.context is None else self.context.language

    @property
    def ending(self) -> int | None:
        return None if self.context is None else self.context.ending

    @property
    def parameters(self) -> Mapping[str, Any]:
        return (self.context and self.context.parameters) or _NO_PARAMETERS

    @property
    def values(self) -> Mapping[str, Any] | None:
        return None if self.context is None else self.context.values

    @property
    def walk_started_at(self) -> int:
        later = None if self.context is None else self.context.walk_started_at
        return self.started_at if later is None else later

    @property
    def draft(self) -> Any:  # noqa: ANN401 - half-typed: any JSON
        """Of the current step; of a page, with its answers: perhaps only hidden fields have a draft."""
        return _with_other_fields(self.drafts.get(self.current_step), self.answers.get(self.current_step))


def fold(history: Iterable[AnyEvent], state: SessionState | None = None) -> SessionState | None:
    """Return the state after these events, oldest first."""
    for event in history:
        state = apply(state, event)
    return state


def apply(state: SessionState | None, event: AnyEvent) -> SessionState:  # noqa: C901 - one case an event
    """Return the state after ``event``; never fails, so any history can be folded."""
    before = state if state is not None else _initial(event.at)
    match event:
        case events.Answered():
            return _answered(before, event)
        case events.Drafted():
            return _after(before, event, drafts=_with_draft(before.drafts, event.step, event.answer))
        case events.WentBack():
            return _moved(before, event, event.step, before.step_history[:-1])
        case events.WentTo():
            return _moved(before, event, event.step, before.step_history[: event.keep] + event.then)
        case events.ModeSet():
            return _after(before, event, is_audio_mode=event.is_audio_mode)
        case events.LanguageSet():
            return _after(before, event, context=_context(before, language=event.language))
        case events.Started():
            context = _context(
                None,
                language=event.language,
                ending=event.ending,
                parameters=event.parameters or None,
                values=event.values,
            )
            return _new_walk(before, event, is_audio_mode=event.is_audio_mode, context=context)
        case events.Restarted():
            context = _context(before, walk_started_at=event.walk_started_at, ending=event.ending, values=event.values)
            return _new_walk(before, event, context=context)
        case events.Saved():
            return _saved(before, event)
        case events.Noted():
            return _after(before, event)
        case events.Expired():
            return _after(before, event, status="expired")
        case _:
            assert_never(event)


def _after(state: SessionState, event: AnyEvent, **changes: Any) -> SessionState:  # noqa: ANN401 - the state's fields
    return replace(state, version=state.version + 1, updated_at=event.at, **changes)


def _initial(at: int) -> SessionState:
    return SessionState(
        version=0,
        survey_revision=None,
        status="in_progress",
        current_step="",
        answers={},
        step_history=(),
        is_audio_mode=False,
        drafts={},
        session_data=None,
        started_at=at,
        updated_at=at,
        completed_at=None,
    )


def _context(before: SessionState | None, **changes: Any) -> SessionContext | None:  # noqa: ANN401 - its fields
    context = (before and before.context) or _NO_CONTEXT
    changed = replace(context, **changes)
    return None if changed == _NO_CONTEXT else changed


_NO_CONTEXT = SessionContext()
_NO_PARAMETERS: Mapping[str, Any] = {}


def _new_walk(state: SessionState, event: events.Started | events.Restarted, **changes: Any) -> SessionState:  # noqa: ANN401 - as above
    return _after(
        state,
        event,
        survey_revision=event.survey_revision,
        status="completed" if event.completes else "in_progress",
        current_step=event.step,
        answers={},
        step_history=(),
        drafts={},
        completed_at=event.at if event.completes else None,
        **changes,
    )


def _answered(state: SessionState, event: events.Answered) -> SessionState:
    answers = {**state.answers, event.step: event.answer}
    drafts = state.drafts
    hidden = _hidden_fields(event.answer, state.answers.get(event.step), drafts.get(event.step))
    if event.step in drafts or event.dropped or hidden:
        drafts = {step: value for step, value in drafts.items() if step != event.step}
        if hidden:
            drafts[event.step] = hidden
        for step in event.dropped:
            value = answers.pop(step, None)
            if value is not None:
                drafts[step] = _with_other_fields(value, drafts.get(step))
    for page, fields in event.trimmed.items():
        answer, draft = answers.get(page), drafts.get(page)
        if isinstance(answer, Mapping):
            answers[page] = {name: value for name, value in answer.items() if name not in fields}
            if hidden := {name: answer[name] for name in fields if answer.get(name) is not None}:
                drafts = {**drafts, page: _with_other_fields(hidden, draft)}
    completed = event.to == END
    # `replace` takes four times as long, and most events are answers.
    return SessionState(
        version=state.version + 1,
        survey_revision=state.survey_revision,
        status="completed" if completed else state.status,
        current_step=event.to,
        answers=answers,
        step_history=state.step_history[: event.keep] + event.then,
        is_audio_mode=state.is_audio_mode,
        drafts=drafts,
        session_data=state.session_data,
        started_at=state.started_at,
        updated_at=event.at,
        completed_at=event.at if completed else state.completed_at,
        context=_completed(state, event) if completed else state.context,
    )


def _hidden_fields(answer: Any, *earlier: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return what earlier ones have of the fields that a page's new answer leaves out."""
    if not isinstance(answer, Mapping):
        return {}
    known = {name: value for one in earlier if isinstance(one, Mapping) for name, value in one.items()}
    return {name: value for name, value in known.items() if name not in answer and value not in (None, "", [])}


def _with_other_fields(value: Any, earlier: Any) -> Any:  # noqa: ANN401 - any JSON
    is_page = isinstance(value, Mapping) and isinstance(earlier, Mapping)
    return {**earlier, **value} if is_page else value


def _completed(state: SessionState, event: events.Answered | events.Saved) -> SessionContext | None:
    if (event.ending, event.values) == (state.ending, state.values):
        return state.context
    return _context(state, ending=event.ending, values=event.values)


def _moved(state: SessionState, event: AnyEvent, to: str, step_history: tuple[str, ...]) -> SessionState:
    if to == END:
        return _after(state, event, current_step=END, step_history=step_history, status="completed", completed_at=None)
    return _after(state, event, current_step=to, step_history=step_history)


def _saved(state: SessionState, event: events.Saved) -> SessionState:
    completed = event.current_step == END
    return _after(
        state,
        event,
        survey_revision=event.survey_revision,
        status="completed" if completed else "in_progress",
        current_step=event.current_step,
        answers=dict(event.answers),
        step_history=event.step_history,
        is_audio_mode=event.is_audio_mode,
        session_data=event.session_data,
        drafts={step: value for step, value in state.drafts.items() if step not in event.answers},
        completed_at=(state.completed_at or event.at) if completed else None,
        context=_completed(state, event),
    )


def _with_draft(drafts: Mapping[str, Any], step: str, value: object) -> dict[str, Any]:
    changed = {**drafts, step: value}
    if value is None:
        del changed[step]
    return changed
