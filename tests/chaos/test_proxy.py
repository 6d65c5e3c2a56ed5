"""The faults of the proxy, verified on plain sockets."""

import contextlib
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
    """A proxy and the listening socket behind it."""

    proxy: Proxy
    listener: socket.socket

    def connect(self) -> tuple[socket.socket, socket.socket]:
        client = socket.create_connection(("127.0.0.1", self.proxy.port), TIMEOUT_S)
        server, _ = self.listener.accept()
        server.settimeout(TIMEOUT_S)
        return client, server


@pytest.fixture
def line() -> Iterator[Line]:
    """Yield a proxy to a listening socket."""
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


def test_cut_during_a_connect_includes_the_new_connection(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would survive the outage that the cut begins."""
    connect = socket.create_connection

    def cut_meanwhile(address: tuple[str, int], timeout_s: float) -> socket.socket:
        server = connect(address, timeout_s)
        line.proxy.stop_accepting()
        line.proxy.cut_all()
        return server

    monkeypatch.setattr(socket, "create_connection", cut_meanwhile)
    with (
        contextlib.suppress(ConnectionError),  # the cut may come before the client's connect returns
        connect(("127.0.0.1", line.proxy.port), TIMEOUT_S) as client,
    ):
        assert is_cut(client)


def test_connection_with_swallowed_bytes_is_cut_when_the_proxy_is_healed(line: Line) -> None:
    """A connection never continues after a gap in its bytes."""
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
    new_client, new_server = line.connect()
    new_client.sendall(b"after")
    assert received(new_server, 5) == b"after"
    for end in (client, server, new_client, new_server):
        end.close()


def test_held_bytes_arrive_in_order_when_the_proxy_is_healed(line: Line) -> None:
    """As with TCP after an outage, bytes are late and complete."""
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


def test_only_the_requested_number_of_whole_frames_is_repeated(line: Line) -> None:
    """Bytes other than a whole frame pass once."""
    client, server = line.connect()
    line.proxy.repeat_frames(1)
    for data, expected in ((b"GET / ", b"GET / "), (FRAME, FRAME * 2), (FRAME, FRAME)):
        client.sendall(data)
        assert received(server, len(expected)) == expected
    client.sendall(b"end")
    assert received(server, 3) == b"end"
    client.close()
    server.close()
