"""The survey core, pure: times and ids arrive on the command.

:func:`decide` makes a command's event, :func:`apply` the state after it.
"""

from . import commands
from .commands import Answer, AnyCommand, Back, Begin, Draft, Expire, Goto, Note, Restart, Save, SetMode, Update
from .definition import Survey, parse_definition, parse_survey, survey_json_schema
from .events import (
    Answered,
    AnyEvent,
    Expired,
    ModeSet,
    Record,
    Restarted,
    Started,
    WentBack,
    WentTo,
    from_record,
    require_known,
    to_record,
)
from .flow import Rejection, decide, expires_at, status_at
from .snapshot import SessionKey, Snapshot
from .state import END, SessionState, Status, apply, fold

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
    "Goto",
    "ModeSet",
    "Note",
    "Record",
    "Rejection",
    "Restart",
    "Restarted",
    "Save",
    "SessionKey",
    "SessionState",
    "SetMode",
    "Snapshot",
    "Started",
    "Status",
    "Survey",
    "Update",
    "WentBack",
    "WentTo",
    "apply",
    "commands",
    "decide",
    "expires_at",
    "fold",
    "from_record",
    "parse_definition",
    "parse_survey",
    "require_known",
    "status_at",
    "survey_json_schema",
    "to_record",
]
