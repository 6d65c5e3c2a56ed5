"""The import path that existing integrations use: ``from database import get_database``."""

from app.database import Database, get_database

__all__ = ["Database", "get_database"]
