"""SIGHUP takes changed survey files, and replaces the server by another release that is now installed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client import SurveyClient
from tests.client.conftest import FAST
from tests.conftest import ROOT, SURVEYS, Server, Servers, migrated_database
from tests.waiting import START_S, children, wait_for

RELEASE = ("app", "alembic", "wsgi.py", "gunicorn.conf.py", "alembic.ini")
"""What a server needs of the repository."""


SLOW_START = """
import time
from pathlib import Path

from app.serve.server import load_application

app = load_application()
(Path(__file__).parent / "booting").touch()
while not (Path(__file__).parent / "ready").exists():
    time.sleep(0.02)
"""
"""A worker's start that has read the survey files, and waits for the test."""


@dataclass
class ReloadedServer(Server):
    """A server whose surveys a test changes."""

    def reload(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGHUP)

    @property
    def workers(self) -> list[int]:
        assert self.process is not None
        return children(self.process.pid)

    @property
    def surveys_offered(self) -> list[str]:
        facts: dict[str, Any] = httpx.get(f"{self.url}/readyz", timeout=START_S).json()
        return facts.get("surveys", [])


@dataclass
class InstalledServer(ReloadedServer):
    """A server of the release to which a symbolic link leads, as docs/operations.md installs it."""

    link: Path = field(default_factory=Path)

    @property
    def command(self) -> list[str]:
        return ["gunicorn", "--config", str(self.link / "gunicorn.conf.py"), "wsgi:app"]

    def spawn(self) -> None:
        environment = {
            **os.environ,
            "STEPKEEP_ENVIRONMENT": "development",
            "PORT": str(self.port),
            "DATABASE_URL": self.database_url,
            "STEPKEEP_SURVEYS_DIR": str(self.surveys),
            **self.environment,
        }
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command],
                cwd=self.link,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def install(folder: Path) -> Path:
    """Copy this release to a folder, with its bytecode: a server would compile all modules at each start."""
    folder.mkdir()
    for name in RELEASE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))  # being written
        else:
            shutil.copy(source, folder / name)
    return folder


def point(link: Path, release: Path) -> None:
    """Let the link lead to a release, as `ln -sfn`."""
    new = link.with_name("new")
    new.symlink_to(release)
    new.replace(link)


KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)]
WORKERS = {"sqlite": {}, "postgresql": {"WEB_CONCURRENCY": "2"}}


@pytest.fixture(params=KINDS)
def running(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[ReloadedServer]:
    """A server whose surveys the test may change; with two workers on PostgreSQL."""
    surveys = shutil.copytree(SURVEYS, tmp_path / "surveys")
    with migrated_database(request.param, servers, tmp_path) as url:
        server = ReloadedServer(tmp_path, surveys, environment=WORKERS[request.param], database=url)
        server.start()
        yield server
        server.stop()


@pytest.fixture(params=KINDS)
def installed(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[InstalledServer]:
    """A server whose release the test may change too."""
    install(tmp_path / "one")
    point(tmp_path / "current", tmp_path / "one")
    surveys = shutil.copytree(SURVEYS, tmp_path / "surveys")
    with migrated_database(request.param, servers, tmp_path) as url:
        server = InstalledServer(
            tmp_path, surveys, environment=WORKERS[request.param], database=url, link=tmp_path / "current"
        )
        server.start()
        yield server
        server.stop()


def test_reload_serves_the_installed_release_and_surveys_and_loses_no_answer(installed: InstalledServer) -> None:
    """Participants stay under way, also those who connect while the server is replaced."""
    release = install(installed.folder / "two")
    module = release / "app/core/installation.py"
    module.write_text(module.read_text() + '\n__version__ = "2.0-test"\n')
    point(installed.link, release)
    more = (installed.surveys / "phq9.yaml").read_text().replace("id: phq9", "id: added", 1)
    (installed.surveys / "added.yaml").write_text(more)
    clients = [SurveyClient(installed.url, f"p{number}", survey_id="phq9", timeouts=FAST) for number in range(4)]
    acknowledged = {}
    for number, client in enumerate(clients):
        client.start()
        acknowledged[f"p{number}"] = client.answer("Q1", number % 4).result(START_S)["version"]
    assert installed.process is not None
    installed.reload()
    sent = [client.answer("Q2", 1) for client in clients]
    versions = [command.result(START_S)["version"] for command in sent]
    wait_for(lambda: "added" in installed.surveys_offered, lambda: installed.log)
    assert httpx.get(f"{installed.url}/openapi.json").json()["info"]["version"] == "2.0-test"
    for client in clients:
        client.close()
    for number in range(4):
        session = httpx.get(f"{installed.url}/api/session/p{number}", params={"survey": "phq9"}).json()["session"]
        assert session["answers"] == {"Q1": number % 4, "Q2": 1}
    assert versions == [version + 1 for version in acknowledged.values()]
    assert installed.process.poll() is None


def test_reload_takes_survey_files_and_closes_no_connection(running: ReloadedServer) -> None:
    """In all workers; a wrong file leaves its survey as it was, and stops no other."""
    workers = running.workers
    with SurveyClient(running.url, "ada", survey_id="phq9", timeouts=FAST) as client:
        client.answer("Q1", 1).result(START_S)
        (running.surveys / "intake.yaml").write_text("id: intake\n")
        more = (running.surveys / "phq9.yaml").read_text().replace("id: phq9", "id: added", 1)
        (running.surveys / "added.yaml").write_text(more)
        running.reload()
        wait_for(lambda: running.log.count("Survey files read again: added added") == len(workers), lambda: running.log)
        assert set(running.surveys_offered) >= {"added", "intake", "phq9"}
        client.answer("Q2", 1).result(START_S)
        assert client.is_online
    assert running.workers == workers
    assert "intake.yaml:1:1: the field title is required" in running.log


def test_lost_worker_is_replaced_although_a_file_is_wrong_now(running: ReloadedServer) -> None:
    """The new one has the survey as the server accepted it."""
    (running.surveys / "phq9.yaml").write_text("id: phq9\n")
    running.reload()
    wait_for(lambda: "Survey file not taken" in running.log, lambda: running.log)
    lost = running.workers
    for worker in lost:
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: bool(now := running.workers) and not set(now) & set(lost), lambda: running.log)
    with SurveyClient(running.url, "ada", survey_id="phq9", timeouts=FAST) as client:
        client.wait_until_online(START_S)
        assert client.answer("Q1", 1).result(START_S)["session"]["answers"] == {"Q1": 1}


def test_reload_reaches_a_worker_that_starts(installed: InstalledServer) -> None:
    """It has read its files before, and the signal does not end it."""
    (installed.link / "wsgi.py").write_text(SLOW_START)
    lost, *others = installed.workers
    os.kill(lost, signal.SIGKILL)
    wait_for((installed.link / "booting").exists, lambda: installed.log)
    (starting,) = set(installed.workers) - {lost, *others}
    more = (installed.surveys / "phq9.yaml").read_text().replace("id: phq9", "id: added", 1)
    (installed.surveys / "added.yaml").write_text(more)
    os.kill(starting, signal.SIGHUP)
    (installed.link / "ready").touch()
    wait_for(lambda: "Survey files read again: added added" in installed.log, lambda: installed.log)
    assert starting in installed.workers


def test_reload_of_a_release_that_can_not_start_keeps_the_server(installed: InstalledServer) -> None:
    """With a broken survey file: one line names it, and open connections stay."""
    point(installed.link, install(installed.folder / "two"))
    (installed.surveys / "broken.yaml").write_text("id: broken\n")
    with SurveyClient(installed.url, "ada", survey_id="phq9", timeouts=FAST) as client:
        client.answer("Q1", 1).result(START_S)
        installed.reload()
        wait_for(lambda: "Not reloaded" in installed.log, lambda: installed.log)
        client.answer("Q2", 1).result(START_S)
        assert client.is_online
    (line,) = [line for line in installed.log.splitlines() if "Not reloaded" in line]
    assert "this server continues" in line
    assert "broken.yaml" in line
    (installed.surveys / "broken.yaml").unlink()
    installed.reload()
    with SurveyClient(installed.url, "ada", survey_id="phq9", timeouts=FAST) as client:
        client.wait_until_online(START_S)
        assert client.answer("Q3", 1).result(START_S)["session"]["answers"] == {"Q1": 1, "Q2": 1, "Q3": 1}
