"""Stepkeep, a survey server that never loses an answer.

The packages, from the interfaces down to the core; imports go this way only (``make check`` enforces it):

=================  ================================================================================================
``serve``          starts the server: ``python -m app.serve``
``web/``           REST, the WebSocket, and the pages
``cli/``           the operator's commands
``client/``        the Python client of the WebSocket; independent of the server
``operations/``    backup, export, statistics, webhooks, maintenance, integrity checks, privacy, demo data
``access/``        tokens, API keys, sign-ins, permissions
``database``       :func:`get_database`, the simple Python API
``sessions/``      :class:`SessionStore`: every interface reads and changes sessions through it
``notifications/`` changes of sessions, between processes
``writer/``        group commit, and turns that wait while the database is unavailable
``store/``         SQL: tables, rows, queries, encryption, retries, drivers
``catalogue``      the survey files that this server offers
``observability/`` metrics, traces, log lines
``settings``       every setting
``survey/``        the pure core: surveys, step types, commands, events, and what a command does to a session
``core/``          small mechanisms: JSON, timestamps, files, deadlines
``errors``         every error
=================  ================================================================================================

docs/architecture.md follows an answer through them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .database import Database, get_database
    from .sessions import SessionStore, open_store
    from .settings import read_settings
    from .survey import Answer, Begin, SessionKey

__all__ = [
    "Answer",
    "Begin",
    "Database",
    "SessionKey",
    "SessionStore",
    "__version__",
    "get_database",
    "open_store",
    "read_settings",
]

__version__ = "0.1.0"

_HOMES = {
    "Answer": "survey",
    "Begin": "survey",
    "Database": "database",
    "SessionKey": "survey",
    "SessionStore": "sessions",
    "get_database": "database",
    "open_store": "sessions",
    "read_settings": "settings",
}


def __getattr__(name: str) -> object:
    # Imported on first use: a program that imports only the client must not import the server.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
