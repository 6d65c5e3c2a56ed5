"""Python processes forked from one that has imported the program and read its surveys: that is most of a server's start.

The forked process then runs ``python -m MODULE`` or ``python -c PROGRAM`` as any other, and reads its settings from its own
environment. Only on Linux; elsewhere each process starts by itself.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from app.catalogue import catalogue
from app.observability.multiprocess import VARIABLE
from tests.checked_surveys import check_files_once

ROOT = Path(__file__).resolve().parent.parent
SURVEYS = ROOT / "surveys"
EVERY_S = 0.02
SHARE_METRICS = {VARIABLE, "STEPKEEP_METRICS_DIR", "WEB_CONCURRENCY"}

MODULES = (
    "alembic.command",
    "alembic.config",
    "app.cli",
    "app.web",
    "cryptography.hazmat.primitives.ciphers.aead",
    "filelock",
    "flask_cors",
    "flask_sock",
    "gunicorn.app.wsgiapp",
    "gunicorn.glogging",
    "gunicorn.workers.gthread",
    "limits.strategies",
    "orjson",
    "pydantic_settings",
    "rbloom",
    "segno",
    "sqlalchemy.dialects.mysql",
    "sqlalchemy.dialects.sqlite",
    "structlog",
    "tenacity",
    "urllib3",
    "websockets.sync.server",
)


class ForkedProcess:
    """A forked process, with the part of Popen's interface that the tests use."""

    def __init__(self, parent: "_Parent", pid: int, command: Sequence[str]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._parent = parent
        self._command = command

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal; None while the process runs."""
        if self.returncode is None:
            self.returncode = self._parent.ask(wait=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process.

        Raises:
            subprocess.TimeoutExpired: after this many seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(self._command, timeout or 0)
            time.sleep(EVERY_S)  # polls: the parent sends no notification
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start_module(
    command: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    errors: Path | None = None,
    folder: Path = ROOT,
) -> "subprocess.Popen[bytes] | ForkedProcess":
    """Start ``python -m COMMAND`` in a session of its own.

    Args:
        command: a module and its arguments, or ``-c``, a program and its arguments.
        output: gets what it writes, at the end.
        errors: gets what it writes to standard error; by default that is also in ``output``.
    """
    errors = errors or output
    if sys.platform == "linux":
        output.touch(0o600)  # the caller may read it before the process writes
        parent = _parent(os.getpid())
        files = {"output": str(output), "errors": str(errors), "folder": str(folder)}
        pid = parent.ask(command=list(command), environment=dict(environment), **files)
        return ForkedProcess(parent, pid, command)
    with output.open("ab") as out, errors.open("ab") as err:
        return subprocess.Popen(
            _python(command),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def run_module(
    command: Sequence[str], environment: Mapping[str, str], timeout_s: float = 120, folder: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m COMMAND``, or a program after ``-c``, and return its output.

    Raises:
        subprocess.TimeoutExpired: it was killed after this time.
    """
    with tempfile.TemporaryDirectory(prefix="stepkeep-output-") as written:
        output, errors = Path(written) / "output", Path(written) / "errors"
        process = start_module(command, environment, output, errors, folder)
        try:
            code = process.wait(timeout_s)
        finally:
            process.kill()
        return subprocess.CompletedProcess(command, code, output.read_text(), errors.read_text())


class _Parent:
    """The process that forks; it ends with the process of the tests."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            assert line, "the process that forks has ended: its error is above"
            return json.loads(line)


@functools.cache
def _parent(_pid: int) -> _Parent:
    """Return this process's parent of forked processes."""
    return _Parent()


def main() -> None:
    """Fork a process for each line of standard input that asks for it, and answer with its pid or exit code."""
    for module in MODULES:
        importlib.import_module(module)
    check_files_once()
    catalogue.check_files(catalogue.survey_files(SURVEYS))
    gc.freeze()  # in the children too: a collection, as at their end, would copy all of this: half a second
    for line in sys.stdin:
        request = json.loads(line)
        answer = None
        if "wait" in request:
            pid, status = os.waitpid(request["wait"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                run(**request)
                return
        print(json.dumps(answer), flush=True)  # noqa: T201 - the protocol


def run(command: list[str], environment: dict[str, str], output: str, errors: str, folder: str) -> None:
    """Be ``python -m COMMAND``, or the program after ``-c``."""
    os.setsid()
    os.chdir(folder)
    for target, path in enumerate((os.devnull, output, errors)):
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(opened, target)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # of the parent's environment
    sys.stdout.reconfigure(write_through="PYTHONUNBUFFERED" in environment)  # type: ignore[union-attr]
    if SHARE_METRICS & environment.keys():
        _forget_metrics()
    sys.orig_argv = _python(command)
    if command[0] == "-c":
        sys.argv = ["-c", *command[2:]]
        sys.modules["__main__"] = main_module = ModuleType("__main__")
        exec(command[1], main_module.__dict__)  # noqa: S102 - as python -c
    else:
        sys.argv = list(command)
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def _python(command: Sequence[str]) -> list[str]:
    return [sys.executable, *(() if command[0] == "-c" else ("-m",)), *command]


def _forget_metrics() -> None:
    """Forget prometheus_client, which reads its folder from the environment when it is imported, and what imported it."""
    for name in [name for name in sys.modules if name.partition(".")[0] in {"app", "prometheus_client"}]:
        del sys.modules[name]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
