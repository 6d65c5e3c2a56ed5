"""Stepkeep, a survey server that never loses an answer.

The packages, from the interfaces down to the core; imports go this way only (``make check`` enforces it):

=================  ================================================================================================
``__main__``       the command ``stepkeep``
``serve/``         starts the server: ``python -m app.serve``; gunicorn's configuration
``flask``          a Flask extension: Stepkeep in an existing application
``testing``        pytest fixtures for programs that use Stepkeep
``web/``           REST, the WebSocket, the pages, and the preview of a survey file
``cli/``           the operator's commands
``client/``        the Python client of the WebSocket; independent of the server
``operations/``    backup, export, statistics, webhooks, maintenance, integrity checks, privacy, demo data
``aio``            the simple Python API and the store for asyncio
``access/``        tokens, API keys, sign-ins, permissions
``database``       :func:`get_database`, the simple Python API
``sessions/``      :class:`SessionStore`: every interface reads and changes sessions through it
``notifications/`` changes of sessions, between processes
``writer/``        group commit, and turns that wait while the database is unavailable
``store/``         SQL: tables, rows, queries, encryption, retries, drivers
``catalogue/``     the survey files that this server offers, and their images
``observability/`` metrics, traces, log lines
``settings``       every setting
``survey/``        the pure core: surveys, step types, commands, events, and what a command does to a session
``core/``          small mechanisms: JSON, timestamps, files, deadlines, and the server's own texts
``errors``         every error
=================  ================================================================================================

docs/architecture.md follows an answer through them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .core.installation import __version__

if TYPE_CHECKING:
    from .core.session_dicts import EventDict, HistoryDict, SessionDict, SessionFields
    from .database import Database, get_database
    from .sessions import SessionStore, open_store
    from .settings import Settings, read_settings
    from .store import HistoryEntry
    from .survey import (
        Answer,
        AnyCommand,
        Back,
        Begin,
        Draft,
        Expire,
        Given,
        Goto,
        Note,
        Rejection,
        Restart,
        Save,
        SessionKey,
        SessionState,
        SetLanguage,
        SetMode,
        Snapshot,
        Update,
    )
    from .writer import Committed, Rejected, Result

__all__ = [
    "Answer",
    "AnyCommand",
    "Back",
    "Begin",
    "Committed",
    "Database",
    "Draft",
    "EventDict",
    "Expire",
    "Given",
    "Goto",
    "HistoryDict",
    "HistoryEntry",
    "Note",
    "Rejected",
    "Rejection",
    "Restart",
    "Result",
    "Save",
    "SessionDict",
    "SessionFields",
    "SessionKey",
    "SessionState",
    "SessionStore",
    "SetLanguage",
    "SetMode",
    "Settings",
    "Snapshot",
    "Update",
    "__version__",
    "get_database",
    "open_store",
    "read_settings",
]

_OTHER_MODULES = {
    "core.session_dicts": {"EventDict", "HistoryDict", "SessionDict", "SessionFields"},
    "database": {"Database", "get_database"},
    "sessions": {"SessionStore", "open_store"},
    "settings": {"Settings", "read_settings"},
    "store": {"HistoryEntry"},
    "writer": {"Committed", "Rejected", "Result"},
}
"""Of what is not in ``survey``."""


def __getattr__(name: str) -> object:
    # Imported on first use: a program that imports only the client must not import the server.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _OTHER_MODULES.items() if name in names), "survey")
    return getattr(import_module(f".{module}", __name__), name)
