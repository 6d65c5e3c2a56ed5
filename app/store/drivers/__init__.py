"""The writer's statements and connections on each driver."""

from .connection import SessionLoader, WriterConnection, abandon_after_fork
from .statements import Changes, TurnStatements

__all__ = ["Changes", "SessionLoader", "TurnStatements", "WriterConnection", "abandon_after_fork"]
