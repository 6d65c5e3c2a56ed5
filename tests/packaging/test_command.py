"""The command ``stepkeep`` of the installed wheel: a new project that serves, and what works with only the core."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from dotenv import dotenv_values

from app.client import SurveyClient
from app.store.migrations import head_revision
from tests.conftest import Server
from tests.packaging.conftest import Environment
from tests.waiting import START_S, wait_for

pytestmark = pytest.mark.xdist_group("wheel")


@dataclass
class InstalledServer(Server):
    """``stepkeep serve`` in the folder of a new project."""

    installed: Environment | None = None

    def spawn(self) -> None:
        assert self.installed is not None
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.installed.bin / "stepkeep"), "serve"],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "PORT": str(self.port)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


@pytest.fixture(scope="module")
def new_project(served: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, with a module that has the name of the clone's package."""
    folder = tmp_path_factory.mktemp("new")
    served.does("stepkeep", "new", "project", cwd=folder)
    (folder / "project" / "app.py").write_text('raise AssertionError("the project\'s own module was imported")\n')
    return folder / "project"


@pytest.fixture
def project(new_project: Path, tmp_path: Path) -> Path:
    """The test's own copy of the new project."""
    return shutil.copytree(new_project, tmp_path / "project")


@pytest.fixture
def running(served: Environment, project: Path) -> Iterator[InstalledServer]:
    server = InstalledServer(project, installed=served)
    server.start()
    yield server
    server.stop()


def test_new_project_serves_its_survey_until_sigterm(running: InstalledServer) -> None:
    """The page with its files, and an answer over the WebSocket; SIGHUP loads a survey that was added."""
    page = httpx.get(f"{running.url}/s/phq9", follow_redirects=True)
    assert page.status_code == 200
    files = re.findall(r'(?:src|href)="(/assets/[^"]+\.(?:js|css))"', page.text)
    assert len([file for file in files if "/bundle/" in file]) == 2
    for file in files:
        assert httpx.get(f"{running.url}{file}").status_code == 200, file
    with SurveyClient(running.url, "ada", survey_id="phq9") as client:
        assert client.answer("Q1", 2).result(START_S)["session"]["answers"] == {"Q1": 2}
    assert surveys_of(running) == ["phq9"]
    survey = running.folder / "surveys" / "phq9.yaml"
    (survey.parent / "added.yaml").write_text(survey.read_text().replace("id: phq9", "id: added", 1))
    assert running.process is not None
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "added" in surveys_of(running), lambda: running.log)
    assert running.terminate() == 0
    assert "Traceback" not in running.log


def surveys_of(server: Server) -> list[str]:
    facts: dict[str, Any] = httpx.get(f"{server.url}/readyz", timeout=START_S).json()
    return facts.get("surveys", [])


def test_operators_commands_use_the_settings_of_the_project(served: Environment, project: Path) -> None:
    """Its keys and its database; the help names this command."""
    assert served.does("stepkeep", "sessions", "list", "--json", cwd=project) == ""
    assert (project / "survey_sessions.db").exists()
    assert dotenv_values(project / ".env")["DATABASE_URL"] == "sqlite:///survey_sessions.db"
    shown = served.does("stepkeep", "sessions", "list", "--help", cwd=project)
    assert "    stepkeep sessions list --status" in shown
    assert "flask" not in shown


MESSAGES = """
from stepkeep.core.installation import MissingExtra
from stepkeep.errors import ConfigurationError
from stepkeep.store import schema_mismatch

print(schema_mismatch("0001"))
print(schema_mismatch("9999"))
print(MissingExtra("A test", "redis", "redis"))
print(ConfigurationError("not a flask extension: 'flask of whisky'; run alembic upgrade head"))
"""


def test_messages_name_the_commands_of_the_wheel(core: Environment, tmp_path: Path) -> None:
    """And leave values as they are."""
    head = head_revision()
    assert core.does("python", "-c", MESSAGES, cwd=tmp_path) == (
        f"Database schema is at revision 0001; this release needs {head}. Run `stepkeep db upgrade` with the same "
        "DATABASE_URL.\n"
        f"Database schema is at revision 9999; this release needs {head}. It was upgraded by a newer release: install "
        f"that, or run `stepkeep db downgrade {head}` with it.\n"
        "A test needs the library redis, which is not installed. Run `pip install 'stepkeep[redis]'`.\n"
        "not a flask extension: 'flask of whisky'; run alembic upgrade head\n"
    )


def test_revisions_name_the_commands_of_the_wheel(served: Environment, project: Path) -> None:
    """Though their files, which also run in a clone, are never edited."""
    served.does("stepkeep", "api-keys", "create", "--name", "a", "--scope", "sessions:read", cwd=project)
    refused = served.run("stepkeep", "db", "downgrade", "0021", cwd=project)
    assert "`stepkeep db downgrade --lossy`" in refused.stderr


def test_core_cares_for_the_schema(core: Environment, tmp_path: Path) -> None:
    """Without the server; the revisions are those of the clone."""
    assert core.does("stepkeep", "db", "upgrade", cwd=tmp_path) == f"The schema is at revision {head_revision()}.\n"


@pytest.mark.parametrize("arguments", [("serve",), ("sessions", "list")], ids="-".join)
def test_command_that_needs_the_server_names_the_extra(
    core: Environment, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """In one line; the help still shows what there is."""
    done = core.run("stepkeep", *arguments, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "`pip install 'stepkeep[server]'`" in done.stderr
