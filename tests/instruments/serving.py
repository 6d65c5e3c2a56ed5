"""A server with every instrument, and how participants of a walk arrive there."""

import contextlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import httpx

from tests.conftest import Server
from tests.databases import create_sqlite
from tests.instruments.oracle import FOLDER, NAMES
from tests.instruments.texts import definition
from tests.instruments.walks import Walk

TODAY = datetime.now(UTC).date().isoformat()
"""In the instruments' time zone. Answers are some days away from bounds, which move at midnight."""


@contextlib.contextmanager
def serve_instruments(folder: Path) -> Iterator[Server]:
    surveys = folder / "surveys"
    surveys.mkdir()
    for name in NAMES:
        shutil.copy(FOLDER / name / "survey.yaml", surveys / f"{name}.yaml")
    create_sqlite(folder / "sessions.db")
    server = Server(folder, surveys)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def arrive(server: Server, name: str, user_id: str, walk: Walk) -> dict[str, str]:
    """Return the query of the participant's address; what is not in the address is sent by a program before."""
    declared = definition(name).get("parameters", {})
    in_address = {key: str(value) for key, value in walk.known.items() if declared[key]["from"] == "url"}
    if len(in_address) < len(walk.known):
        query = urlencode({"survey": name, "lang": walk.language})
        begun = httpx.post(f"{server.url}/api/session/{user_id}?{query}", json={"parameters": walk.known})
        assert begun.status_code == 201, begun.text
    return {"lang": walk.language, **in_address}
