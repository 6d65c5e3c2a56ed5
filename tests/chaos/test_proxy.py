"""The proxy's faults, on plain sockets: what it does to the bytes is what a run believes that it does."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.proxy import Proxy

TIMEOUT_S = 10
FRAME = b"\x81\x83abcd123"
"""A masked text frame of three bytes."""


@dataclass
class Line:
    """A client's end and a server's, and the proxy between them."""

    proxy: Proxy
    listener: socket.socket

    def connect(self) -> tuple[socket.socket, socket.socket]:
        client = socket.create_connection(("127.0.0.1", self.proxy.port), TIMEOUT_S)
        server, _ = self.listener.accept()
        server.settimeout(TIMEOUT_S)
        return client, server


@pytest.fixture
def line() -> Iterator[Line]:
    """A proxy to a server of the test's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        proxy = Proxy("127.0.0.1", listener.getsockname()[1])
        yield Line(proxy, listener)
        proxy.close()


def received(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := end.recv(size - len(data))):
        data += piece
    return data


def is_cut(end: socket.socket) -> bool:
    try:
        return end.recv(1) == b""
    except ConnectionError:
        return True


def test_swallowed_bytes_never_arrive_and_their_connection_is_cut_when_the_hole_is_healed(line: Line) -> None:
    """A connection with a hole in its bytes would be worse than none."""
    client, server = line.connect()
    client.sendall(b"before")
    assert received(server, 6) == b"before"
    line.proxy.swallow()
    client.sendall(b"lost")
    server.settimeout(0.2)
    with pytest.raises(TimeoutError):
        server.recv(1)
    server.settimeout(TIMEOUT_S)
    line.proxy.heal()
    assert is_cut(server)
    assert is_cut(client)
    again, beyond = line.connect()
    again.sendall(b"after")
    assert received(beyond, 5) == b"after"
    for end in (client, server, again, beyond):
        end.close()


def test_bytes_that_are_held_back_arrive_in_order_when_the_proxy_is_healed(line: Line) -> None:
    """As TCP delivers after an outage: late, and whole."""
    client, server = line.connect()
    line.proxy.hold()
    client.sendall(b"one ")
    server.settimeout(0.2)
    with pytest.raises(TimeoutError):
        server.recv(1)
    server.settimeout(TIMEOUT_S)
    client.sendall(b"two")
    line.proxy.heal()
    assert received(server, 7) == b"one two"
    client.close()
    server.close()


def test_frames_are_doubled_as_a_whole_and_only_as_many_as_asked_for(line: Line) -> None:
    """Half a frame, or what is no frame, passes once."""
    client, server = line.connect()
    line.proxy.repeat_frames(1)
    for data, expected in ((b"GET / ", b"GET / "), (FRAME, FRAME * 2), (FRAME, FRAME)):
        client.sendall(data)
        assert received(server, len(expected)) == expected
    client.sendall(b"end")
    assert received(server, 3) == b"end"
    client.close()
    server.close()
