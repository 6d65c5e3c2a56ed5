"""Connections whose requests are read without waiting, and the stages in which they wait."""

import time
from collections import OrderedDict
from contextlib import suppress
from socket import MSG_PEEK, SHUT_RD
from typing import Any

from gunicorn import http
from gunicorn.workers.gthread import TConn

from ..request_origin import network_of
from .arrival import Arrival

_READ_BYTES = 2**16


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection with what has arrived of its next request. The methods do not block."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - gunicorn's
        super().__init__(*arguments)
        self.network = network_of(self.client[0] if isinstance(self.client, tuple) else "")
        self.parser = http.get_parser(self.cfg, self.sock, self.client)
        self.initialized = self.data_ready = True  # gunicorn's thread neither waits nor looks for HTTP/2
        self.arrival = Arrival()
        self.is_ended = False  # the client sends no more
        self.stage: Stage | None = None  # also None in a thread, or kept alive for the next request
        self.is_polled = False  # the worker's loop is notified when the socket is readable

    def receive(self) -> None:
        """Take what has arrived of this request, but not a WebSocket's first frame.

        Raises OSError if the connection is broken.
        """
        with suppress(BlockingIOError):
            received = self.sock.recv(_READ_BYTES, MSG_PEEK)
            self.sock.recv(self.arrival.add(received))
            self.is_ended = not received

    def receive_read_ahead(self) -> None:
        """Take what gunicorn's parser has read after the end of a large request."""
        self.sock.setblocking(False)
        received = self.parser.unreader.take_buffered()
        used = self.arrival.add(received)
        self.parser.unreader.unread(received[used:])

    def hand_over(self) -> None:
        self.parser.unreader.unread(bytes(self.arrival.data))
        self.arrival = Arrival()

    def send(self, data: bytes) -> None:
        with suppress(OSError):
            self.sock.send(data)

    def stop_receiving(self) -> None:
        """Let the thread that reads the body find its end."""
        with suppress(OSError):  # taken over, or closed by the client
            self.sock.shutdown(SHUT_RD)

    def discard_input(self) -> bool:
        """Discard what has arrived; return whether the client has closed the connection."""
        try:
            return not self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True


class Stage(OrderedDict[Connection, float]):
    """Connections that wait for the same, the oldest first, with their deadlines."""

    def __init__(self, duration_s: float) -> None:
        super().__init__()
        self.duration_s = duration_s

    def enter(self, connection: Connection) -> None:
        if connection.stage is not self:
            leave_stage(connection)
            connection.stage = self
            self[connection] = time.monotonic() + self.duration_s

    def oldest(self) -> Connection:
        return next(iter(self))

    def is_late(self, now: float) -> bool:
        return bool(self) and self[self.oldest()] <= now

    def cap(self, deadline: float) -> None:
        self.update({connection: min(end, deadline) for connection, end in self.items()})


def leave_stage(connection: Connection) -> None:
    if connection.stage is not None:
        del connection.stage[connection]
    connection.stage = None
