"""A program that finds another schema than it needs refuses to start, and says which command to run."""

import gc
import os
import subprocess
import sys

import pytest

from app.errors import SchemaMismatch
from app.service import open_store
from app.settings import Settings
from tests.conftest import ROOT, SURVEYS
from tests.migrations.sample import REVISIONS, execute, migrate
from tests.waiting import free_port

OLDER, NONE, NEWER = REVISIONS[-2], None, "9999"
COMMAND = "alembic upgrade head"
INSTALL = "newer version of this program"


def make(url: str, revision: str | None) -> None:
    """Bring the database to the revision; one that this program doesn't know is made up."""
    if revision == NEWER:
        migrate(url, "head")
        execute(url, "UPDATE alembic_version SET version_num = '9999'")
    elif revision is not None:
        migrate(url, revision)


def is_embedded(url: str) -> bool:
    return url.startswith("sqlite")


def start(url: str) -> "subprocess.CompletedProcess[str]":
    given = {**os.environ, "PORT": str(free_port()), "DATABASE_URL": url, "SURVEYS_DIR": str(SURVEYS)}
    return subprocess.run(
        [sys.executable, "-m", "app.serve"],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("revision", [OLDER, NONE, NEWER], ids=["older", "none", "newer"])
def test_open_store_refuses_another_schema(database_url: str, revision: str | None) -> None:
    """Older or none on a server names the command; a newer one is never touched; SQLite is upgraded at start."""
    make(database_url, revision)
    settings = Settings(database_url=database_url, surveys_dir=SURVEYS)
    if is_embedded(database_url) and revision != NEWER:
        open_store(settings).close()
        return
    with pytest.raises(SchemaMismatch) as refused:
        open_store(settings)
    assert (INSTALL if revision == NEWER else COMMAND) in refused.value.message
    del refused  # holds the store that was refused; what that left open is to be told here, not in another test
    gc.collect()


@pytest.mark.parametrize("revision", [OLDER, NONE, NEWER], ids=["older", "none", "newer"])
def test_server_refuses_another_schema_in_one_line(database_url: str, revision: str | None) -> None:
    """Exit code 1, one line, no traceback."""
    make(database_url, revision)
    if is_embedded(database_url) and revision != NEWER:
        return  # the server would start: test_socket shows that
    done = start(database_url)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert (INSTALL if revision == NEWER else COMMAND) in done.stderr
