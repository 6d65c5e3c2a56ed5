"""The WSGI application of a run: the real one, with an adjustable clock.

``CHAOS_CLOCK`` names a file with the offset of the server's clock in seconds; ``CHAOS_MUTANT`` names a mutant of
``mutants.py``.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from app.errors import ConfigurationError
from app.sessions.queries import now_us
from app.sessions.service import open_store
from app.settings import read_settings
from app.web.factory import create_app
from tests.chaos import mutants


def shifted_clock(path: Path) -> Callable[[], int]:
    """Return a clock that is ahead by the number of seconds in the file."""

    def clock() -> int:
        try:
            offset_s = float(path.read_text())
        except (OSError, ValueError):  # missing, or being written
            offset_s = 0
        return now_us() + int(offset_s * 1_000_000)

    return clock


try:
    settings = read_settings()
    mutants.apply(os.environ.get("CHAOS_MUTANT", ""), settings)
    app = create_app(settings, open_store(settings, shifted_clock(Path(os.environ["CHAOS_CLOCK"]))))
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")
