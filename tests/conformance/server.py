"""Runs the echo server of tests/conformance/echo.py under gunicorn."""

import contextlib
import os
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance import proc
from tests.forked import start_module
from tests.waiting import free_port, wait_for

THREADS = 64


@dataclass
class EchoServer:
    """A gunicorn with one worker."""

    folder: Path
    config: str = ""
    port: int = field(default_factory=free_port)
    process: int = 0  # pid of the arbiter; the worker is its child

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "echo.log").read_text()

    def is_running(self) -> bool:
        """Return whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.read() == b"ok")
        except OSError:
            return False

    def usage(self) -> proc.Usage:
        """Return the resources of the worker."""
        return proc.usage(proc.only_child(self.process))

    def opened(self) -> int:
        """Return the number of the worker's open WebSockets."""
        with urllib.request.urlopen(f"{self.url}/opened", timeout=5) as answer:
            return int(answer.read())

    def command(self) -> list[str]:
        settings = self.folder / "gunicorn_settings.py"
        settings.write_text(self.config)
        flags = {"worker-class": "gthread", "threads": THREADS, "bind": f"127.0.0.1:{self.port}", "config": settings}
        options = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
        return ["gunicorn", *options, "--no-control-socket", "tests.conformance.echo:app"]


@contextlib.contextmanager
def serving(folder: Path, config: str = "") -> Iterator[EchoServer]:
    """Run the echo server; end all its processes on exit.

    Args:
        folder: for its log.
        config: the text of a gunicorn configuration file.
    """
    server = EchoServer(folder, config)
    process = start_module(server.command(), os.environ, folder / "echo.log")
    server.process = process.pid
    try:
        wait_for(server.is_running, lambda: f"the echo server did not answer:\n{server.log}")
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
