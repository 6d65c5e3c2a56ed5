"""How gunicorn serves Stepkeep: threads, as many as there may be sockets and requests at once.

One process: on SQLite it must be the only one, held by a lock; WEB_CONCURRENCY raises it elsewhere.
"""

import gc
import os
import signal
import sys
from types import FrameType
from typing import Any

from gunicorn.glogging import Logger

from app.errors import ConfigurationError
from app.observability.multiprocess import VARIABLE, empty, remove_made, share_metrics
from app.settings import environment_warnings, is_loopback, read_settings

try:
    _settings = read_settings()
    share_metrics(_settings)
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")

# Only now: prometheus_client, which these lead to, asks when it is imported where metrics are shared.
from prometheus_client.multiprocess import mark_process_dead

from app.observability.logging import LineFormatter, log_form
from app.sessions.service import open_store
from app.store.engine import normalise_url, server_lock
from app.web.factory import check_settings, doubts

try:
    check_settings(_settings)  # here: a worker that can't start is started again and again
    _is_sqlite = normalise_url(_settings.database_url).get_backend_name() == "sqlite"
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")

bind = f"{_settings.host}:{_settings.port}"
worker_class = "gthread"
workers = 1 if _is_sqlite else _settings.web_concurrency
threads = _settings.max_connections + _settings.rest_threads
worker_connections = threads + 1000
max_requests = 0  # a worker that is replaced cuts all its sockets
graceful_timeout = 10
keepalive = 5
control_socket_disable = True
loglevel = _settings.log_level.lower()
access_log_format = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(B)s %(D)s'  # where it is on: no query, and nobody's name


class LineLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Writes as the rest of the log is written."""

    def _set_handler(self, log: Any, output: Any, fmt: Any, stream: Any = None) -> None:  # noqa: ANN401, ARG002
        super()._set_handler(log, output, LineFormatter(log_form(_settings.log_format, _settings.environment)), stream)


logger_class = LineLogger

CLOSING_S = 5
"""Seconds for open sockets to save their drafts when the server stops."""

SETTLING_S = 2
"""Seconds after that for turns that wait for a database which does not answer; the clients have them too."""

GARBAGE_THRESHOLDS = (10_000, 20, 20)
"""Python's default, (700, 10, 10), looks for circles of garbage some thirty times in a batch of 1,000 turns, which
leave none: 12% of the time."""

_held: list[object] = []


def on_starting(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Take the SQLite file for this server, or say who has it; in development be heard on this machine alone."""
    heard_at = [address[0] for address in server.cfg.address if isinstance(address, tuple)]
    if _settings.environment == "development" and not all(map(is_loopback, heard_at)):
        sys.exit("stepkeep: in development nobody is asked for credentials, so only 127.0.0.1 can be bound to")
    for warning in (*environment_warnings(), *doubts(_settings)):
        server.log.warning(warning)
    if server.cfg.workers > 1 and not os.environ.get(VARIABLE):
        server.log.warning("/metrics tells of one process at a time: say how many there are with WEB_CONCURRENCY")
    try:
        _held.append(server_lock(normalise_url(_settings.database_url)))
        # Here too: a worker that can't begin with these surveys, this database or these keys is started for ever.
        open_store(_settings).close()
    except ConfigurationError as error:
        sys.exit(f"stepkeep: {error.message}")


def when_ready(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Begin with no figures of an earlier server: now the lock and the address are held, and no worker is there yet."""
    if server.master_pid:  # SIGUSR2: the earlier server still counts
        return
    try:
        empty(_settings)
    except ConfigurationError as error:
        sys.exit(f"stepkeep: {error.message}")


def post_worker_init(worker: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Tell the sockets when the worker is asked to stop, so that they close with 1001; collect garbage less often."""
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    connections = worker.wsgi.extensions["stepkeep_connections"]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        before = signal.getsignal(number)

        def stop(received: int, frame: FrameType | None, before: Any = before) -> None:  # noqa: ANN401
            connections.stopping = True
            connections.wait_until_closed(CLOSING_S)
            worker.wsgi.extensions["stepkeep"].settle(SETTLING_S)
            if callable(before):
                before(received, frame)

        signal.signal(number, stop)


def child_exit(_server: Any, worker: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Let what the worker had open count no more."""
    if os.environ.get(VARIABLE):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # no types of theirs either


def on_exit(server: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """Leave no folder behind, unless the other of two servers goes on with it (SIGUSR2)."""
    if not (server.master_pid or server.reexec_pid):
        remove_made()
