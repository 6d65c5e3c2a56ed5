"""A throwaway Redis server on loopback, which ends with the process that started it."""

import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.database_servers import WATCH, NoServer
from tests.waiting import free_port, wait_for

HOW_TO_GET = "no redis-server here (Debian: apt install redis-server)"


@dataclass
class RedisServer:
    """Redis in a process of its own, on a fixed port."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    _watcher: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            NoServer: redis-server is not installed.
        """
        if shutil.which("redis-server") is None:
            raise NoServer(HOW_TO_GET)
        settings = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self.folder}
        chosen = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(["redis-server", *chosen], stdout=log, stderr=log, start_new_session=True)
        self._watcher = subprocess.Popen(
            ["sh", "-c", WATCH, "sh", "KILL", str(self.process.pid), str(self.folder / "redis.log")],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        wait_for(self._answers, "redis does not answer")

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        if self._watcher is not None:  # before the server: its number may soon be another program's
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "redis.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
