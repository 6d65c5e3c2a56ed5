"""What all tests share: a database of their own, a store, and the real server as a process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from app.service import SessionStore, open_store
from app.settings import Settings
from app.store.engine import normalise_url, upgrade_schema

ROOT = Path(__file__).resolve().parent.parent
SURVEYS = ROOT / "surveys"
START_S = 30
SERVERS = {
    "postgresql": ("TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "mysql": ("TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql"),
}


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


@dataclass
class Server:
    """The real server in a process of its own, on its own SQLite file."""

    folder: Path
    surveys: Path = SURVEYS
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder / 'sessions.db'}"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def start(self) -> None:
        """Start it and return when it answers."""
        environment = {
            **os.environ,
            "PORT": str(self.port),
            "DATABASE_URL": self.database_url,
            "SURVEYS_DIR": str(self.surveys),
            "MAX_CONNECTIONS": "200",
            **self.environment,
        }
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.serve"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self._answers, f"the server did not answer:\n{self.log}")

    def kill(self) -> None:
        """End it with SIGKILL, its workers too."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        """Ask it to stop, as an operator does, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    def restart(self) -> None:
        """Kill it and start it again, on the same port and database."""
        self.kill()
        self.start()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            return False


def wait_for(condition: Callable[[], bool], message: str, timeout_s: float = START_S) -> None:
    """Return when the condition holds; fail with the message if it doesn't in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)  # between two looks at another process; nothing else tells


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with the shipped surveys and an empty database."""
    running = Server(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('db') / 'test.db'}"
        return
    variable, local = SERVERS[request.param]
    server = normalise_url(os.environ.get(variable, local))
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"stepkeep_{uuid.uuid4().hex[:12]}"
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError:
        admin.dispose()
        pytest.skip(f"no {request.param} here: set {variable}, or start one on its usual port")
    yield server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        forced = " WITH (FORCE)" if request.param == "postgresql" else ""
        connection.execute(text(f"DROP DATABASE {name}{forced}"))
    admin.dispose()


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings with a database of the test's own, at the newest schema, and the shipped surveys."""
    upgrade_schema(normalise_url(database_url))
    return Settings(database_url=database_url, surveys_dir=SURVEYS)


@pytest.fixture
def store(settings: Settings) -> Iterator[SessionStore]:
    """A session store on the test's own database."""
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium, or a skip; with CI=true there must be one."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium here, and CI=true")
        pytest.skip("no chromium here (Debian: apt install chromium)")
    return found
