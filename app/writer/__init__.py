"""Group commit of many sessions' turns, and the queue for outages."""

from .batch import CACHEABLE_LENGTH, Committed, FindSurvey, Rejected, Result, RevisionNotLoaded, Turn
from .group_commit import Writer
from .in_transaction import OrmSession, TransactionTurns
from .pending import Backlog, PendingQueue, Queued, ResultCallback
from .request import WriteRequest

__all__ = [
    "CACHEABLE_LENGTH",
    "Backlog",
    "Committed",
    "FindSurvey",
    "OrmSession",
    "PendingQueue",
    "Queued",
    "Rejected",
    "Result",
    "ResultCallback",
    "RevisionNotLoaded",
    "TransactionTurns",
    "Turn",
    "WriteRequest",
    "Writer",
]
