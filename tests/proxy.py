"""A TCP proxy on loopback that injects network faults.

Threads copy bytes in both directions; only a requested delay depends on time. A cut is a reset, as of a crashed machine.
A connection that has lost bytes never passes any again: :meth:`Proxy.heal` cuts it.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

CHUNK = 65_536
CONNECT_S = 10

When = Literal["before", "after"]

TEXT_FRAME = 0x81
"""First byte of a WebSocket text message in one frame (RFC 6455, 5.2)."""

MASKED = 0x80
SHORT = 126
"""Smaller lengths are in the second byte itself; this value says that the length is in two more bytes."""


@dataclass(eq=False)
class Cut:
    """A cut when ``pattern`` arrives from a client.

    Attributes:
        when: ``before`` cuts without forwarding it; ``after`` forwards it, waits for the server's reply, drops that and
            cuts, so the server has executed the statement.
        times: number of cuts; later patterns pass.
        happened: number of cuts so far.
    """

    pattern: bytes
    when: When
    times: int
    happened: int = 0


@dataclass(eq=False)
class _Pair:
    """A client's connection and its connection to the server."""

    client: socket.socket
    server: socket.socket
    drops_replies: threading.Event = field(default_factory=threading.Event)
    has_lost_bytes: bool = False

    def reset(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                # With a linger of 0 seconds close sends a reset instead of a FIN.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """A proxy to a server, listening on ``port`` of loopback."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._mutex = threading.Lock()
        self._pairs: set[_Pair] = set()
        self._cut: Cut | None = None
        self._accepts = True
        self._drops_replies = False
        self._swallows = False
        self._delay_s = 0.0
        self._frames_to_repeat = 0
        self._passes = threading.Event()
        self._passes.set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def lead_to(self, port: int) -> None:
        """Forward new connections to another local server; open ones are kept."""
        self._target = ("127.0.0.1", port)

    def cut_when(self, pattern: bytes, when: When, times: int = 1) -> Cut:
        """Cut a client's connection when the pattern arrives; replaces an earlier pattern."""
        cut = Cut(pattern, when, times)
        with self._mutex:
            self._cut = cut
        return cut

    def cut_all(self) -> int:
        """Cut all connections; return their number."""
        with self._mutex:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.reset()
        return len(pairs)

    def drop_replies(self) -> None:
        """Drop the server's bytes from now on; the clients wait."""
        with self._mutex:
            self._drops_replies = True

    def stop_accepting(self) -> None:
        """Cut each new connection immediately."""
        with self._mutex:
            self._accepts = False

    def swallow(self) -> None:
        """Drop bytes in both directions silently from now on: a black hole."""
        with self._mutex:
            self._swallows = True

    def hold(self) -> None:
        """Hold all bytes until :meth:`heal` forwards them: an outage that TCP survives."""
        self._passes.clear()

    def delay(self, delay_s: float) -> None:
        """Delay all data in both directions from now on."""
        with self._mutex:
            self._delay_s = delay_s

    def repeat_frames(self, count: int) -> None:
        """Forward each of the next WebSocket messages of clients twice."""
        with self._mutex:
            self._frames_to_repeat = count

    def heal(self) -> None:
        """End all faults; connections that have lost bytes are cut."""
        with self._mutex:
            self._accepts, self._drops_replies, self._swallows, self._cut = True, False, False, None
            self._delay_s, self._frames_to_repeat = 0.0, 0
            lossy = {pair for pair in self._pairs if pair.has_lost_bytes}
            self._pairs -= lossy
        self._passes.set()
        for pair in lossy:
            pair.reset()

    def close(self) -> None:
        """Cut all connections and end the threads."""
        self.stop_accepting()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._passes.set()
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
            accepts = self._accepts  # again: a cut during the connect has not seen this pair
            if accepts:
                self._pairs.add(pair)
                self._threads = [thread for thread in self._threads if thread.is_alive()] + both
        if not accepts:
            pair.reset()
            return
        for thread in both:
            thread.start()

    def _requests(self, pair: _Pair) -> None:
        for data in _chunks(pair.client):
            if self._is_lost(pair):
                continue
            match self._due(data):
                case "before":
                    break
                case "after":
                    pair.drops_replies.set()
                case None:
                    pass
            try:
                pair.server.sendall(self._perhaps_twice(data))
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
            if self._is_lost(pair, is_reply=True):
                continue
            try:
                pair.client.sendall(data)
            except OSError:
                break
        self._forget(pair)

    def _is_lost(self, pair: _Pair, *, is_reply: bool = False) -> bool:
        """Return whether the data is lost; delayed and held data waits here."""
        self._passes.wait()
        with self._mutex:
            delay_s = self._delay_s
            if self._swallows or (is_reply and self._drops_replies):
                pair.has_lost_bytes = True
        if delay_s > 0:
            time.sleep(delay_s)
        return pair.has_lost_bytes

    def _perhaps_twice(self, data: bytes) -> bytes:
        """Return the data, doubled if it is a message to be repeated."""
        with self._mutex:
            if self._frames_to_repeat == 0 or not _is_a_text_message(data):
                return data
            self._frames_to_repeat -= 1
        return data + data

    def _due(self, data: bytes) -> When | None:
        """Return whether to cut because of these bytes; a statement is short and arrives in one piece."""
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
    """Yield received data until the connection ends in any way."""
    while True:
        try:
            data = end.recv(CHUNK)
        except OSError:
            return
        if not data:
            return
        yield data


def _is_a_text_message(data: bytes) -> bool:
    """Return whether the data is exactly one masked text frame, as clients send them."""
    if len(data) < 2 or data[0] != TEXT_FRAME or not data[1] & MASKED:
        return False
    length = data[1] & ~MASKED
    if length < SHORT:
        return len(data) == 6 + length
    return length == SHORT and len(data) == 8 + int.from_bytes(data[2:4])
