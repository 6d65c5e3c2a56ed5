"""What gunicorn serves in a run: the real application, on a clock that the tests can move.

``CHAOS_CLOCK`` names a file with the seconds that the server's clock is ahead; ``CHAOS_MUTANT`` names a mutant of
``mutants.py``, that the checker has to find.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from app.catalogue import read_catalogue
from app.errors import ConfigurationError
from app.reader import now_us
from app.service import SessionStore
from app.settings import Settings, read_settings
from app.store.engine import normalise_url
from app.store.schema import upgrade_schema
from app.web.factory import create_app
from tests.chaos import mutants


def moved_clock(path: Path) -> Callable[[], int]:
    """Return a clock that is ahead of the truth by the seconds in the file."""

    def clock() -> int:
        try:
            ahead_s = float(path.read_text())
        except (OSError, ValueError):  # not there yet, or being written
            ahead_s = 0
        return now_us() + int(ahead_s * 1_000_000)

    return clock


def opened(settings: Settings) -> SessionStore:
    """Return the store as ``app.service.open_store`` opens it, on the moved clock."""
    catalogue = read_catalogue(settings)
    url = normalise_url(settings.database_url)
    if url.get_backend_name() == "sqlite":
        upgrade_schema(url)
    store = SessionStore(settings, catalogue, moved_clock(Path(os.environ["CHAOS_CLOCK"])))
    try:
        store.prepare()
    except BaseException:
        store.close()
        raise
    return store


try:
    chosen = read_settings()
    mutants.apply(os.environ.get("CHAOS_MUTANT", ""), chosen)
    app = create_app(chosen, opened(chosen))
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")
