"""A server with one survey, for the browser tests."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import Server
from tests.databases import create_sqlite


@contextlib.contextmanager
def serve(folder: Path, survey: str, **media: str) -> Iterator[Server]:
    """Serve a survey.

    Args:
        media: the SVG images of the survey, by name without its suffix.
    """
    (folder / "surveys" / "media").mkdir(parents=True)
    (folder / "surveys" / "survey.yaml").write_text(survey)
    for name, image in media.items():
        (folder / "surveys" / "media" / f"{name}.svg").write_text(image)
    create_sqlite(folder / "sessions.db")
    server = Server(folder, folder / "surveys")
    server.start()
    try:
        yield server
    finally:
        server.stop()
