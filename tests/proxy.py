"""A TCP proxy of the tests' own on loopback: it cuts connections and drops replies where a test wants it.

Threads copy bytes both ways; nothing is decided by time. A cut is a reset, as of a machine that is gone.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

CHUNK = 65_536
CONNECT_S = 10

When = Literal["before", "after"]


@dataclass(eq=False)
class Cut:
    """What the proxy does when ``pattern`` passes from a client.

    Attributes:
        when: ``before`` cuts without passing it on; ``after`` passes it on, waits for the server's reply,
            drops that and cuts: so the server has done what was asked.
        times: how often, then it passes.
        happened: how often it did.
    """

    pattern: bytes
    when: When
    times: int
    happened: int = 0


@dataclass(eq=False)
class _Pair:
    """A client's connection and the server's."""

    client: socket.socket
    server: socket.socket
    drops_replies: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                # No FIN, no last words: with a linger of 0 seconds close sends a reset.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """A proxy to a server; ``port`` of loopback is its own."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._mutex = threading.Lock()
        self._pairs: set[_Pair] = set()
        self._cut: Cut | None = None
        self._accepts = True
        self._drops_replies = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut_when(self, pattern: bytes, when: When, times: int = 1) -> Cut:
        """Cut a client's connection when the pattern passes; replaces what was asked for before."""
        cut = Cut(pattern, when, times)
        with self._mutex:
            self._cut = cut
        return cut

    def cut_all(self) -> int:
        """Cut every connection now; return how many."""
        with self._mutex:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.reset()
        return len(pairs)

    def drop_replies(self) -> None:
        """From now on the server's bytes don't reach the clients, who wait."""
        with self._mutex:
            self._drops_replies = True

    def stop_accepting(self) -> None:
        """Cut each new connection at once."""
        with self._mutex:
            self._accepts = False

    def heal(self) -> None:
        """Pass everything again, on new connections."""
        with self._mutex:
            self._accepts, self._drops_replies, self._cut = True, False, None

    def close(self) -> None:
        """Cut everything and end the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        for thread in self._threads:
            thread.join(CONNECT_S)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._mutex:
                accepts = self._accepts
            if accepts:
                self._connect(client)
            else:
                client.close()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, CONNECT_S)
        except OSError:  # the server is down
            client.close()
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(client, server)
        both = [threading.Thread(target=work, args=(pair,), daemon=True) for work in (self._requests, self._replies)]
        with self._mutex:
            self._pairs.add(pair)
            self._threads += both
        for thread in both:
            thread.start()

    def _requests(self, pair: _Pair) -> None:
        for data in _chunks(pair.client):
            match self._due(data):
                case "before":
                    break
                case "after":
                    pair.drops_replies.set()
            try:
                pair.server.sendall(data)
            except OSError:
                break
        else:
            if pair.drops_replies.is_set():
                return  # the other thread cuts when the server has replied
        self._forget(pair)

    def _replies(self, pair: _Pair) -> None:
        for data in _chunks(pair.server):
            if pair.drops_replies.is_set():
                break
            with self._mutex:
                drops = self._drops_replies
            if drops:
                continue
            try:
                pair.client.sendall(data)
            except OSError:
                break
        self._forget(pair)

    def _due(self, data: bytes) -> When | None:
        """Return what to do with these bytes; a statement's text is short and comes in one piece."""
        with self._mutex:
            cut = self._cut
            if cut is None or cut.pattern not in data or cut.happened == cut.times:
                return None
            cut.happened += 1
            return cut.when

    def _forget(self, pair: _Pair) -> None:
        with self._mutex:
            self._pairs.discard(pair)
        pair.reset()


def _chunks(end: socket.socket) -> Iterator[bytes]:
    """Yield what arrives until the connection ends, however it ends."""
    while True:
        try:
            data = end.recv(CHUNK)
        except OSError:
            return
        if not data:
            return
        yield data
