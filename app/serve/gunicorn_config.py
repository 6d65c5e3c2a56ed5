"""Configuration of gunicorn: threads for requests and handshakes that have arrived, and one more for all WebSockets.

There is one process, unless WEB_CONCURRENCY says otherwise; a SQLite file, guarded by a lock, never has more.
"""

import fcntl
import gc
import hashlib
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException

from ..catalogue import accept, read_catalogue
from ..core.formats import is_loopback
from ..errors import ConfigurationError
from ..observability.multiprocess import VARIABLE, delete_old_metrics, delete_temporary_folder, share_metrics
from ..settings import SECRETS_DIR, environment_warnings, read_settings

try:
    _settings = read_settings()
    share_metrics(_settings.metrics_dir, processes=_settings.web_concurrency)
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")

# Not before share_metrics: these import prometheus_client, which then reads where metrics are shared.
from prometheus_client.multiprocess import mark_process_dead

from ..observability.logging import LineFormatter, resolve_log_format
from ..sessions import open_store
from ..store import database_url, mark_in_use, server_lock, unmark_in_use
from ..web import EXTENSION, SEND_TIMEOUT_MS, AppContext, check_settings, config_warnings
from ..web.worker import descriptor_warning, raise_descriptor_limit, spare_descriptors

try:
    check_settings(_settings)  # here, because gunicorn would restart a failing worker for ever
    _database = database_url(_settings)
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")

_PACKAGE = __package__.partition(".")[0]

bind = f"{_settings.host}:{_settings.port}"
worker_class = f"{_PACKAGE}.web.worker.Worker"
workers = 1 if _database.get_backend_name() == "sqlite" else _settings.web_concurrency
threads = _settings.rest_threads
_descriptor_limit = raise_descriptor_limit()  # workers inherit it
_spare_descriptors = spare_descriptors(_descriptor_limit, _settings.max_connections, _settings.rest_threads)
# No WebSockets, which leave gunicorn: idle ones, and those whose request has not arrived, beside those in threads.
worker_connections = threads + min(1000, max(100, _spare_descriptors))
# All clients connect at once after a restart. The kernel takes net.core.somaxconn at most, and drops the others'
# connects, which their kernels repeat after 1, 3, 7 s (docs/operations.md).
backlog = max(2048, workers * _settings.max_connections)
max_requests = 0  # replacing a worker would disconnect its participants
timeout = 120  # of the heartbeat: a busy worker may be late, and replacing it disconnects its participants
graceful_timeout = 10
keepalive = 5
# Together 800 KiB: gunicorn keeps an unfinished header of this size for a client that has not authenticated.
limit_request_fields = 50
limit_request_field_size = 2**14  # cookies of 6 KiB, or of more from an earlier release, which pages clear
control_socket_disable = True
loglevel = _settings.log_level.lower()
access_log_format = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(B)s %(D)s'  # without the query, which may have ids


class LineLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Writes gunicorn's log in the application's format."""

    def _set_handler(self, log: Any, output: Any, fmt: Any, stream: Any = None) -> None:  # noqa: ANN401, ARG002
        formatter = LineFormatter(resolve_log_format(_settings.log_format, _settings.environment))
        super()._set_handler(log, output, formatter, stream)


logger_class = LineLogger

CLOSING_S = 5
"""Seconds for open connections to save their drafts when the server stops."""

DRAIN_S = 2
"""Seconds after that for commands that an unavailable database has not committed; clients keep them too."""

SWITCH_S = 0.001
"""How long a thread may compute before another that waits gets the interpreter. With Python's default, 5 ms, an export
delays each system call of the WebSockets' thread and of the writer by as much (docs/performance/sockets.md).
"""

GARBAGE_THRESHOLDS = (10_000, 20, 20)
"""With Python's default, (700, 10, 10), the garbage collector takes 12 % of the time, and turns leave no cycles."""

UNREAD_BYTES, UNREAD_S = 64 * 2**20, 10
"""How much of a refused request's body is read, and for how long."""

CHECK_S = 60
"""Seconds within which a reload must have checked the new release."""

_FIRST_FD = 3
"""systemd's convention for inherited sockets, which gunicorn follows (sd_listen_fds(3))."""

_locks: list[object] = []

_early_reloads: list[int] = []
"""Signals to a worker that is not ready to reload."""

_release: list[str] = []
"""What was installed when the server started."""


def on_starting(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Lock the SQLite file; refuse any address but loopback in development; log configuration warnings."""
    hosts = [address[0] for address in server.cfg.address if isinstance(address, tuple)]
    if _settings.environment == "development" and not all(map(is_loopback, hosts)):
        sys.exit("stepkeep: development mode has no authentication and must bind to loopback, e.g. 127.0.0.1")
    for warning in (*environment_warnings(), *config_warnings(_settings)):
        server.log.warning(warning)
    if problem := descriptor_warning(_descriptor_limit, _settings.max_connections, _settings.rest_threads):
        server.log.warning(problem)
    if server.cfg.workers > 1 and not os.environ.get(VARIABLE):
        server.log.warning("/metrics shows a single process; set WEB_CONCURRENCY to the number of workers")
    server.handle_hup = partial(reload_server, server)
    _release.append(_installed(server))
    try:
        _locks.append(server_lock(_database))
        # Also here, because gunicorn would restart for ever a worker that fails on its surveys, database or keys.
        store = open_store(_settings)
        store.close()
        accept(store.catalogue)
        mark_in_use(_database)
    except ConfigurationError as error:
        sys.exit(f"stepkeep: {error.message}")


def reload_server(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Let the workers take changed survey files; replace the server if the release or a secret has changed."""
    if _installed(server) != _release[0]:
        replace_server(server)
        return
    try:
        accept(read_catalogue(_settings))  # the workers log what is wrong in the files
    except Exception:
        server.log.exception("Unexpected error. Survey files not read again; the surveys stay as they were.")
        return
    server.kill_workers(signal.SIGHUP)


def replace_server(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Replace this server by the release that is now installed, on the same sockets; keep it if that can't start.

    gunicorn's own reload forks this process, with this release's modules, and ends the old workers before it knows
    whether the new ones start.
    """
    environment = {**server.cfg.env_orig, "STEPKEEP_ENVIRONMENT": _settings.environment}
    if problem := _problem_of_new_server(_release_folder(server), environment):
        server.log.error("Not reloaded; this server continues. %s", problem)
        return
    server.kill_workers(signal.SIGTERM)  # before the start: a SQLite file has one server
    deadline = time.monotonic() + graceful_timeout
    while server.WORKERS and time.monotonic() < deadline:
        server.reap_workers()
        time.sleep(0.05)
    server.kill_workers(signal.SIGKILL)
    if not {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}.isdisjoint(server.wait_for_signals(timeout=0)):
        raise StopIteration  # as gunicorn's handler of SIGTERM
    delete_temporary_folder()
    environment = {**server.cfg.env_orig, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(server.LISTENERS))}
    end = _FIRST_FD + len(server.LISTENERS)
    copies = [fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD_CLOEXEC, end) for listener in server.LISTENERS]
    for number, copy in enumerate(copies, _FIRST_FD):
        os.dup2(copy, number)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the new server handles it
    os.chdir(_release_folder(server))
    os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 - this command again


def _installed(server: Any) -> str:  # noqa: ANN401 - gunicorn has no types
    """Return a fingerprint of what a new server would read, but for settings in the environment and survey files."""
    release = Path(_release_folder(server)).resolve()
    package = release / _PACKAGE if (release / _PACKAGE).is_dir() else Path(__file__).parents[1]
    secrets, languages = os.environ.get(SECRETS_DIR), _settings.languages_dir
    folders = [package, release / "alembic", *(Path(folder) for folder in (secrets, languages) if folder)]
    paths = {path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    for libraries in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        paths.update(Path(libraries).glob("*.dist-info"))
    digest = hashlib.sha256(str(release).encode())
    for path in sorted(paths):
        with suppress(OSError):
            status = path.stat()
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _release_folder(server: Any) -> str:  # noqa: ANN401 - gunicorn has no types
    """Return the folder of the configuration file, or of the start; not resolved, as it may be a symbolic link."""
    config = server.cfg.config
    is_module = config.startswith("python:")
    return server.cfg.chdir if is_module else os.path.dirname(os.path.abspath(config))  # type: ignore[no-any-return]  # noqa: PTH100, PTH120


def _problem_of_new_server(folder: str, environment: dict[str, str]) -> str:
    """Return why a new server could not start, in one line, or ''."""
    command = [sys.executable, "-m", f"{_PACKAGE}.serve", "--check"]
    try:
        check = subprocess.run(  # noqa: S603 - this Python
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=CHECK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"The new release can't be checked: {error}"
    lines = check.stderr.strip().splitlines()
    return "" if check.returncode == 0 else lines[-1] if lines else f"The check ended with {check.returncode}."


def when_ready(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Delete the metrics of an earlier server: the lock and the address are taken, and there is no worker yet."""
    if server.master_pid:  # SIGUSR2: the earlier server still uses them
        return
    try:
        delete_old_metrics(_settings.metrics_dir)
    except ConfigurationError as error:
        sys.exit(f"stepkeep: {error.message}")


def post_fork(_server: Any, _worker: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Keep a reload until the worker can do it: it may have read its survey files before."""
    signal.signal(signal.SIGHUP, lambda number, _frame: _early_reloads.append(number))


def post_worker_init(worker: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Handle signals: close the connections with 1001 on a stop. Run the garbage collector less often."""
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    sys.setswitchinterval(SWITCH_S)
    for listener in worker.sockets:
        with suppress(OSError, AttributeError):  # not TCP, or not Linux
            # Accepted connections inherit it.
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
    if _settings.environment == "production" and _settings.proxies == 0:  # else all requests have one address
        worker.network_threads = max(1, threads // 2)
    context: AppContext = worker.wsgi.extensions[EXTENSION]
    signal.signal(signal.SIGHUP, lambda _number, _frame: context.store.surveys.reload_later())
    if _early_reloads:
        context.store.surveys.reload_later()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        before = signal.getsignal(number)

        def stop(received: int, frame: FrameType | None, before: Any = before) -> None:  # noqa: ANN401
            context.connections.stopping = True
            context.connections.wait_until_closed(CLOSING_S)
            context.store.drain(DRAIN_S)
            if callable(before):
                before(received, frame)

        signal.signal(number, stop)


def post_request(_worker: Any, request: Any, _environ: Any, _response: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Read what the application did not: closing with unread bytes resets the connection, which may lose a 413."""
    connection, until, unread = request.unreader.sock, time.monotonic() + UNREAD_S, UNREAD_BYTES
    with suppress(OSError, ParseException):
        while (left_s := until - time.monotonic()) > 0 and unread > 0:
            connection.settimeout(left_s)
            data = request.body.read(2**16)
            unread -= len(data)
            if not data:
                break
        connection.settimeout(None)


def child_exit(server: Any, worker: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Say why a worker was killed; remove it from the gauges of open connections and the like."""
    if worker.aborted:  # gunicorn's own message suspects the memory
        server.log.error(
            "Worker %s gave no heartbeat for %d s and was replaced. Its connections were closed; acknowledged answers "
            "are saved. Reduce the load: see STEPKEEP_MAX_CONNECTIONS and WEB_CONCURRENCY.",
            worker.pid,
            server.cfg.timeout,
        )
    if os.environ.get(VARIABLE):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it has no types


def on_exit(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Delete the temporary folder of metrics and the mark of use, unless another server still uses them (SIGUSR2)."""
    if not (server.master_pid or server.reexec_pid):
        delete_temporary_folder()
        unmark_in_use(_database)
