"""The processes of a run: the database, the server, and the proxies between them and the clients."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sqlalchemy import make_url

from app.access.tokens import DAY_US, ResumeTokens
from app.sessions.queries import now_us
from app.survey.snapshot import SessionKey
from tests.chaos import plan
from tests.chaos.logs import ClientLog
from tests.conftest import Server
from tests.database_servers import OwnServer, own_server
from tests.proxy import Proxy
from tests.waiting import children, wait_for
from tests.web.production import credentials_of, in_production

DISK_MIB = 256
"""Size of the disk with the SQLite file: enough for a long run, and quick to fill."""

POLL_S = 0.1
STOP_TIMEOUT_S = 20

SETTINGS = {
    # Short, so that a run of minutes covers an hour of normal operation.
    "STEPKEEP_PING_INTERVAL_S": "2",
    "STEPKEEP_DRAFT_INTERVAL_S": "1",
    "STEPKEEP_LOG_FORMAT": "text",
    "STEPKEEP_PENDING_AFTER_S": "1",
    "STEPKEEP_RETRY_DELAY_S": "0.1",
    "STEPKEEP_MESSAGES_PER_SECOND": "10000",
    "STEPKEEP_MESSAGE_BURST": "10000",
    "STEPKEEP_PARTICIPANT_SOCKETS": "1000",  # of cut connections, until the server notices
    "STEPKEEP_ADDRESS_SOCKETS": "1000",
    **{
        f"STEPKEEP_{name}": "1000000/minute"
        for name in (
            "PARTICIPANT_CONNECTIONS",
            "PARTICIPANT_MESSAGES",
            "ADDRESS_CONNECTIONS",
            "ADDRESS_FAILURES",
            "ADDRESS_MESSAGES",
            "ADDRESS_REQUESTS",
        )
    },
}

TOKEN_AGE_US = plan.MAX_JUMP_S * 1_000_000 + DAY_US
"""So old that each erasure is later, however far the server's clock has jumped back."""

TOKEN_LIFE_US = 90 * DAY_US

REFUSED = "Not reloaded"
"""In the log of a server that can't be replaced, e.g. while the database is unavailable."""


@dataclass
class ServedChaos(Server):
    """The server under gunicorn with an adjustable clock, restarted whenever it ends, as by systemd.

    Attributes:
        reloads: how often it replaced itself.
        refused_reloads: how often it continued, since a new server could not start.
    """

    restarts: int = 0
    reloads: int = 0
    refused_reloads: int = 0
    is_wanted: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    @property
    def command(self) -> list[str]:
        return ["gunicorn", "--config", "gunicorn.conf.py", "tests.chaos.served:app"]

    def start(self) -> None:
        self.is_wanted.set()
        self.spawn()
        threading.Thread(target=self._supervise, name="chaos-supervisor", daemon=True).start()
        self.wait_until_it_answers()

    def kill(self) -> None:
        """Kill the server and its workers; it is not restarted until :meth:`resume`."""
        with self.mutex:
            self.is_wanted.clear()
            self._signal_all(signal.SIGKILL)

    def terminate(self) -> int:
        self.is_wanted.clear()
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            self._signal_all(signal.SIGKILL)
            raise AssertionError(f"the server did not stop in {STOP_TIMEOUT_S} s:\n{self.log[-4000:]}") from error

    def resume(self) -> None:
        """Restart the server, and wait until it answers."""
        self.is_wanted.set()
        self.wait_until_it_answers()

    def reload(self) -> None:
        """Let the server execute itself again on the same sockets; wait until it has, or was restarted, or refused."""
        process, workers, refusals = self.process, set(self.workers()), self.log.count(REFUSED)
        assert process is not None
        self.change_secret()
        process.send_signal(signal.SIGHUP)

        def is_replaced() -> bool:
            current = set(self.workers())
            return bool(current) and current.isdisjoint(workers) and self._answers()

        wait_for(
            lambda: is_replaced() or self.log.count(REFUSED) > refusals, lambda: f"not reloaded:\n{self.log[-4000:]}"
        )
        if self.log.count(REFUSED) > refusals:
            self.refused_reloads += 1
        elif self.process is process:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            assert b"LISTEN_FDS=" in environment, "the workers were replaced, but not the server"
            self.reloads += 1

    def workers(self) -> list[int]:
        assert self.process is not None
        return children(self.process.pid)

    def stop(self) -> None:
        self.closing.set()
        self.kill()

    def _signal_all(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            self.process.wait(STOP_TIMEOUT_S)

    def _supervise(self) -> None:
        while not self.closing.wait(POLL_S):
            with self.mutex:
                if self.is_wanted.is_set() and not self.closing.is_set() and self._has_ended():
                    self.restarts += 1
                    self.spawn()

    def _has_ended(self) -> bool:
        if self.process is None or self.process.poll() is None:
            return False
        with contextlib.suppress(ProcessLookupError):  # a worker that outlives its master keeps the port
            os.killpg(self.process.pid, signal.SIGKILL)
        return True

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            return False
        return super()._answers()


class World:
    """All processes of a run, until :meth:`close`.

    Args:
        database: sqlite, postgresql or mysql.
        folder: for the files of the processes; owned by the caller.
        mutant: name in ``mutants.py``; empty for none.

    Attributes:
        servers: the one that participants use, and on PostgreSQL and MariaDB another, without faults.
        logs: of the participants' clients, oldest first.
        erasing: sessions whose erasure has begun.
        erased: when it was acknowledged (monotonic).
        files_in_place: held while a SQLite file has another name, and while processes start, which would create a new one.
    """

    def __init__(self, database: str, folder: Path, *, mutant: str = "") -> None:
        self.kind = database
        self.folder = folder
        self.database: OwnServer | None = None
        self.database_proxy: Proxy | None = None
        self.disk: Path | None = None
        self.clock = folder / "clock"
        self.missing: frozenset[str] = frozenset()
        self.logs: list[ClientLog] = []
        self.erasing: set[SessionKey] = set()
        self.erased: dict[SessionKey, float] = {}
        self.files_in_place = threading.Lock()
        self._closing = contextlib.ExitStack()
        try:
            self.direct_url = self._database() if database != "sqlite" else self._file()
            self._serve(mutant)
        except BaseException:
            self.close()
            raise

    @property
    def origin(self) -> str:
        """The URL for clients."""
        return f"http://127.0.0.1:{self.client_proxy.port}"

    @property
    def file(self) -> Path:
        """The SQLite file."""
        return Path(self.direct_url.removeprefix("sqlite:///"))

    @property
    def key_header(self) -> dict[str, str]:
        """The header with an operator's API key."""
        return {"Authorization": f"Bearer {self._api_key}"}

    def token(self, key: SessionKey) -> str:
        """Return a token that was issued before the run."""
        return self._tokens.issue(key, now_us() - TOKEN_AGE_US, TOKEN_LIFE_US)

    def readiness(self) -> str:
        """Return what /readyz answers; empty while the server does not."""
        try:
            return httpx.get(f"{self.server.url}/readyz", headers=self.key_header, timeout=STOP_TIMEOUT_S).text
        except httpx.TransportError:
            return ""

    def heal(self) -> None:
        """End all faults of the proxies."""
        self.client_proxy.heal()
        if self.database_proxy is not None:
            self.database_proxy.heal()

    def close(self) -> None:
        """End all processes, and unmount the disk."""
        self._closing.close()

    def _file(self) -> str:
        disk = self.folder / "disk"
        disk.mkdir()
        options = f"size={DISK_MIB}m"
        if os.geteuid() == 0 and shutil.which("mount") is not None:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=False)
            if done.returncode == 0:
                self.disk = disk
                self._closing.callback(_unmount, disk)
        if self.disk is None:
            self.missing = frozenset({plan.DISK_FULL})
        return f"sqlite:///{disk / 'sessions.db'}"

    def _database(self) -> str:
        self.database = own_server(self.kind, durable=True)
        self._closing.callback(self.database.close)
        direct_url = self.database.create_migrated()
        self.database_proxy = Proxy("127.0.0.1", self.database.port)
        self._closing.callback(self.database_proxy.close)
        return direct_url

    def _serve(self, mutant: str) -> None:
        url = make_url(self.direct_url)
        if self.database_proxy is not None:
            url = url.set(host="127.0.0.1", port=self.database_proxy.port)
        environment = {**in_production(**SETTINGS), "CHAOS_CLOCK": str(self.clock), "CHAOS_MUTANT": mutant}
        self._tokens = ResumeTokens([environment["SECRET_KEY"]])
        self.server = ServedChaos(
            self.folder, database=url.render_as_string(hide_password=False), environment=environment
        )
        self.servers: Sequence[ServedChaos] = [self.server]
        self._closing.callback(self.server.stop)
        self.server.start()
        with credentials_of(self.server) as credentials:
            self._api_key = credentials.create_key("chaos", ["sessions:write", "metrics"])
        if self.database_proxy is not None:
            self.servers = [self.server, self._second_server(environment)]
        self.client_proxy = Proxy("127.0.0.1", self.server.port)
        self._closing.callback(self.client_proxy.close)

    def _second_server(self, environment: dict[str, str]) -> ServedChaos:
        folder = self.folder / "second"
        folder.mkdir()
        second = ServedChaos(folder, database=self.direct_url, environment=environment)
        self._closing.callback(second.stop)
        second.spawn()
        second.wait_until_it_answers()
        return second


def new_folder() -> Path:
    """Create a folder for a run; the caller removes it."""
    return Path(tempfile.mkdtemp(prefix="stepkeep-chaos-"))


def _unmount(place: Path) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while subprocess.run(["umount", place], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        if time.monotonic() > deadline:
            subprocess.run(["umount", "--lazy", place], check=False)
            return
        time.sleep(POLL_S)
