"""examples/flask as a process, and signing in to it."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.conftest import ROOT
from tests.databases import create_sqlite
from tests.waiting import free_port, wait_for

EXAMPLE = ROOT / "examples" / "flask"
PASSWORD = "of the clinic"

SERVERS = {
    "werkzeug": ["flask", "--app", "clinic", "run", "--port", "{port}"],
    "gunicorn": ["gunicorn", "-b", "127.0.0.1:{port}", "-k", "stepkeep.web.worker.Worker", "clinic:create_app()"],
    "gthread": ["gunicorn", "-b", "127.0.0.1:{port}", "-k", "gthread", "--threads", "8", "clinic:create_app()"],
}
"""Arguments of ``python -m``, as in docs/flask.md."""


@dataclass
class ClinicServer:
    """The example, on a server of its own.

    Attributes:
        python: of an environment in which the wheel is installed; None: ``stepkeep`` is this checkout's ``app``.
    """

    folder: Path
    kind: str = "werkzeug"
    python: Path | None = None
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "clinic.log").read_text()

    def start(self) -> None:
        """Start the example on a new database, and wait until it answers."""
        for file in self.folder.glob("stepkeep.db*"):
            file.unlink()
        environment = {
            **os.environ,
            "PYTHONPATH": str(EXAMPLE) if self.python else f"{self._checkout()}:{EXAMPLE}",
            "SECRET_KEY": secrets.token_urlsafe(32),
            "CLINIC_PASSWORD": PASSWORD,
            "STEPKEEP_DATABASE_URL": create_sqlite(self.folder / "stepkeep.db"),
        }
        arguments = [argument.format(port=self.port) for argument in SERVERS[self.kind]]
        with (self.folder / "clinic.log").open("wb") as log:
            self.process = subprocess.Popen(
                [self.python or sys.executable, "-m", *arguments],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self._answers, lambda: f"The example did not answer:\n{self.log[-4000:]}")

    def kill(self) -> None:
        """Kill the server and its workers, if it was started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):  # it was stopped
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """Stop the server as an operator does: the development server with Ctrl-C."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT if self.kind == "werkzeug" else signal.SIGTERM)
        self.process.wait(60)

    @contextlib.contextmanager
    def signed_in(self, user: str) -> Iterator[httpx.Client]:
        """Yield a client that is signed in."""
        with httpx.Client(base_url=self.url, timeout=60) as client:
            assert client.post("/login", data={"user": user, "password": PASSWORD}).status_code == 303
            yield client

    def _checkout(self) -> Path:
        """Return a folder in which the checkout's package has the wheel's name."""
        packages = self.folder / "packages"
        packages.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):  # of an earlier start
            (packages / "stepkeep").symlink_to(ROOT / "app", target_is_directory=True)
        return packages

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return httpx.get(f"{self.url}/login").status_code == 200
        except httpx.TransportError:
            return False
