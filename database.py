"""The import path that existing integrations use: ``from database import get_database``."""

from app import Database, HistoryDict, SessionDict, get_database

__all__ = ["Database", "HistoryDict", "SessionDict", "get_database"]
