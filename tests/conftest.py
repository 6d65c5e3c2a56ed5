"""What all tests share: a database of their own, a store, and the real server as a process."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import hypothesis
import pytest

from app import catalogue
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from tests.databases import Databases, NoServer, OwnServer, create_sqlite, missing, ordinary_server, own_server
from tests.waiting import free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent
SURVEYS = ROOT / "surveys"
KINDS = ("sqlite", "postgresql", "mysql")
SERVER_KINDS = ("postgresql", "mysql")

Servers = Callable[[str], Databases]
T = TypeVar("T")

# The tests start hundreds of processes and migrate thousands of times: otherwise each would compile its files anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Each store that is opened reads all survey files, which takes half of the time of opening it.
catalogue.parse_survey = functools.cache(catalogue.parse_survey)


for profile, percent in {"dev": 25, "ci": 100, "nightly": 1000}.items():
    hypothesis.settings.register_profile(
        profile,
        max_examples=percent,
        deadline=None,  # a busy machine is no fault
        print_blob=True,
        suppress_health_check=[
            hypothesis.HealthCheck.function_scoped_fixture,  # a database serves all examples; each test clears it
            hypothesis.HealthCheck.too_slow,
        ],
    )
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")  # --hypothesis-profile chooses


def examples(count: int, **options: Any) -> hypothesis.settings:
    """Return settings that try this many examples in the profile ci: a quarter in dev, ten times as many in nightly."""
    percent = hypothesis.settings.default.max_examples
    return hypothesis.settings(max_examples=max(1, count * percent // 100), **options)


def sample(cases: Sequence[T]) -> Sequence[T]:
    """Return as large a share of the cases as the profile tries of its examples, and at most all."""
    return cases[:: max(1, 100 // hypothesis.settings.default.max_examples)]


INTERFACES = ("browser", "cli", "client", "deploy", "docs", "web")
"""Folders whose tests see the same whichever database there is."""


def each_kind(group: str) -> list[Any]:
    """Return the kinds of databases as parameters of a fixture that tests share: one worker runs all of a kind.

    Args:
        group: a name for these tests, different from other fixtures'.
    """
    return [pytest.param(kind, marks=pytest.mark.xdist_group(f"{group} {kind}")) for kind in KINDS]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tests too (as a test named by :: always does)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests to `make test-all`, and the tests of interfaces on other databases than SQLite."""
    if config.getoption("--long") or any("::" in argument for argument in config.args):
        return
    on_sqlite = {_function(item) for item in items if "sqlite" in _parameters(item)}
    long = [item for item in items if item.get_closest_marker("long") or _repeats_sqlite(item, on_sqlite)]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]


def _repeats_sqlite(item: pytest.Item, on_sqlite: set[str]) -> bool:
    """Return whether this tests an interface that the same test has met on SQLite."""
    place = item.path.relative_to(ROOT / "tests").parts[0]
    return (
        (place in INTERFACES or place.startswith("test_cli"))
        and not _parameters(item).isdisjoint(SERVER_KINDS)
        and _function(item) in on_sqlite
        and item.get_closest_marker("each_database") is None
    )


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _parameters(item: pytest.Item) -> set[str]:
    """Return those of the test's parameters that are texts."""
    parameters = getattr(item, "callspec", None)
    return set() if parameters is None else {value for value in parameters.params.values() if isinstance(value, str)}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, at the end, which tests could not run and what they want."""
    for line in missing():
        terminalreporter.write_line(f"Tests were skipped, {line}")


@dataclass
class Server:
    """The real server in a process of its own, on its own SQLite file or on the database that is named."""

    folder: Path
    surveys: Path = SURVEYS
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    database: str | None = None
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.folder / 'sessions.db'}"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    @property
    def command(self) -> list[str]:
        """What serves, after ``python -m``: what app.serve becomes when it has looked at everything."""
        return ["gunicorn", "--config", "gunicorn.conf.py", "wsgi:app"]

    def start(self) -> None:
        """Start it and return when it answers."""
        self.spawn()
        self.wait_until_it_answers()

    def spawn(self) -> None:
        """Start its process; a SQLite file that is not there yet is made, so that the server need not migrate it."""
        file = self.folder / "sessions.db"
        if self.database is None and not file.exists():
            create_sqlite(file)
        environment = {
            **os.environ,
            "STEPKEEP_ENVIRONMENT": "development",
            "PORT": str(self.port),
            "DATABASE_URL": self.database_url,
            "STEPKEEP_SURVEYS_DIR": str(self.surveys),
            "STEPKEEP_MAX_CONNECTIONS": "200",
            **self.environment,
        }
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_it_answers(self) -> None:
        """Return when it does."""
        wait_for(self._answers, lambda: f"the server did not answer:\n{self.log[-4000:]}")

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

    def begin_anew(self, **headers: str) -> None:
        """Start it unless it runs, and erase all sessions that an earlier test left.

        Args:
            headers: the credentials, where it asks for any.
        """
        if self.process is None or self.process.poll() is not None:
            self.start()
        with httpx.Client(base_url=self.url, headers=headers) as client:
            while sessions := client.get("/api/sessions").raise_for_status().json()["sessions"]:
                for one in sessions:
                    address = f"/api/session/{one['user_id']}"
                    client.delete(address, params={"survey": one["survey_id"]}).raise_for_status()

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


@pytest.fixture(scope="session")
def standing_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in development that the tests of one worker have one after the other: a start takes 2 s."""
    running = Server(tmp_path_factory.mktemp("standing"))
    yield running
    running.stop()


@pytest.fixture
def server(standing_server: Server) -> Server:
    """A server with the shipped surveys and no sessions; a test may kill it."""
    standing_server.begin_anew()
    return standing_server


def skip_or_fail(reason: str) -> None:
    """Skip, in one line that says how to get what is missing; with CI=true nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; with CI=true that is a failure")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The database servers of this worker by kind, each started when it is first asked for."""
    started: dict[str, Databases] = {}

    def of(kind: str) -> Databases:
        try:
            if kind not in started:
                started[kind] = ordinary_server(kind)
        except NoServer as error:
            skip_or_fail(str(error))
        return started[kind]

    yield of
    for one in started.values():
        one.close()


@contextlib.contextmanager
def empty_database(kind: str, servers: Servers, folder: Path) -> Iterator[str]:
    """Yield the URL of a database without tables, and drop it afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'test.db'}"
        return
    url = servers(kind).create_empty()
    yield url
    servers(kind).drop_database(url)


@contextlib.contextmanager
def migrated_database(kind: str, servers: Servers, folder: Path) -> Iterator[str]:
    """Yield the URL of a database at the newest schema, without rows, and drop it afterwards."""
    if kind == "sqlite":
        yield create_sqlite(folder / "test.db")
        return
    url = servers(kind).create_migrated()
    yield url
    servers(kind).drop_database(url)


@pytest.fixture(params=KINDS)
def empty_url(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of the test's own database of each kind, without tables: for tests that migrate it."""
    with empty_database(request.param, servers, tmp_path_factory.mktemp("db")) as url:
        yield url


@pytest.fixture(params=KINDS)
def database_url(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of the test's own database of each kind, at the newest schema."""
    with migrated_database(request.param, servers, tmp_path_factory.mktemp("db")) as url:
        yield url


@pytest.fixture(params=SERVER_KINDS)
def killable(request: pytest.FixtureRequest) -> Iterator[OwnServer]:
    """A database server of the test's own, to be killed; its commits are synced."""
    try:
        started = own_server(request.param, durable=True)
    except NoServer as error:
        skip_or_fail(str(error))
    yield started
    started.close()


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings with the test's own database, at the newest schema, and the shipped surveys."""
    return Settings(database_url=database_url, surveys_dir=SURVEYS, environment="development")


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
        skip_or_fail("no chromium here (Debian: apt install chromium)")
    return found
