"""A batch of turns in one transaction: lock and read, decide in order, write."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import orjson

from ..core.languages import text
from ..errors import MessageIdReused, MissingKey, SessionFull, StepkeepError, UnreadableHere
from ..store import StoredSession, WebhookEvent, rows
from ..store.drivers import Changes, TurnStatements
from ..survey import (
    Answer,
    Answered,
    AnyCommand,
    AnyEvent,
    Back,
    Begin,
    Draft,
    Expired,
    Goto,
    LanguageSet,
    ModeSet,
    Rejection,
    Restart,
    Restarted,
    SessionKey,
    SessionState,
    SetLanguage,
    SetMode,
    Snapshot,
    Started,
    Survey,
    WentBack,
    WentTo,
    apply,
    commands,
    decide,
    expires_at,
)


class FindSurvey(Protocol):
    """Raises RevisionNotLoaded instead of waiting, because sessions are locked."""

    def __call__(self, survey_id: str, revision: str | None, language: str | None = None, /) -> Survey | None: ...


CACHEABLE_LENGTH = 8192

Turn = tuple[SessionKey, AnyCommand]


class RevisionNotLoaded(Exception):
    """This process lacks a revision, or its texts in a language."""

    def __init__(self, survey_id: str, revision: str, language: str | None = None) -> None:
        self.survey_id = survey_id
        self.revision = revision
        self.language = language
        super().__init__(f"{survey_id}@{revision}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Not to be modified: the writer shares it. A duplicate has no event, and the version of its first commit."""

    snapshot: Snapshot
    version: int
    duplicate: bool
    event: AnyEvent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The survey's rules reject the command; nothing changed."""

    snapshot: Snapshot | None
    rejection: Rejection


Result = Committed | Rejected


class Quota(NamedTuple):
    """A history's limits. Drafts may take half: answers are still accepted."""

    versions: int
    size_bytes: int

    def is_exceeded(self, command: AnyCommand, version: int, size_bytes: int) -> bool:
        """Integrators' commands count, but are not refused."""
        if version * 2 <= self.versions and size_bytes * 2 <= self.size_bytes:
            return False
        share = 2 if isinstance(command, Draft) else 1
        is_beyond = version * share > self.versions or size_bytes * share > self.size_bytes
        return is_beyond and isinstance(command, _PARTICIPANTS_COMMANDS)


def commit_batch(
    statements: TurnStatements, turns: Sequence[Turn], find_survey: FindSurvey, quota: Quota
) -> list[Result | StepkeepError]:
    """Commit the turns and return their results, in order.

    Raises:
        Unauthorized: a Begin's participant has no access any more; nothing was committed.
        the driver's errors: nothing was committed, or the outcome is unknown.
    """
    batch = _Batch(statements, turns, find_survey, quota)
    results = [batch.decide(key, command) for key, command in turns]
    batch.commit()
    return results


def command_fingerprint(command: AnyCommand) -> str:
    """Return a hash that detects a message id's reuse."""
    kind = type(command)
    content = {name: getattr(command, name) for name in _CONTENT_FIELDS[kind]}
    for name, default in _LATER_FIELDS.get(kind, ()):
        if content[name] == default:
            del content[name]
    text = orjson.dumps([kind.__name__, content], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=12).hexdigest()


_CONTENT_FIELDS = {
    kind: tuple(
        field.name for field in fields(kind) if field.name not in {item.name for item in fields(commands.Command)}
    )
    for kind in AnyCommand.__args__
}

_LATER_FIELDS: Mapping[type[AnyCommand], tuple[tuple[str, object], ...]] = {
    Answer: (("confirmed", False),),
    Begin: (("languages", ()), ("parameters", {})),
}
"""With their default, at which they are left out: a command of an earlier release, sent again, has the same hash."""

_PARTICIPANTS_COMMANDS = (Answer, Back, Goto, SetMode, SetLanguage, Draft, Restart)

_OWNED_EVENTS = (Answered, WentBack, WentTo, ModeSet, LanguageSet, Started, Restarted)
"""Without objects that the caller could modify after the call."""


class _Batch:
    def __init__(
        self, statements: TurnStatements, turns: Sequence[Turn], find_survey: FindSurvey, quota: Quota
    ) -> None:
        self._statements = statements
        self._turns = turns
        self._find_survey = find_survey
        self._quota = quota
        self._format = rows.RowFormat(statements.to_time, statements.cipher)
        keys = dict.fromkeys(key for key, _ in turns)
        messages = dict.fromkeys((key, command.message_id) for key, command in turns if command.message_id is not None)
        existing, known = statements.begin(list(keys), list(messages))
        self._states: dict[SessionKey, StoredSession] = {
            key: session.state
            if isinstance(session, rows.WrittenSession)
            else rows.parse_state(session, statements.cipher)
            for key, session in existing.items()
        }
        self._history_bytes: dict[SessionKey, int] = {key: session[-1] for key, session in existing.items()}
        self._known = dict(rows.parse_known_message(row, statements.cipher) for row in known)
        self._existing = frozenset(self._states)
        self._changed: dict[SessionKey, tuple[SessionState, Survey | None]] = {}
        self._shared: set[SessionKey] = set()
        self._events: list[rows.Row] = []
        self._webhook_events: list[rows.Row] = []

    def decide(self, key: SessionKey, command: AnyCommand) -> Result | StepkeepError:
        state = self._states.get(key)
        if isinstance(state, StepkeepError):  # unreadable: it fails alone
            return state
        try:
            survey = self._survey(key, state, command)
        except UnreadableHere as error:
            return error
        message_id = command.message_id
        if message_id is None:
            fingerprint = None
        else:
            fingerprint = command_fingerprint(command)
            known = self._known.get((key, message_id))
            if known is not None:
                return _repeat(key, known, fingerprint, message_id, state, survey)
        event = decide(survey, state, command)
        if isinstance(event, Rejection):
            before = None if state is None else Snapshot(key=key, state=state, survey=survey)
            return Rejected(snapshot=before, rejection=event)
        return self._accept(key, (state, survey), command, event, fingerprint)

    def _accept(
        self,
        key: SessionKey,
        before: tuple[SessionState | None, Survey | None],
        command: AnyCommand,
        event: AnyEvent,
        fingerprint: str | None,
    ) -> Committed | SessionFull:
        state, survey = before
        message_id = command.message_id
        after = apply(state, event)
        row = rows.event_row(key, after.version, event, message_id, fingerprint, self._format)
        history_bytes = self._history_bytes.get(key, 0) + rows.event_bytes(row)
        if self._quota.is_exceeded(command, after.version, history_bytes):
            language = Snapshot(key=key, state=after, survey=survey).language or "en"
            return SessionFull(text(language, "refusals.session_full"))
        self._states[key] = after
        self._history_bytes[key] = history_bytes
        self._changed[key] = after, survey
        if not isinstance(event, _OWNED_EVENTS):
            self._shared.add(key)
        self._events.append(row)
        if state is None or after.status != state.status or type(event) is Restarted:
            at = self._format.to_time(event.at)
            self._webhook_events += [(name, *key, after.version, at) for name in _webhook_events(state, event, after)]
        if message_id is not None:
            self._known[key, message_id] = rows.KnownMessage(version=after.version, fingerprint=fingerprint)
        snapshot = Snapshot(key=key, state=after, survey=survey)
        return Committed(snapshot=snapshot, version=after.version, duplicate=False, event=event)

    def _survey(self, key: SessionKey, state: SessionState | None, command: AnyCommand) -> Survey | None:
        revision, language = (None, None) if state is None else (state.survey_revision, state.language)
        current = self._find_survey(key.survey_id, revision, language)
        return self._find_survey(key.survey_id, None) if isinstance(command, Begin | Restart) else current

    def commit(self) -> None:
        new: list[rows.Row] = []
        changed: list[rows.Row] = []
        written: dict[SessionKey, rows.WrittenSession | None] = {}
        for key, (state, survey) in self._changed.items():
            session = rows.WrittenSession(state, self._history_bytes[key])
            row = rows.changed_row(key, session, expires_at(survey, state), self._format)
            if key in self._existing:
                changed.append(row)
            else:
                new.append(rows.new_row(row, self._format.to_time(state.started_at)))
            written[key] = None if key in self._shared or rows.text_length(row) > CACHEABLE_LENGTH else session
        self._statements.commit(Changes(new, changed, self._events, written, self._webhook_events, self._granted()))

    def _granted(self) -> dict[SessionKey, int]:
        granted: dict[SessionKey, int] = {}
        for key, command in self._turns:
            if isinstance(command, Begin) and command.granted_at is not None:
                granted[key] = min(command.granted_at, granted.get(key, command.granted_at))
        return granted


def _webhook_events(before: SessionState | None, event: AnyEvent, after: SessionState) -> Iterator[WebhookEvent]:
    earlier = None if isinstance(event, Restarted) else before
    if earlier is None:
        yield "session.started"
    if after.status == "completed" and (earlier is None or earlier.status != "completed"):
        yield "session.completed"
    if isinstance(event, Expired):
        yield "session.expired"


def _repeat(
    key: SessionKey,
    known: rows.KnownMessage,
    fingerprint: str,
    message_id: str,
    state: SessionState | None,
    survey: Survey | None,
) -> Committed | MessageIdReused | MissingKey:
    if known.missing_key is not None:  # can't be compared
        return known.missing_key
    if state is None or known.fingerprint not in {None, fingerprint}:
        return MessageIdReused(message_id)
    snapshot = Snapshot(key=key, state=state, survey=survey)
    return Committed(snapshot=snapshot, version=known.version, duplicate=True, event=None)
