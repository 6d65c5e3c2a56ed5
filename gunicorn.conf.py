"""Configuration of gunicorn: a thread for each WebSocket connection and each concurrent request.

There is one process, unless WEB_CONCURRENCY says otherwise; a SQLite file, guarded by a lock, never has more.
"""

import fcntl
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException

from app.errors import ConfigurationError
from app.observability.multiprocess import VARIABLE, delete_old_metrics, delete_temporary_folder, share_metrics
from app.settings import environment_warnings, is_loopback, read_settings

try:
    _settings = read_settings()
    share_metrics(_settings)
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")

# Not before share_metrics: these import prometheus_client, which then reads where metrics are shared.
from prometheus_client.multiprocess import mark_process_dead

from app.observability.logging import LineFormatter, resolve_log_format
from app.sessions import open_store
from app.store import mark_in_use, normalise_url, server_lock, unmark_in_use
from app.web import EXTENSION, SEND_TIMEOUT_MS, AppContext, check_settings, config_warnings

try:
    check_settings(_settings)  # here, because gunicorn would restart a failing worker for ever
    _database = normalise_url(_settings.database_url)
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")

bind = f"{_settings.host}:{_settings.port}"
worker_class = "gthread"
workers = 1 if _database.get_backend_name() == "sqlite" else _settings.web_concurrency
threads = _settings.max_connections + _settings.rest_threads
worker_connections = threads + 1000
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
    """Writes gunicorn's log in the format of the application's."""

    def _set_handler(self, log: Any, output: Any, fmt: Any, stream: Any = None) -> None:  # noqa: ANN401, ARG002
        formatter = LineFormatter(resolve_log_format(_settings.log_format, _settings.environment))
        super()._set_handler(log, output, formatter, stream)


logger_class = LineLogger

CLOSING_S = 5
"""Seconds for open connections to save their drafts when the server stops."""

DRAIN_S = 2
"""Seconds after that for commands that an unavailable database has not committed; clients keep them too."""

GARBAGE_THRESHOLDS = (10_000, 20, 20)
"""With Python's default, (700, 10, 10), the garbage collector takes 12 % of the time, and turns leave no cycles."""

UNREAD_BYTES, UNREAD_S = 64 * 2**20, 10
"""How much of a refused request's body is read, and for how long."""

CHECK_S = 60
"""Seconds within which a reload must have checked the new release."""

_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - not resolved: it may be a symbolic link
"""The release's folder, as gunicorn was started with it."""

_FIRST_FD = 3
"""systemd's convention for inherited sockets, which gunicorn follows (sd_listen_fds(3))."""

_locks: list[object] = []


def on_starting(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Lock the SQLite file; refuse any address but loopback in development; log configuration warnings."""
    hosts = [address[0] for address in server.cfg.address if isinstance(address, tuple)]
    if _settings.environment == "development" and not all(map(is_loopback, hosts)):
        sys.exit("stepkeep: development mode has no authentication and must bind to loopback, e.g. 127.0.0.1")
    for warning in (*environment_warnings(), *config_warnings(_settings)):
        server.log.warning(warning)
    if server.cfg.workers > 1 and not os.environ.get(VARIABLE):
        server.log.warning("/metrics shows a single process; set WEB_CONCURRENCY to the number of workers")
    server.handle_hup = partial(replace_server, server)
    try:
        _locks.append(server_lock(_database))
        # Also here, because gunicorn would restart for ever a worker that fails on its surveys, database or keys.
        open_store(_settings).close()
        mark_in_use(_database)
    except ConfigurationError as error:
        sys.exit(f"stepkeep: {error.message}")


def replace_server(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Replace this server by the release that is now installed, on the same sockets; keep it if that can't start.

    Clients that connect meanwhile wait until the new server accepts.

    gunicorn's own reload forks this process, with this release's modules, and ends the old workers before it knows
    whether the new ones start.
    """
    if problem := _problem_of_new_server({**server.cfg.env_orig, "STEPKEEP_ENVIRONMENT": _settings.environment}):
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
    os.chdir(_FOLDER)
    os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 - this command again


def _problem_of_new_server(environment: dict[str, str]) -> str:
    """Return why a new server could not start, in one line, or ''."""
    command = [sys.executable, "-m", "app.serve", "--check"]
    try:
        check = subprocess.run(  # noqa: S603 - this Python
            command, cwd=_FOLDER, env=environment, capture_output=True, text=True, timeout=CHECK_S, check=False
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
        delete_old_metrics(_settings)
    except ConfigurationError as error:
        sys.exit(f"stepkeep: {error.message}")


def post_worker_init(worker: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Close the connections with 1001 when the worker is stopped; run the garbage collector less often."""
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    for listener in worker.sockets:
        with suppress(OSError, AttributeError):  # not TCP, or not Linux
            # Accepted connections inherit it.
            listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
    context: AppContext = worker.wsgi.extensions[EXTENSION]
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
    """Read what the application did not: closing with unread bytes resets the connection, and the response may be lost.

    A proxy would respond with 502 instead of 413. gunicorn itself reads 64 KiB.
    """
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
