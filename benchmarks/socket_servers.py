"""The contestants of `make bench-sockets`: servers, each as its users run it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from benchmarks import databases
from benchmarks.contest import PEERS
from benchmarks.socket_clients import Load

ROOT = Path(__file__).resolve().parent.parent

START_S = 120.0
"""oTree begins all its sessions before it serves."""

STOP_S = 30.0

THREADS = 1100
"""Of the servers with a thread for each socket, and oTree's participants."""

OURS = "Stepkeep"
ECHO = "bare echo"
BASELINE = "hand-written"
SOCKET_IO = "python-socketio"
OTREE = "oTree"

OTREE_PYTHON = ROOT / ".venv-otree" / "bin" / "python"
OTREE_PROJECT = ROOT / "benchmarks" / "peers" / "otree_project"


SURVEYS = ROOT / "benchmarks" / "surveys"
SURVEY_ID = "plain"

_ANSWER = '{"type":"answer","id":"{id}","step":"{step}","value":{value}}'
_ACK = '"type":"ack"'
_LOADS = {
    OURS: {"path": f"/ws/survey/p{{number}}?survey={SURVEY_ID}", "message": _ANSWER, "answer": _ACK},
    ECHO: {"path": "/echo/p{number}", "message": _ANSWER, "answer": '"answer"', "greeting": ""},
    BASELINE: {"path": "/ws/p{number}", "message": _ANSWER, "answer": '"type": "ack"'},
    SOCKET_IO: {
        "path": "/socket.io/?EIO=4&transport=websocket",
        "hello": '40{"user_id":"p{number}"}',
        "greeting": '40{"sid"',
        "message": '42{turn}["answer",{"id":"{id}","step":"{step}","value":{value}}]',
        "answer": _ACK,
    },
    OTREE: {
        "path": "/live?session_code=bench&page_index=1&participant_code=p{number}&page_name=Survey",
        "message": '{"id":"{id}","step":"{step}","value":{value}}',
        "answer": '"type": "ack"',
        "greeting": "",
    },
}


@dataclass(frozen=True)
class Contestant:
    """A server.

    Attributes:
        kind: OURS, ECHO, BASELINE, SOCKET_IO or OTREE.
        database: sqlite, postgresql or mariadb; the others have none.
        flush_ms: how long each commit takes longer than on this machine.
        workers: processes.
    """

    kind: str
    database: str = "sqlite"
    flush_ms: int = 0
    workers: int = 1

    @property
    def name(self) -> str:
        if self.kind != OURS:
            return self.kind
        details = [self.database]
        if self.flush_ms:
            details.append(f"a flush of {self.flush_ms} ms")
        if self.workers > 1:
            details.append(f"{self.workers} processes")
        return f"{OURS}, {', '.join(details)}"

    @property
    def has_arbiter(self) -> bool:
        """Whether the process that is started only starts others, which serve."""
        return self.kind not in {SOCKET_IO, OTREE}

    def load(self, port: int, clients: int, seconds: float, turns_per_second: float = 0.0) -> Load:
        options = _LOADS[self.kind]
        return Load(port=port, clients=clients, seconds=seconds, turns_per_second=turns_per_second, **options)  # type: ignore[arg-type]

    def command(self, port: int) -> list[str]:
        if self.kind == SOCKET_IO:
            options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
            return [str(PEERS), "-m", "uvicorn", *options, "benchmarks.peers.socket_socketio:app"]
        if self.kind == OTREE:
            return [str(OTREE_PYTHON), "serve.py", str(port), str(THREADS)]
        gunicorn = [sys.executable, "-m", "gunicorn"]
        if self.kind == OURS:
            target = "benchmarks.slow_flush:app" if self.flush_ms else "wsgi:app"
            return [*gunicorn, "--config", "gunicorn.conf.py", target]
        module = "benchmarks.peers.socket_echo:app" if self.kind == ECHO else "benchmarks.peers.socket_handwritten:app"
        options = ["--config", os.devnull, "--no-control-socket", "--bind", f"127.0.0.1:{port}", "--log-level", "error"]
        return [*gunicorn, *options, "--worker-class", "gthread", "--threads", str(THREADS), module]


@dataclass
class Running:
    """A started contestant, with the processes that serve."""

    port: int
    arbiter: int
    workers: list[int]

    def kill_workers(self) -> None:
        """End the workers at once, and wait for the others that the arbiter starts."""
        for pid in self.workers:
            os.kill(pid, signal.SIGKILL)
        until = monotonic() + START_S
        while not set(children := _children(self.arbiter)) - set(self.workers) and monotonic() < until:
            sleep(0.05)
        self.workers = children

    def cpu_s(self) -> float:
        """Return the processor time of the workers."""
        return sum(_cpu_s(pid) for pid in self.workers)

    def memory_kib(self) -> int:
        """Return the resident memory of the workers."""
        return sum(_memory_kib(pid) for pid in self.workers)


@contextmanager
def running(contestant: Contestant, port: int, demo_sessions: int = 0) -> Iterator[Running]:
    """Start the server on a new database; stop it at the end."""
    with tempfile.TemporaryDirectory() as name, databases.fresh(contestant.database, "sockets", Path(name)) as url:
        environment = {
            **os.environ,
            "STEPKEEP_ENVIRONMENT": "development",
            "PORT": str(port),
            "DATABASE_URL": url,
            "SESSIONS_FILE": str(Path(name) / "baseline.db"),
            "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
            "STEPKEEP_MESSAGES_PER_SECOND": "100000",  # one socket alone sends more than a person
            "STEPKEEP_LOG_LEVEL": "WARNING",
            "FLUSH_MS": str(contestant.flush_ms),
            "WEB_CONCURRENCY": str(contestant.workers),
        }
        if contestant.kind == OURS:
            upgrade = [sys.executable, "-m", "alembic", "upgrade", "head"]
            subprocess.run(upgrade, cwd=ROOT, env=environment, check=True, capture_output=True)  # noqa: S603 - this Python
        if demo_sessions:
            fill = [sys.executable, "-m", "flask", "--app", "wsgi", "demo", "fill", "--sessions", str(demo_sessions)]
            subprocess.run([*fill, "--survey", SURVEY_ID], cwd=ROOT, env=environment, check=True, capture_output=True)  # noqa: S603
        folder = ROOT
        if contestant.kind == OTREE:
            folder = Path(shutil.copytree(OTREE_PROJECT, Path(name) / "otree"))
            environment |= {"OTREE_PRODUCTION": "1"}
            del environment["DATABASE_URL"]  # it keeps SQLite in its folder
        process = subprocess.Popen(contestant.command(port), cwd=folder, env=environment)  # noqa: S603 - our contestants
        try:
            yield Running(port, process.pid, _workers(process, port, contestant))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                for pid in [*_children(process.pid), process.pid]:
                    os.kill(pid, signal.SIGKILL)
                process.wait()


def _workers(process: "subprocess.Popen[bytes]", port: int, contestant: Contestant) -> list[int]:
    until = monotonic() + START_S
    while monotonic() < until:
        sleep(0.2)
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        serving = _children(process.pid) if contestant.has_arbiter else [process.pid]
        if len(serving) == contestant.workers and _answers(port):
            return serving
    raise RuntimeError("the server did not answer")


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
