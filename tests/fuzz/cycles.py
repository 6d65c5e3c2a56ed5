"""Opens and closes connections in every way, many times, and checks that the server releases their resources."""

import contextlib
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.conformance import proc
from tests.conformance.raw import TEXT, RawPeer, close_frame, frame
from tests.conftest import Server
from tests.fuzz.streams import half_handshake
from tests.waiting import wait_for

CONCURRENCY = 8
PARTICIPANTS = 40
"""Few, so that the server's caches of sessions do not grow with the cycles."""

OPEN_AT_START = 48

POOLED_THREADS = 16
"""A pool starts a thread when more calls are under way than ever before; a leak is one a connection."""
"""More connections than CONCURRENCY, opened first: gunicorn never ends a thread that it started."""

LISTENING = 1
"""Sockets of an idle worker on SQLite."""

GROWTH_BYTES = 8 * 1024 * 1024
"""Allowed growth of memory after the first 1,000 cycles; measurements are in docs/reliability/websocket.md."""


def graceful(peer: RawPeer, _random: Random) -> None:
    peer.read()
    peer.send(close_frame(1000))
    peer.read_all()


def unread(peer: RawPeer, _random: Random) -> None:
    """Close without reading the state."""
    peer.send(close_frame(1001))


def reset(peer: RawPeer, _random: Random) -> None:
    peer.read()
    peer.reset()


def reset_at_once(peer: RawPeer, _random: Random) -> None:
    peer.reset()


def half_frame(peer: RawPeer, random: Random) -> None:
    peer.read()
    whole = frame(TEXT, b'{"type":"draft","step":"Q1","value":1}')
    peer.send(whole[: random.randrange(len(whole))])
    peer.reset()


def breach(peer: RawPeer, _random: Random) -> None:
    peer.read()
    peer.send(b"\xff\xff\xff\xff")
    peer.read_all()


def end_of_stream(peer: RawPeer, _random: Random) -> None:
    """End the stream without a close frame."""
    peer.socket.shutdown(socket.SHUT_WR)
    peer.read_all()


ENDS: tuple[Callable[[RawPeer, Random], None], ...] = (
    graceful, unread, reset, reset_at_once, half_frame, breach, end_of_stream,
)  # fmt: skip


def path(number: int) -> str:
    return f"/ws/survey/cycle-{number % PARTICIPANTS}?survey=phq9"


def cycle(server: Server, number: int) -> None:
    """Open and close a connection, in a way that depends on the number."""
    random = Random(number)
    if random.randrange(8) == 0:
        with socket.create_connection(("127.0.0.1", server.port), 20) as half:
            half.sendall(half_handshake(random, path(number)))
            if random.random() < 0.5:
                half.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return
    with RawPeer(server.ws_url + path(number)) as peer, contextlib.suppress(ConnectionError):
        assert peer.status == 101, peer.head
        random.choice(ENDS)(peer, random)


def run(server: Server, first: int, count: int) -> None:
    """Run this many cycles, several concurrently."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        for _ in pool.map(lambda number: cycle(server, number), range(first, first + count)):
            pass


def fill(server: Server) -> None:
    """Open many connections, so that the server starts most threads that it will keep."""
    with contextlib.ExitStack() as still_open, ThreadPoolExecutor(OPEN_AT_START) as pool:
        for peer in pool.map(lambda number: RawPeer(server.ws_url + path(number)), range(OPEN_AT_START)):
            still_open.enter_context(peer).read()


def settled_usage(server: Server, before: proc.Usage | None = None) -> proc.Usage:
    """Return the usage of the server's worker once all connections have ended.

    Raises:
        AssertionError: connections remain, or there are more threads or descriptors than before.
    """
    worker = worker_pid(server)

    def is_settled() -> bool:
        now = proc.usage(worker)
        return now.sockets <= LISTENING and (before is None or _has_no_leak(now, before))

    wait_for(is_settled, lambda: f"before: {before}; now: {proc.usage(worker)}")
    return proc.usage(worker)


def _has_no_leak(now: proc.Usage, before: proc.Usage) -> bool:
    return now.threads <= before.threads + POOLED_THREADS and now.descriptors <= before.descriptors


def worker_pid(server: Server) -> int:
    assert server.process is not None
    return proc.only_child(server.process.pid)
