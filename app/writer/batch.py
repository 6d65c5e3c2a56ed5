"""A batch of turns in one transaction: read their sessions, decide each in order, write what happened.

The straight walk of an answer through the store; ``writer.py`` says who calls it and when.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import orjson

from ..errors import MessageIdReused, MissingKey, StepkeepError
from ..store import rows
from ..store.drivers.connection import TurnStatements
from ..store.outbox import WebhookEvent
from ..store.rows import KnownMessage, Row, RowFormat, StoredSession
from ..survey import (
    Answered,
    AnyCommand,
    AnyEvent,
    Begin,
    Expired,
    ModeSet,
    Rejection,
    Restart,
    Restarted,
    SessionKey,
    SessionState,
    Snapshot,
    Started,
    Survey,
    WentBack,
    WentTo,
    apply,
    commands,
    decide,
)

FindSurvey = Callable[[str, str | None], Survey | None]
"""Gives the survey of an id and a revision (the newest for None); None where there is none. It raises
RevisionNotLoaded where it would have to wait: sessions are locked while it is asked."""

CACHEABLE_LENGTH = 8192
"""Characters of a session as JSON up to which a gateway may remember it."""

Turn = tuple[SessionKey, AnyCommand]


class RevisionNotLoaded(Exception):
    """A session is pinned to a survey's revision that this process has not loaded yet."""

    def __init__(self, survey_id: str, revision: str) -> None:
        self.survey_id = survey_id
        self.revision = revision
        super().__init__(f"{survey_id}@{revision}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The committed result of a command.

    Attributes:
        key: of the session.
        version: the one that the command made; of an earlier time if ``duplicate``.
        duplicate: it had been applied before, and nothing was done again.
        state: the session as it is now; not to be changed, the writer goes on from it.
        survey: the definition that the session is pinned to.
        event: what happened now; None if ``duplicate``.
    """

    key: SessionKey
    version: int
    duplicate: bool
    state: SessionState
    survey: Survey | None
    event: AnyEvent | None

    @property
    def snapshot(self) -> Snapshot:
        """The session as it is now."""
        return Snapshot(key=self.key, state=self.state, survey=self.survey)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A command that the survey's rules refuse; nothing was saved."""

    key: SessionKey
    rejection: Rejection
    state: SessionState | None
    survey: Survey | None

    @property
    def snapshot(self) -> Snapshot | None:
        """The session as it is now; None if there is none."""
        return None if self.state is None else Snapshot(key=self.key, state=self.state, survey=self.survey)


Result = Committed | Rejected


def commit_batch(
    gateway: TurnStatements, turns: Sequence[Turn], survey_for: FindSurvey
) -> list[Result | StepkeepError]:
    """Return what came of each turn, in order, committed; one that is refused doesn't stop the others.

    Raises:
        the driver's errors: nothing was committed, or that is not known.
    """
    batch = _Batch(gateway, turns, survey_for)
    results = [batch.decide(key, command) for key, command in turns]
    batch.commit()
    return results


def command_fingerprint(command: AnyCommand) -> str:
    """Return a hash of what the command asks: the same id with another content is a mistake."""
    kind = type(command)
    asked = {name: getattr(command, name) for name in _CONTENT_FIELDS[kind]}
    text = orjson.dumps([kind.__name__, asked], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=12).hexdigest()


_CONTENT_FIELDS = {
    kind: tuple(
        field.name for field in fields(kind) if field.name not in {item.name for item in fields(commands.Command)}
    )
    for kind in AnyCommand.__args__
}


_OWNED_EVENTS = (Answered, WentBack, WentTo, ModeSet, Started, Restarted)
"""Events that hold no list or object of the caller's, who may change it after his call."""


class _Batch:
    """The turns of one transaction: what was read, and what is to be written."""

    def __init__(self, gateway: TurnStatements, turns: Sequence[Turn], survey_for: FindSurvey) -> None:
        self._gateway = gateway
        self._survey_for = survey_for
        self._form = RowFormat(gateway.to_time, gateway.cipher)
        keys = dict.fromkeys(key for key, _ in turns)
        messages = dict.fromkeys((key, command.message_id) for key, command in turns if command.message_id is not None)
        found, known = gateway.begin(list(keys), list(messages))
        self._states: dict[SessionKey, StoredSession] = {
            key: one if isinstance(one, SessionState) else rows.parse_state(one, gateway.cipher)
            for key, one in found.items()
        }
        self._known = dict(rows.parse_known_message(row, gateway.cipher) for row in known)
        self._were_there = frozenset(self._states)
        self._changed: dict[SessionKey, tuple[SessionState, Survey | None]] = {}
        self._with_foreign_parts: set[SessionKey] = set()
        self._events: list[Row] = []
        self._news: list[Row] = []

    def decide(self, key: SessionKey, command: AnyCommand) -> Result | StepkeepError:
        state = self._states.get(key)
        if isinstance(state, StepkeepError):  # unreadable or locked: it fails alone
            return state
        begins = state is None or isinstance(command, Begin | Restart)
        survey = self._survey_for(key.survey_id, None if begins or state is None else state.survey_revision)
        message_id = command.message_id
        if message_id is None:
            fingerprint = None
        else:
            fingerprint = command_fingerprint(command)
            seen = self._known.get((key, message_id))
            if seen is not None:
                return _seen_again(key, seen, fingerprint, message_id, state, survey)
        event = decide(survey, state, command)
        if isinstance(event, Rejection):
            return Rejected(key=key, rejection=event, state=state, survey=survey)
        after = apply(state, event)
        self._states[key] = after
        self._changed[key] = after, survey
        if not isinstance(event, _OWNED_EVENTS):
            self._with_foreign_parts.add(key)
        self._events.append(rows.event_row(key, after.version, event, message_id, fingerprint, self._form))
        if state is None or after.status != state.status or type(event) is Restarted:
            told = webhook_events(state, event, after)
            self._news += [(name, *key, after.version, self._form.to_time(event.at)) for name in told]
        if message_id is not None:
            self._known[key, message_id] = KnownMessage(version=after.version, fingerprint=fingerprint)
        return Committed(key=key, version=after.version, duplicate=False, state=after, survey=survey, event=event)

    def commit(self) -> None:
        new: list[Row] = []
        changed: list[Row] = []
        states: dict[SessionKey, SessionState | None] = {}
        for key, (state, survey) in self._changed.items():
            expires_at = _expires_at(survey, state)
            row = rows.changed_row(key, state, expires_at, self._form)
            if key in self._were_there:
                changed.append(row)
            else:
                new.append(rows.new_row(row, self._form.to_time(state.started_at)))
            states[key] = None if key in self._with_foreign_parts or rows.text_length(row) > CACHEABLE_LENGTH else state
        self._gateway.commit(new, changed, self._events, states, self._news)


def webhook_events(before: SessionState | None, event: AnyEvent, after: SessionState) -> list[WebhookEvent]:
    """Return what webhooks are told of an event: a session begins, also anew; is completed by whatever; or expires."""
    told: list[WebhookEvent] = []
    if before is None or isinstance(event, Restarted):
        told.append("session.started")
    if after.status == "completed" and (before is None or before.status != "completed"):
        told.append("session.completed")
    if isinstance(event, Expired):
        told.append("session.expired")
    return told


def _seen_again(
    key: SessionKey,
    seen: KnownMessage,
    fingerprint: str,
    message_id: str,
    state: SessionState | None,
    survey: Survey | None,
) -> Committed | MessageIdReused | MissingKey:
    if seen.missing_key is not None:  # whether it is the same command can't be told
        return seen.missing_key
    if state is None or seen.fingerprint not in {None, fingerprint}:
        return MessageIdReused(message_id)
    return Committed(key=key, version=seen.version, duplicate=True, state=state, survey=survey, event=None)


def _expires_at(survey: Survey | None, state: SessionState) -> int | None:
    if survey is None or survey.expires_after_us is None or state.status != "in_progress":
        return None
    return state.updated_at + survey.expires_after_us
