"""Settings and fixtures of all tests.

- Tests mirror `app/`: tests/survey/test_flow.py tests app/survey/flow.py. Beside them are tests/migrations,
  tests/durability (crashes and outages), tests/browser (Chromium) and tests/docs (examples and links).
- Parts are real: a copied database, a store on it, the server as a process (forked from one that has imported the
  libraries: `start_module`). The fixtures `store`, `settings` and
  `database_url` run a test on SQLite, PostgreSQL and MariaDB; `server` is on SQLite and shared by the tests of a worker.
- A test that needs another store, or other settings, opens it with `new_store`, which also closes it.
- `make test` leaves out what has the marker `long`, and the repetition on database servers of interface tests, which
  tests/web/test_smoke.py covers, and of tests with the marker `one_database`, whose SQL others run there
  (tests/collection.py). `make test-all` (pytest --long) runs everything.
- Hypothesis runs a quarter of the examples in the profile `dev`, all in `ci`, ten times as many in `nightly`; a test
  states its number with `@examples(40)`.
- Wait for events with `wait_for`, never for time; pass short intervals as settings. No test asserts how long it took.
- One xdist worker runs all tests of a file that share a fixture. Fixtures that files share use `each_kind`, so that one
  worker runs all tests of one server.
"""

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import hypothesis
import pytest

from app.sessions.queries import now_us
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from tests.certificates import trust_one_authority
from tests.checked_surveys import check_files_once
from tests.collection import SERVER_KINDS, deselect, group_by_file
from tests.compiled_once import compile_once
from tests.database_servers import NoServer, missing_servers, ordinary_server
from tests.databases import Databases, create_sqlite
from tests.forked import ForkedProcess, start_module
from tests.temporary_files import write_to_memory
from tests.waiting import START_S, free_port, wait_for

pytest_plugins = ["app.testing"]  # the kit for integrators: our own tests use it too

ROOT = Path(__file__).resolve().parent.parent
SURVEYS = ROOT / "surveys"
SHIPPED = sorted(path.stem for path in SURVEYS.glob("*.yaml"))
"""The ids of the shipped surveys."""
KINDS = ("sqlite", *SERVER_KINDS)
DEVELOPMENT = Settings(surveys_dir=SURVEYS, environment="development")
"""Copied by `settings`: reading the environment takes 2 ms."""

Servers = Callable[[str], Databases]
NewStore = Callable[..., SessionStore]
T = TypeVar("T")

write_to_memory()
trust_one_authority()

# Without bytecode files each of the hundreds of processes would compile its modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

check_files_once()
compile_once()


for profile, percent in {"dev": 25, "ci": 100, "nightly": 1000}.items():
    hypothesis.settings.register_profile(
        profile,
        max_examples=percent,
        deadline=None,  # a slow machine is not a failure
        print_blob=True,
        suppress_health_check=[
            hypothesis.HealthCheck.function_scoped_fixture,  # all examples share a database; the tests clear it
            hypothesis.HealthCheck.too_slow,
        ],
    )
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")  # --hypothesis-profile chooses


def examples(count: int, **options: Any) -> hypothesis.settings:
    """Return settings with this number of examples in the profile ci: a quarter in dev, ten times as many in nightly."""
    percent = hypothesis.settings.default.max_examples
    return hypothesis.settings(max_examples=max(1, count * percent // 100), **options)


def sample(cases: Sequence[T]) -> Sequence[T]:
    """Return every fourth case in the profile dev, and all cases in ci and nightly."""
    return cases[:: max(1, 100 // hypothesis.settings.default.max_examples)]


def each_kind(group: str) -> list[Any]:
    """Return the kinds of databases as parameters of a shared fixture; one xdist worker runs all tests of a kind.

    Args:
        group: a name that no other fixture uses.
    """
    return [pytest.param(kind, marks=pytest.mark.xdist_group(f"{group} {kind}")) for kind in KINDS]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tests too; tests selected by :: always run")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group the tests of a file that share a fixture; deselect the long ones, and repetitions."""
    group_by_file(items)
    if not config.getoption("--long") and not any("::" in argument for argument in config.args):
        deselect(config, items)


def pytest_collection_finish() -> None:
    """Spare the garbage collector all tests and libraries; with Python's thresholds it takes 4 % of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # as in the server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which tests were skipped because a program is missing."""
    for line in missing_servers():
        terminalreporter.write_line(f"Tests were skipped: {line}")


@dataclass
class Server:
    """The real server as a process, on its own SQLite file or on another database."""

    folder: Path
    surveys: Path = SURVEYS
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)
    database: str | None = None
    process: "subprocess.Popen[bytes] | ForkedProcess | None" = None

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
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def change_secret(self) -> None:
        """Let the next SIGHUP replace the server, as after an upgrade."""
        (self.secrets / "unused").write_text(str(time.monotonic()))

    @property
    def command(self) -> list[str]:
        """The arguments of ``python -m``: what app.serve executes after its checks."""
        return ["gunicorn", "--config", "gunicorn.conf.py", "wsgi:app"]

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.spawn()
        self.wait_until_it_answers()

    def spawn(self) -> None:
        """Start the process, with a migrated SQLite file unless there is one."""
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
            "STEPKEEP_SECRETS_DIR": str(self.secrets),
            **self.environment,
        }
        self.secrets.mkdir(exist_ok=True)
        self.process = start_module(self.command, environment, self.folder / "server.log")

    def wait_until_it_answers(self) -> None:
        """Wait until the server answers."""
        wait_for(self._answers, lambda: f"The server did not answer:\n{self.log[-4000:]}")

    def kill(self) -> None:
        """Kill the server and its workers with SIGKILL."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        """Stop the server with SIGTERM and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(START_S)

    def restart(self) -> None:
        """Kill the server and start it again, on the same port and database."""
        self.kill()
        self.start()

    def reset(self, **headers: str) -> None:
        """Start the server unless it runs, and erase all sessions.

        Args:
            headers: the credentials that a server in production requires.
        """
        if self.process is None or self.process.poll() is not None:
            self.start()
        with httpx.Client(base_url=self.url, headers=headers) as client:
            while sessions := client.get("/api/sessions").raise_for_status().json()["sessions"]:
                for session in sessions:
                    path = f"/api/session/{session['user_id']}"
                    client.delete(path, params={"survey": session["survey_id"]}).raise_for_status()

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
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in development for the tests of one worker: a start takes 2 s."""
    running = Server(tmp_path_factory.mktemp("standing"))
    yield running
    running.stop()


@pytest.fixture
def server(shared_server: Server) -> Server:
    """A running server with the shipped surveys and no sessions; a test may kill it."""
    shared_server.reset()
    return shared_server


def skip_or_fail(reason: str) -> None:
    """Skip the test; fail with CI=true, where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; with CI=true this is a failure")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The database servers of this worker by kind, each started at its first use."""
    running: dict[str, Databases] = {}

    def server_of_kind(kind: str) -> Databases:
        try:
            if kind not in running:
                running[kind] = ordinary_server(kind)
        except NoServer as error:
            skip_or_fail(str(error))
        return running[kind]

    yield server_of_kind
    for databases in running.values():
        databases.close()


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


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings with the test's own database, at the newest schema, and the shipped surveys."""
    return DEVELOPMENT.model_copy(update={"database_url": database_url})


@pytest.fixture
def store(settings: Settings, new_store: NewStore) -> SessionStore:
    """A session store on the test's own database."""
    return new_store(settings)


@pytest.fixture
def new_store() -> Iterator[NewStore]:
    """Open a store as another process would, with changes to the settings; it is closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def open_one(settings: Settings, clock: Callable[[], int] = now_us, **changes: object) -> SessionStore:
            changed = Settings.model_validate({**settings.model_dump(), **changes}) if changes else settings
            store = open_store(changed, clock)
            stack.callback(store.close)
            return store

        yield open_one


WHOLE_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HEADLESS = "chromium-headless-shell"
"""Starts and runs faster than the whole browser, and has no back/forward cache."""


def find_chromium(*programs: str) -> str | None:
    """Return the path of an installed Chromium, one of the programs if they are named; or None."""
    found = map(shutil.which, programs or (HEADLESS, *WHOLE_BROWSERS))
    return next(filter(None, found), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium."""
    path = find_chromium()
    if path is None:
        skip_or_fail("Chromium was not found (Debian: apt install chromium-headless-shell)")
    return path
