"""Events: what happened to a session.

They say where they led, so that editing a survey can't change a session. A type's meaning never changes: add a type, or
fields with a default in a later schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple, get_args

from ..errors import OtherRelease


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events have."""

    action: ClassVar[str]

    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The session began; see :class:`Answered`."""

    action: ClassVar[str] = "started"
    step: str  # the first that is shown
    survey_revision: str
    is_audio_mode: bool
    language: str | None = None  # None if the survey has only its own
    completes: bool = False  # no step is shown, and `step` is "end"
    ending: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Event):
    """A step was answered."""

    action: ClassVar[str] = "answered"
    step: str
    answer: Any
    to: str  # the new current step; "end" completes the survey
    keep: int  # how many first steps of the step history stay
    then: tuple[str, ...] = ()  # the steps that follow them
    dropped: tuple[str, ...] = ()  # left the route; their answers become drafts
    failed_conditions: tuple[str, ...] = ()  # steps with a condition that failed to evaluate
    language: str | None = None  # None if the survey has only its own
    confirmed: bool = False  # the participant has seen the warnings of the step's checks
    ending: int | None = None  # from 1; None before completion, or if none applies
    values: Mapping[str, Any] | None = None  # computed ones; None before completion, or if there are none
    # By page: fields not shown any more, or whose options are not; their answers become drafts.
    trimmed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WentBack(Event):
    """The participant returned to the previous step."""

    action: ClassVar[str] = "went_back"
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WentTo(Event):
    """The participant went to ``step``; see :class:`Answered`."""

    action: ClassVar[str] = "went_to"
    step: str
    keep: int
    then: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSet(Event):
    """The mode was set."""

    action: ClassVar[str] = "mode_set"
    is_audio_mode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageSet(Event):
    """The language was set."""

    action: ClassVar[str] = "language_set"
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted(Event):
    """A draft was set; null removed it."""

    action: ClassVar[str] = "drafted"
    step: str
    answer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted(Event):
    """The session started again; see :class:`Answered`."""

    action: ClassVar[str] = "restarted"
    step: str
    survey_revision: str
    walk_started_at: int | None = None  # the event's time, if conditions read the time
    completes: bool = False
    ending: int | None = None
    values: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(Event):
    """The whole state was replaced; see :class:`Answered`."""

    action: ClassVar[str] = "saved"
    current_step: str
    answers: Mapping[str, Any]
    step_history: tuple[str, ...]
    is_audio_mode: bool
    session_data: Mapping[str, Any] | None
    survey_revision: str | None
    ending: int | None = None
    values: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """An integrator's own entry, ``label``; it changes no state."""

    action: ClassVar[str] = "noted"
    label: str
    step: str | None
    answer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired(Event):
    """The session expired."""

    action: ClassVar[str] = "expired"


AnyEvent = (
    Started | Answered | WentBack | WentTo | ModeSet | LanguageSet | Drafted | Restarted | Saved | Noted | Expired
)

EVENT_TYPES: Mapping[str, type[AnyEvent]] = {event.action: event for event in get_args(AnyEvent)}


class Record(NamedTuple):
    """A stored event: four columns, and the other fields as JSON."""

    action: str
    at: int
    step: str | None
    answer: Any
    data: Mapping[str, Any]


_LATER_FIELDS = {
    Started.action: (frozenset({"language", "completes", "ending"}), frozenset({"parameters", "values"})),
    Answered.action: (frozenset({"language", "confirmed", "ending"}), frozenset({"values", "trimmed"})),
    Restarted.action: (frozenset({"walk_started_at", "completes", "ending"}), frozenset({"values"})),
    Saved.action: (frozenset({"ending"}), frozenset({"values"})),
}
"""Fields of schema 2 and 3. An event without any is stored with an earlier schema, as earlier releases store it."""

_COLUMNS = frozenset({"at", "step", "current_step", "answer"})
_RENAMED = {"label": "action"}  # the Python API's name
_OPTIONAL_LISTS = frozenset({"then", "dropped", "failed_conditions"})
_LISTS = _OPTIONAL_LISTS | {"step_history"}
# Left out if empty, as in most answers.
_OPTIONAL = _OPTIONAL_LISTS.union(*(names for later in _LATER_FIELDS.values() for names in later))


_FIELDS = {
    action: tuple((one.name, _RENAMED.get(one.name, one.name)) for one in fields(kind) if one.name not in _COLUMNS)
    for action, kind in EVENT_TYPES.items()
}
_HAS_STEP = frozenset(action for action, kind in EVENT_TYPES.items() if "step" in kind.__slots__)
_HAS_ANSWER = frozenset(action for action, kind in EVENT_TYPES.items() if "answer" in kind.__slots__)


def to_record(event: AnyEvent) -> Record:
    """Return the event as it is stored."""
    action = event.action
    data = {key: value for name, key in _FIELDS[action] if (value := getattr(event, name)) or name not in _OPTIONAL}
    for schema, names in enumerate(_LATER_FIELDS.get(action, ()), start=2):
        if not names.isdisjoint(data):
            data["schema"] = schema
    step = event.current_step if isinstance(event, Saved) else event.step if action in _HAS_STEP else None  # type: ignore[union-attr]
    return Record(action, event.at, step, event.answer if action in _HAS_ANSWER else None, data)  # type: ignore[union-attr]


def require_known(record: Record) -> None:
    """Raise OtherRelease if the action, or its schema, is unknown."""
    if record.action not in EVENT_TYPES:
        raise OtherRelease(f"The event {record.action!r} is of another release.")
    schema = record.data.get("schema", 1)
    if schema > len(_LATER_FIELDS.get(record.action, ())) + 1:
        raise OtherRelease(f"Schema {schema} of the event {record.action!r} is of another release.")


def from_record(record: Record) -> AnyEvent:
    """Return the event of a record; raise OtherRelease, or ValueError if the data does not fit the action."""
    require_known(record)
    event_type = EVENT_TYPES[record.action]
    data = record.data
    values: dict[str, Any] = {
        name: tuple(data[key]) if name in _LISTS else data[key] for name, key in _FIELDS[record.action] if key in data
    }
    if record.action in _HAS_STEP:
        values["step"] = record.step
    elif event_type is Saved:
        values["current_step"] = record.step
    if record.action in _HAS_ANSWER:
        values["answer"] = record.answer
    try:
        return event_type(at=record.at, **values)
    except TypeError as error:
        raise ValueError(f"the data of {record.action!r} does not fit it") from error
