"""The writer's statements and connections on each driver."""

from . import mysql, postgresql, sqlite
from .connection import SessionLoader, TurnStatements, WriterConnection, abandon_after_fork

__all__ = [
    "SessionLoader",
    "TurnStatements",
    "WriterConnection",
    "abandon_after_fork",
    "mysql",
    "postgresql",
    "sqlite",
]
