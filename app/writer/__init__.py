"""Group commit of many sessions' turns, and the queue for outages."""

from .batch import CACHEABLE_LENGTH, Committed, FindSurvey, Rejected, Result, RevisionNotLoaded, Turn
from .group_commit import Writer
from .pending import Backlog, PendingQueue, Queued, ResultCallback

__all__ = [
    "CACHEABLE_LENGTH",
    "Backlog",
    "Committed",
    "FindSurvey",
    "PendingQueue",
    "Queued",
    "Rejected",
    "Result",
    "ResultCallback",
    "RevisionNotLoaded",
    "Turn",
    "Writer",
]
