"""The real processes of a run: the database, the server, and a proxy between each pair."""

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
from tests.databases import OwnServer, own_server
from tests.proxy import Proxy

DISK_MIB = 256
"""The small disk of the SQLite file: room for a long run, and quickly filled."""

LOOK_S = 0.1
STOP_S = 20

SETTINGS = {
    # Short, so that a run of minutes sees what takes a real installation an hour.
    "STEPKEEP_PING_INTERVAL_S": "2",
    "STEPKEEP_DRAFT_INTERVAL_S": "1",
    "STEPKEEP_ENVIRONMENT": "development",  # its participants come without tokens
    "STEPKEEP_PENDING_AFTER_S": "1",
    "STEPKEEP_RETRY_DELAY_S": "0.1",
    "STEPKEEP_MESSAGES_PER_SECOND": "10000",
    "STEPKEEP_MESSAGE_BURST": "10000",
}


@dataclass
class ServedChaos(Server):
    """The server under gunicorn with the tests' own clock, started again whenever it has ended, as by systemd."""

    restarts: int = 0
    wanted: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    @property
    def command(self) -> list[str]:
        return ["gunicorn", "--config", "gunicorn.conf.py", "tests.chaos.served:app"]

    def start(self) -> None:
        self.wanted.set()
        self.spawn()
        threading.Thread(target=self._supervise, name="chaos-supervisor", daemon=True).start()
        self.wait_until_it_answers()

    def kill(self) -> None:
        """End it with SIGKILL, its workers too; it stays down until :meth:`go_on`."""
        with self.mutex:
            self.wanted.clear()
            self._signal_all(signal.SIGKILL)

    def terminate(self) -> int:
        self.wanted.clear()
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired as error:
            self._signal_all(signal.SIGKILL)
            raise AssertionError(f"the server did not stop in {STOP_S} s:\n{self.log[-4000:]}") from error

    def go_on(self) -> None:
        """Start it again and return when it answers."""
        self.wanted.set()
        self.wait_until_it_answers()

    def reload(self) -> None:
        """Ask gunicorn for new workers."""
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
            self.process.wait(STOP_S)

    def _supervise(self) -> None:
        while not self.closing.wait(LOOK_S):
            with self.mutex:
                if self.wanted.is_set() and not self.closing.is_set() and self._has_ended():
                    self.restarts += 1
                    self.spawn()

    def _has_ended(self) -> bool:
        if self.process is None or self.process.poll() is None:
            return False
        with contextlib.suppress(ProcessLookupError):  # a worker that outlives its master holds the port
            os.killpg(self.process.pid, signal.SIGKILL)
        return True

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            return False
        return super()._answers()


class World:
    """All of it; closed, it leaves nothing behind.

    Args:
        database: sqlite, postgresql or mysql.
        folder: what the processes write; the caller's.
        mutant: of ``mutants.py``, or none.
    """

    def __init__(self, database: str, folder: Path, *, mutant: str = "") -> None:
        self.kind = database
        self.folder = folder
        self.database: OwnServer | None = None
        self.behind: Proxy | None = None
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
        """Where the clients connect."""
        return f"http://127.0.0.1:{self.front.port}"

    def heal(self) -> None:
        """End whatever is in the clients' and the database's way."""
        self.front.heal()
        if self.behind is not None:
            self.behind.heal()

    def close(self) -> None:
        """End all processes, and unmount."""
        self._closing.close()

    def _file(self) -> str:
        place = self.folder / "disk"
        place.mkdir()
        options = f"size={DISK_MIB}m"
        if os.geteuid() == 0 and shutil.which("mount") is not None:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False)
            if done.returncode == 0:
                self.disk = place
                self._closing.callback(_unmount, place)
        if self.disk is None:
            self.missing = frozenset({plan.DISK_FULL})
        return f"sqlite:///{place / 'sessions.db'}"

    def _database(self) -> str:
        self.database = own_server(self.kind, durable=True)
        self._closing.callback(self.database.close)
        direct = self.database.create_migrated()
        self.behind = Proxy("127.0.0.1", self.database.port)
        self._closing.callback(self.behind.close)
        return direct

    def _serve(self, mutant: str) -> None:
        url = make_url(self.direct_url)
        if self.behind is not None:
            url = url.set(host="127.0.0.1", port=self.behind.port)
        self.server = ServedChaos(
            self.folder,
            database=url.render_as_string(hide_password=False),
            environment={**SETTINGS, "CHAOS_CLOCK": str(self.clock), "CHAOS_MUTANT": mutant},
        )
        self._closing.callback(self.server.stop)
        self.server.start()
        self.front = Proxy("127.0.0.1", self.server.port)
        self._closing.callback(self.front.close)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that are still there (Linux)."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def new_folder() -> Path:
    """Make a folder for a run; its owner removes it."""
    return Path(tempfile.mkdtemp(prefix="stepkeep-chaos-"))


def _unmount(place: Path) -> None:
    deadline = time.monotonic() + STOP_S
    while subprocess.run(["umount", place], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        if time.monotonic() > deadline:
            subprocess.run(["umount", "--lazy", place], check=False)
            return
        time.sleep(LOOK_S)
