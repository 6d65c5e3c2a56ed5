"""The survey core, pure: times and ids arrive on the command.

:func:`decide` makes a command's event, :func:`apply` the state after it.
"""

from ..core.session_dicts import Status
from . import commands
from .checks import Finding, ValueFacts, ValueKind, check_survey, file_error, parse_survey, sample_answers, value_facts
from .client_steps import with_html
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
)
from .definition import Survey, parse_definition, survey_json_schema
from .events import (
    Answered,
    AnyEvent,
    Expired,
    LanguageSet,
    ModeSet,
    Record,
    Restarted,
    Saved,
    Started,
    WentBack,
    WentTo,
    from_record,
    require_known,
    to_record,
)
from .flow import decide, expires_at, status_at
from .markdown import MarkdownText
from .pages import answer_fields
from .parameters import Given, Parameter, ParameterSource, accept_invitation, accept_parameters, parse_parameters
from .resolve import described_step, resolve_at
from .scopes import route_scope, with_filled_heading
from .snapshot import SessionKey, Snapshot
from .state import END, SessionContext, SessionState, apply, fold

__all__ = [
    "END",
    "Answer",
    "Answered",
    "AnyCommand",
    "AnyEvent",
    "Back",
    "Begin",
    "Draft",
    "Expire",
    "Expired",
    "Finding",
    "Given",
    "Goto",
    "LanguageSet",
    "MarkdownText",
    "ModeSet",
    "Note",
    "Parameter",
    "ParameterSource",
    "Record",
    "Rejection",
    "Restart",
    "Restarted",
    "Save",
    "Saved",
    "SessionContext",
    "SessionKey",
    "SessionState",
    "SetLanguage",
    "SetMode",
    "Snapshot",
    "Started",
    "Status",
    "Survey",
    "Update",
    "ValueFacts",
    "ValueKind",
    "WentBack",
    "WentTo",
    "accept_invitation",
    "accept_parameters",
    "answer_fields",
    "apply",
    "check_survey",
    "commands",
    "decide",
    "described_step",
    "expires_at",
    "file_error",
    "fold",
    "from_record",
    "parse_definition",
    "parse_parameters",
    "parse_survey",
    "require_known",
    "resolve_at",
    "route_scope",
    "sample_answers",
    "status_at",
    "survey_json_schema",
    "to_record",
    "value_facts",
    "with_filled_heading",
    "with_html",
]
