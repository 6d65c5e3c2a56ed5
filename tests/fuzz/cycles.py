"""Connections that begin and end in every way, many times; and what the server still holds afterwards."""

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

AT_A_TIME = 8
PARTICIPANTS = 40
"""Few, so that what the server may rightly keep of each session does not grow with the cycles."""

AT_ONCE = 48
"""More connections than AT_A_TIME at once, to begin with: gunicorn keeps the threads that it ever needed."""

LISTENING = 1
"""Sockets of a worker on SQLite that serves nobody."""

GROWTH_BYTES = 8 * 1024 * 1024
"""What memory may grow from the 1,000th cycle on; docs/reliability/websocket.md shows what was measured."""


def graceful(peer: RawPeer, _random: Random) -> None:
    peer.read()
    peer.send(close_frame(1000))
    peer.rest()


def unread(peer: RawPeer, _random: Random) -> None:
    """Close without having read the state."""
    peer.send(close_frame(1001))


def reset(peer: RawPeer, _random: Random) -> None:
    peer.read()
    peer.vanish()


def reset_at_once(peer: RawPeer, _random: Random) -> None:
    peer.vanish()


def half_frame(peer: RawPeer, random: Random) -> None:
    peer.read()
    whole = frame(TEXT, b'{"type":"draft","step":"Q1","value":1}')
    peer.send(whole[: random.randrange(len(whole))])
    peer.vanish()


def breach(peer: RawPeer, _random: Random) -> None:
    peer.read()
    peer.send(b"\xff\xff\xff\xff")
    peer.rest()


def end_of_stream(peer: RawPeer, _random: Random) -> None:
    """End the stream without a close frame."""
    peer.socket.shutdown(socket.SHUT_WR)
    peer.rest()


ENDS: tuple[Callable[[RawPeer, Random], None], ...] = (
    graceful, unread, reset, reset_at_once, half_frame, breach, end_of_stream,
)  # fmt: skip


def path(number: int) -> str:
    return f"/ws/survey/cycle-{number % PARTICIPANTS}?survey=phq9"


def cycle(server: Server, number: int) -> None:
    """Connect and end, in a way that the number decides."""
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
    """Do this many cycles, several at a time."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for _ in pool.map(lambda number: cycle(server, number), range(first, first + count)):
            pass


def fill(server: Server) -> None:
    """Have many connections at once, so that the server has all the threads that it will keep."""
    with contextlib.ExitStack() as still_open:
        for number in range(AT_ONCE):
            still_open.enter_context(RawPeer(server.ws_url + path(number))).read()


def settled(server: Server, before: proc.Usage | None = None) -> proc.Usage:
    """Return what the server's worker holds when all connections have ended.

    Raises:
        AssertionError: connections stayed, or threads or descriptors that were not there before.
    """
    worker = worker_of(server)

    def is_still() -> bool:
        now = proc.usage(worker)
        return now.sockets <= LISTENING and (before is None or _holds_no_more(now, before))

    wait_for(is_still, lambda: f"before: {before}; now: {proc.usage(worker)}")
    return proc.usage(worker)


def _holds_no_more(now: proc.Usage, before: proc.Usage) -> bool:
    return now.threads <= before.threads and now.descriptors <= before.descriptors


def worker_of(server: Server) -> int:
    assert server.process is not None
    return proc.only_child(server.process.pid)
