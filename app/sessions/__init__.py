"""The session service, the entry point for every interface."""

from ..store import Action, Cursor, RecordedEntry, SurveyCount
from . import erasure_replay
from .command_stream import CommandStream
from .queries import now_us
from .service import SessionStore, check_store, open_store
from .subscribers import Subscriber
from .turns import NewSession
from .validation import MAX_STATE_BYTES, MAX_STEP_LENGTH

__all__ = [
    "MAX_STATE_BYTES",
    "MAX_STEP_LENGTH",
    "Action",
    "CommandStream",
    "Cursor",
    "NewSession",
    "RecordedEntry",
    "SessionStore",
    "Subscriber",
    "SurveyCount",
    "check_store",
    "erasure_replay",
    "now_us",
    "open_store",
]
