"""The writer's statements on each database driver, and its connections."""

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
