"""gunicorn's worker with threads, which gives a request to a thread when all of it has arrived.

gunicorn's own gives it at the first byte, so that as many slow clients as threads stop the server. Here the main loop
reads, and closes what is too slow. It also gives the heartbeat: none of these methods may block.
"""

import errno
import signal
import time
from collections import Counter, defaultdict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from socket import SHUT_WR, socket
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from .connection import Connection, Stage, leave_stage

_ACCEPTS = 16  # connections accepted in a round: other workers of this server take theirs

# For WebSockets that open: when thousands connect again, they must not take the interpreter from those that have.
HANDSHAKE_THREADS = 3
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_WARNING_S = 60.0


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves plain HTTP/1.1; TLS as gunicorn does. A thread may take ``gunicorn.socket`` over by detaching it."""

    HEADER_S = 10.0  # from a new connection, or the first byte of a further request, to the end of the header
    BODY_S = 20.0  # from the end of the header to the end of the body
    LARGE_BODY_S = 60.0  # likewise for a larger request, which a thread reads
    QUEUE_S = 30.0  # for other requests of the same address to end, before 503
    # For the client to close first: closing with unread bytes would reset the connection, and with it the response.
    LINGER_S = 2.0
    PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0  # without new connections if descriptors or memory are short; doubled each time

    # What is reset when the worker starts. SIGHUP is handled since the fork: its default would end the worker.
    SIGNALS = tuple(number for number in ThreadWorker.SIGNALS if number != signal.SIGHUP)

    network_threads: int | None = None  # requests of one address (IPv6: /64) that may be in threads; None: all

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - gunicorn's
        super().__init__(*arguments, **options)
        self._headers = Stage(self.HEADER_S)
        self._bodies = Stage(self.BODY_S)
        self._queued = Stage(self.QUEUE_S)
        self._large = Stage(self.LARGE_BODY_S)
        self._lingering = Stage(self.LINGER_S)
        self._in_threads: Counter[str] = Counter()
        self._queues: defaultdict[str, deque[Connection]] = defaultdict(deque)
        self._handshakes = ThreadPoolExecutor(HANDSHAKE_THREADS)
        self._accept_at = self._warn_at = 0.0
        self._pause_s = self.PAUSE_S

    # New connections

    def accept(self, listener: Any) -> None:  # noqa: ANN401 - gunicorn's
        for _ in range(_ACCEPTS):
            try:
                client, address = listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause_accepting(error)
                return
            self._pause_s = self.PAUSE_S
            self.nr_conns += 1
            if self.nr_conns >= self.worker_connections:
                self._close_oldest()
            if self.cfg.is_ssl:
                self.enqueue_req(TConn(self.cfg, client, address, listener.getsockname()))
            else:
                self._read(Connection(self.cfg, client, address, listener.getsockname()))

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's
        super().set_accept_enabled(enabled and time.monotonic() >= self._accept_at)

    def _pause_accepting(self, error: OSError) -> None:
        now = time.monotonic()
        self._accept_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, self.LONGEST_PAUSE_S)
        self.set_accept_enabled(False)
        self._close_oldest()
        if now >= self._warn_at:
            self._warn_at = now + _WARNING_S
            is_limit = error.errno in {errno.EMFILE, errno.ENFILE}
            fix = "Raise the limit of open files (ulimit -n; LimitNOFILE in systemd), or lower" if is_limit else "Lower"
            self.log.warning("New connections have to wait: %s. %s STEPKEEP_MAX_CONNECTIONS.", error.strerror, fix)

    def _close_oldest(self) -> None:
        """Close the oldest connection that lingers, sends a request, or is kept alive, in this order."""
        for stage in (self._lingering, self._headers, self._bodies):
            if stage:
                self._close(stage.oldest())
                return
        if self.keepalived_conns:
            connection = self.keepalived_conns.popleft()
            self.poller.unregister(connection.sock)
            self.nr_conns -= 1
            connection.close()

    # Requests that arrive

    def on_client_socket_readable(self, conn: Any, client: socket) -> None:  # noqa: ANN401 - gunicorn's
        if client.fileno() == -1:  # closed in this round
            return
        if not isinstance(conn, Connection):
            super().on_client_socket_readable(conn, client)
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._read(conn)

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's
        if not isinstance(conn, Connection):
            super().enqueue_req(conn)
            return
        conn.receive_read_ahead()
        self._proceed(conn)

    def _on_readable(self, connection: Connection, _sock: socket) -> None:
        if not connection.is_polled:  # closed in this round
            return
        if connection.stage is not self._lingering:
            self._read(connection)
        elif connection.discard_input():
            self._close(connection)

    def _read(self, connection: Connection) -> None:
        try:
            connection.receive()
        except OSError:
            self._close(connection)
        else:
            self._proceed(connection)

    def _proceed(self, connection: Connection) -> None:
        """Pass the request on when a thread need not wait for it, or if it is large."""
        arrival = connection.arrival
        if arrival.expects_continue and not arrival.is_complete:
            arrival.expects_continue = False
            connection.send(_CONTINUE)
        if connection.is_ended and not arrival.data:
            self._close(connection)
        elif arrival.is_complete or arrival.is_large or connection.is_ended:
            self._admit(connection)
        else:
            self._wait(connection, self._bodies if arrival.has_header else self._headers)

    # Threads

    def _admit(self, connection: Connection) -> None:
        self._stop_polling(connection)
        if self.network_threads is None or self._in_threads[connection.network] < self.network_threads:
            self._start(connection)
        elif len(self._queues[connection.network]) < self.worker_connections // 2:
            self._queues[connection.network].append(connection)
            self._queued.enter(connection)
        else:
            self._answer(connection, _BUSY)

    def _start(self, connection: Connection) -> None:
        if connection.arrival.is_complete:
            leave_stage(connection)
        else:
            self._large.enter(connection)
        is_handshake = connection.arrival.is_handshake and connection.arrival.is_complete  # no thread waits for it
        pool = self._handshakes if is_handshake else self.tpool
        connection.hand_over()
        self._in_threads[connection.network] += 1
        try:
            future = pool.submit(self.handle, connection)
            future.add_done_callback(partial(self.method_queue.defer, self.finish_request, connection))
        except RuntimeError:  # no thread can be started
            self._in_threads[connection.network] -= 1
            self._close(connection)

    def finish_request(self, conn: Any, fs: "Future[bool]") -> None:  # noqa: ANN401 - gunicorn's
        if not isinstance(conn, Connection):
            super().finish_request(conn, fs)
            return
        leave_stage(conn)
        self._start_next(conn.network)
        if conn.sock.fileno() == -1:  # the thread has taken it over
            self.nr_conns -= 1
        elif not fs.cancelled() and fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def _start_next(self, network: str) -> None:
        self._in_threads[network] -= 1
        queue = self._queues.get(network)
        if queue:
            self._start(queue.popleft())
        if not queue:
            self._queues.pop(network, None)
        if not self._in_threads[network]:
            del self._in_threads[network]

    # Ends

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        pause_s = self._accept_at - time.monotonic()
        super().wait_for_and_dispatch_events(min(timeout, pause_s) if pause_s > 0 else timeout)
        now = time.monotonic()
        for stage, end in (
            (self._headers, self._time_out),
            (self._bodies, self._time_out),
            (self._queued, self._refuse),
            (self._large, self._stop_reading),
            (self._lingering, self._close),
        ):
            while stage.is_late(now):
                end(stage.oldest())

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        self._headers.cap(deadline)
        self._bodies.cap(deadline)

    def _time_out(self, connection: Connection) -> None:
        if connection.arrival.data:
            self._answer(connection, _TIMED_OUT)
        else:
            self._close(connection)

    def _refuse(self, connection: Connection) -> None:
        self._queues[connection.network].remove(connection)
        self._answer(connection, _BUSY)

    def _stop_reading(self, connection: Connection) -> None:
        leave_stage(connection)
        connection.stop_receiving()

    def _answer(self, connection: Connection, response: bytes) -> None:
        connection.send(response)
        self._linger(connection)

    def _linger(self, connection: Connection) -> None:
        """Let the client close first (RFC 9112, section 9.6), without waiting as gunicorn would."""
        try:
            connection.sock.setblocking(False)
            connection.sock.shutdown(SHUT_WR)
        except OSError:
            self._close(connection)
        else:
            self._wait(connection, self._lingering)

    def _wait(self, connection: Connection, stage: Stage) -> None:
        stage.enter(connection)
        if connection.is_polled:
            return
        try:
            self.poller.register(connection.sock, EVENT_READ, partial(self._on_readable, connection))
            connection.is_polled = True
        except OSError:
            self._close(connection)

    def _stop_polling(self, connection: Connection) -> None:
        if connection.is_polled:
            self.poller.unregister(connection.sock)
            connection.is_polled = False

    def _close(self, connection: Connection) -> None:
        self._stop_polling(connection)
        leave_stage(connection)
        self.nr_conns -= 1
        connection.close()
