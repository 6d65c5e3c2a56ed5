"""The echo of tests/conformance/echo.py under the real gunicorn, in processes of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance import proc
from tests.waiting import free_port, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
THREADS = 64


@dataclass
class EchoServer:
    """One gunicorn with one worker."""

    folder: Path
    worker: str = "gthread"
    config: str = ""
    port: int = field(default_factory=free_port)
    process: int = 0  # gunicorn's own; its worker is its child

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "echo.log").read_text()

    def is_there(self) -> bool:
        """Whether REST answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.read() == b"ok")
        except OSError:
            return False

    def usage(self) -> proc.Usage:
        """Return what the worker holds."""
        return proc.usage(proc.only_child(self.process))

    def readers(self) -> int:
        """Return how many threads of the worker read from a WebSocket."""
        with urllib.request.urlopen(f"{self.url}/readers", timeout=5) as answer:
            return int(answer.read())

    def command(self) -> list[str]:
        settings = self.folder / "gunicorn_settings.py"
        settings.write_text(self.config)
        chosen = {"worker-class": self.worker, "threads": THREADS, "bind": f"127.0.0.1:{self.port}", "config": settings}
        options = [part for name, value in chosen.items() for part in (f"--{name}", str(value))]
        return [sys.executable, "-m", "gunicorn", *options, "--no-control-socket", "tests.conformance.echo:app"]


@contextlib.contextmanager
def serving(folder: Path, worker: str = "gthread", config: str = "") -> Iterator[EchoServer]:
    """Serve the echo; all its processes are gone afterwards.

    Args:
        folder: for its log.
        worker: gunicorn's worker class.
        config: the text of a gunicorn configuration file.
    """
    server = EchoServer(folder, worker, config)
    with (folder / "echo.log").open("ab") as log:
        process = subprocess.Popen(server.command(), cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    server.process = process.pid
    try:
        wait_for(server.is_there, lambda: f"the echo did not answer:\n{server.log}")
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
