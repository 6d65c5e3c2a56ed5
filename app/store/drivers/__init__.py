"""The writer's statements and connections on each driver."""

from .callers_transaction import CallersTransactions
from .connection import REVISION, CheckSchema, SessionLoader, WriterConnection
from .sqlite import database_file
from .sqlite_file import in_use_mark
from .statements import Changes, TurnStatements

__all__ = [
    "REVISION",
    "CallersTransactions",
    "Changes",
    "CheckSchema",
    "SessionLoader",
    "TurnStatements",
    "WriterConnection",
    "database_file",
    "in_use_mark",
]
