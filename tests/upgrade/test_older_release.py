"""An older commit is replaced by this one, and serves beside it, while participants answer."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import SurveyClient
from app.operations.integrity import verify_sessions
from app.sessions.service import open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from tests.client.conftest import FAST
from tests.conftest import ROOT, SURVEYS, Server, Servers, empty_database
from tests.upgrade.__main__ import OldServer, alembic, unpack
from tests.waiting import START_S

pytestmark = pytest.mark.long

NEWER = "9d8316b"
OLDER = "2f5a872"
USERS = [f"p{number}" for number in range(8)]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    with empty_database(request.param, servers, tmp_path) as url:
        yield url


@pytest.fixture
def postgresql(servers: Servers, tmp_path: Path) -> Iterator[str]:
    """An empty database that several servers can share."""
    with empty_database("postgresql", servers, tmp_path) as url:
        yield url


def install(commit: str, folder: Path) -> Path:
    """Unpack a commit, unless this clone lacks it."""
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True, check=False
    )
    if known.returncode != 0:
        pytest.skip(f"this clone has no commit {commit}: git fetch --unshallow")
    return unpack(commit, folder / "release")


def old_server(source: Path, folder: Path, url: str) -> OldServer:
    (folder / "old").mkdir()
    return OldServer(folder / "old", database=url, source=source)


def new_server(folder: Path, url: str) -> Server:
    (folder / "new").mkdir()
    return Server(folder / "new", database=url)


def answer_on(server: Server, step: str, value: int) -> None:
    """Let each participant resume on this server and answer one step."""
    for user in USERS:
        with SurveyClient(server.url, user, survey_id="phq9", timeouts=FAST) as client:
            client.answer(step, value).result(START_S)


def require_answers(url: str, expected: dict[str, int]) -> None:
    """Each session has these answers and equals its history, and none was set aside."""
    store = open_store(Settings(database_url=url, surveys_dir=SURVEYS, environment="development"))
    try:
        checks = {check.key: check.verdict for check in verify_sessions(store)}
        assert checks == {SessionKey("phq9", user): "same" for user in USERS}
        for key in checks:
            snapshot = store.queries.load(key)
            assert snapshot is not None
            assert snapshot.state.answers == expected
    finally:
        store.close()


def test_upgrade_from_an_older_schema_keeps_every_acknowledged_answer(url: str, tmp_path: Path) -> None:
    """The commands of docs/operations.md, from a release that can only be restarted; clients stay under way."""
    source = install(OLDER, tmp_path)
    if not url.startswith("sqlite"):
        alembic(source, url)
    old = old_server(source, tmp_path, url)
    new = new_server(tmp_path, url)
    new.port = old.port
    old.start()
    clients = [SurveyClient(old.url, user, survey_id="phq9", timeouts=FAST) for user in USERS]
    try:
        for client in clients:
            client.start()
            client.answer("Q1", 1).result(START_S)
        if not url.startswith("sqlite"):
            alembic(ROOT, url)
        old.terminate()
        sent = [client.answer("Q2", 2) for client in clients]
        new.start()
        for command in sent:
            command.result(START_S)
    finally:
        for client in clients:
            client.close()
        old.stop()
        new.stop()
    require_answers(url, {"Q1": 1, "Q2": 2})


def test_older_release_and_this_one_share_a_database(postgresql: str, tmp_path: Path) -> None:
    """Participants change between them in both directions, and each finds what the other stored."""
    source = install(NEWER, tmp_path)
    alembic(source, postgresql)
    old, new = old_server(source, tmp_path, postgresql), new_server(tmp_path, postgresql)
    try:
        old.start()
        alembic(ROOT, postgresql)
        new.start()
        for number, server in enumerate((old, new, old, new), start=1):
            answer_on(server, f"Q{number}", number - 1)
    finally:
        old.stop()
        new.stop()
    require_answers(postgresql, {"Q1": 0, "Q2": 1, "Q3": 2, "Q4": 3})
