"""The application on SQLite with a slow disk: ``gunicorn benchmarks.slow_flush:app``, with FLUSH_MS."""

import os
from time import sleep

from app.store.drivers.sqlite import FileConnection

_FLUSH_S = float(os.environ["FLUSH_MS"]) / 1000
_commit = FileConnection.commit


def _commit_slowly(self: FileConnection) -> None:
    sleep(_FLUSH_S)  # others may use the interpreter, as during fsync
    _commit(self)


FileConnection.commit = _commit_slowly  # type: ignore[method-assign]

from wsgi import app  # noqa: E402 - with the patch

__all__ = ["app"]
