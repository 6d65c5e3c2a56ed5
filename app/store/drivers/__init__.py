"""The writer's statements and connections on each driver."""

from .connection import SessionLoader, WriterConnection
from .statements import Changes, TurnStatements

__all__ = ["Changes", "SessionLoader", "TurnStatements", "WriterConnection"]
