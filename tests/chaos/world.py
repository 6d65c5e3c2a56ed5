"""The processes of a run: the database, the server, and the proxies between them and the clients."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url

from tests.chaos import plan
from tests.conftest import Server
from tests.database_servers import OwnServer, own_server
from tests.proxy import Proxy

DISK_MIB = 256
"""Size of the disk with the SQLite file: enough for a long run, and quick to fill."""

POLL_S = 0.1
STOP_TIMEOUT_S = 20

SETTINGS = {
    # Short, so that a run of minutes covers an hour of normal operation.
    "STEPKEEP_PING_INTERVAL_S": "2",
    "STEPKEEP_DRAFT_INTERVAL_S": "1",
    "STEPKEEP_ENVIRONMENT": "development",  # participants need no tokens
    "STEPKEEP_PENDING_AFTER_S": "1",
    "STEPKEEP_RETRY_DELAY_S": "0.1",
    "STEPKEEP_MESSAGES_PER_SECOND": "10000",
    "STEPKEEP_MESSAGE_BURST": "10000",
}


@dataclass
class ServedChaos(Server):
    """The server under gunicorn with an adjustable clock, restarted whenever it ends, as by systemd."""

    restarts: int = 0
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
        """Let gunicorn replace its workers."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGHUP)

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
    """

    def __init__(self, database: str, folder: Path, *, mutant: str = "") -> None:
        self.kind = database
        self.folder = folder
        self.database: OwnServer | None = None
        self.database_proxy: Proxy | None = None
        self.disk: Path | None = None
        self.clock = folder / "clock"
        self.missing: frozenset[str] = frozenset()
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
        self.server = ServedChaos(
            self.folder,
            database=url.render_as_string(hide_password=False),
            environment={**SETTINGS, "CHAOS_CLOCK": str(self.clock), "CHAOS_MUTANT": mutant},
        )
        self._closing.callback(self.server.stop)
        self.server.start()
        self.client_proxy = Proxy("127.0.0.1", self.server.port)
        self._closing.callback(self.client_proxy.close)


def children(pid: int) -> list[int]:
    """Return the running child processes of a process (Linux)."""
    pids: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                pids += [int(word) for word in (task / "children").read_text().split()]
    return pids


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
