"""What gunicorn serves in a run: the real application, on a clock that the tests can move.

``CHAOS_CLOCK`` names a file with the seconds that the server's clock is ahead; ``CHAOS_MUTANT`` names a mutant of
``mutants.py``, that the checker has to find.
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


def moved_clock(path: Path) -> Callable[[], int]:
    """Return a clock that is ahead of the truth by the seconds in the file."""

    def clock() -> int:
        try:
            ahead_s = float(path.read_text())
        except (OSError, ValueError):  # not there yet, or being written
            ahead_s = 0
        return now_us() + int(ahead_s * 1_000_000)

    return clock


try:
    chosen = read_settings()
    mutants.apply(os.environ.get("CHAOS_MUTANT", ""), chosen)
    app = create_app(chosen, open_store(chosen, moved_clock(Path(os.environ["CHAOS_CLOCK"]))))
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")
