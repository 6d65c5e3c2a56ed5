"""One thread for all sockets: deadlines of clients that are too slow, and errors that end one socket only."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.web.ws import websocket
from app.web.ws.frames import Message
from app.web.ws.loop import SocketLoop
from app.web.ws.websocket import WebSocket
from tests.conformance import raw
from tests.conformance.raw import PING, PONG, TEXT, Frame, RawPeer, frame
from tests.conformance.server import THREADS, serving
from tests.waiting import START_S, wait_for

SOCKETS = 200


class Recorder:
    """Keeps what happens on a socket; fails on the message "fail"."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.frames = 0
        self.has_ended = threading.Event()

    def on_frame(self, _is_message: bool) -> bool:
        self.frames += 1
        return True

    def on_limit(self) -> None:
        """There is none."""

    def on_message(self, message: Message) -> None:
        if message == "fail":
            raise ValueError(message)
        self.messages.append(message)

    def on_tick(self, now: float, *, is_stopping: bool) -> None:
        """Nothing is due."""

    def on_end(self) -> None:
        self.has_ended.set()


class Peer:
    """A client, with the server's side of its socket."""

    def __init__(self, loop: SocketLoop, ping_interval_s: float) -> None:
        server_end, self.socket = socket.socketpair()
        self.socket.settimeout(START_S)
        fields = dict(line.split(": ", 1) for line in raw.handshake("/").decode().splitlines()[1:-1])
        environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in fields.items()}
        self.ws = WebSocket(
            {**environ, "PATH_INFO": "/", "gunicorn.socket": server_end},
            loop=loop,
            ping_interval=ping_interval_s,
            max_message_size=100_000,
        )
        self.recorder = Recorder()
        loop.call(self.ws.serve, self.recorder)
        assert b" 101 " in self.socket.recv(1000)

    def read(self) -> Frame:
        head = self._read(2)
        size = head[1] if head[1] < 126 else struct.unpack("!H", self._read(2))[0]
        return Frame(head[0] & 0xF, self._read(size))

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, "the connection ended"
            data += part
        return data


@pytest.fixture(scope="module")
def loop() -> SocketLoop:
    return SocketLoop()


@pytest.fixture
def connect(loop: SocketLoop) -> Iterator[Callable[..., Peer]]:
    """A function that returns a connected client."""
    with ExitStack() as stack:

        def make(ping_interval_s: float = 60.0) -> Peer:
            peer = Peer(loop, ping_interval_s)
            stack.callback(peer.socket.close)
            return peer

        yield make


def test_client_that_reads_nothing_is_dropped(
    loop: SocketLoop, connect: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After SEND_TIMEOUT_S; until then, nothing more is read from it."""
    monkeypatch.setattr(websocket, "SEND_TIMEOUT_S", 1.0)
    peer = connect()
    loop.call(peer.ws.send, "x" * 1_000_000)
    sent = threading.Event()
    loop.call(sent.set)
    assert sent.wait(START_S)
    peer.socket.sendall(frame(TEXT, b"too early"))
    assert peer.recorder.has_ended.wait(START_S)
    assert peer.recorder.messages == []


def test_client_that_reads_slowly_gets_everything(loop: SocketLoop, connect: Callable[..., Peer]) -> None:
    peer = connect()
    for _ in range(30):
        loop.call(peer.ws.send, "x" * 60_000)
    assert [peer.read() for _ in range(30)] == [Frame(TEXT, b"x" * 60_000)] * 30


def test_client_for_which_too_much_waits_is_dropped(
    loop: SocketLoop, connect: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "UNSENT_BYTES", 1_000_000)
    peer = connect()
    for _ in range(30):
        loop.call(peer.ws.send, "x" * 60_000)
    assert peer.recorder.has_ended.wait(START_S)


@pytest.mark.parametrize(
    "part", [frame(TEXT, b"hello")[:4], frame(TEXT, b"hello", fin=False)], ids=["half a frame", "half a message"]
)
def test_half_a_message_is_closed_with_1008(
    connect: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    """After FRAME_TIMEOUT_S, whatever else arrives meanwhile within the message."""
    monkeypatch.setattr(websocket, "FRAME_TIMEOUT_S", 0.5)
    peer = connect()
    peer.socket.sendall(part)
    assert peer.read().code == 1008


def test_ping_without_an_answer_is_closed_with_1008(connect: Callable[..., Peer]) -> None:
    peer = connect(ping_interval_s=1)  # within which the pong must arrive
    assert peer.read() == Frame(PING, b"")
    peer.socket.sendall(frame(PONG))
    assert peer.read() == Frame(PING, b"")
    assert peer.read().code == 1008


def test_error_of_one_socket_ends_it_alone(connect: Callable[..., Peer], caplog: pytest.LogCaptureFixture) -> None:
    broken, other = connect(), connect()
    broken.socket.sendall(frame(TEXT, b"fail"))
    assert broken.recorder.has_ended.wait(START_S)
    other.socket.sendall(frame(TEXT, b"still here"))
    wait_for(lambda: other.recorder.messages == ["still here"], "the other socket is not served")
    assert "unexpected error" in caplog.text


def test_calls_run_in_the_order_in_which_they_were_made(loop: SocketLoop) -> None:
    """Whichever threads made them, each thread's are in its order; an error stops none."""
    ran: list[tuple[int, int]] = []
    done = threading.Event()

    def fail() -> None:
        raise ValueError

    def call_often(thread: int) -> None:
        for number in range(1000):
            loop.call(ran.append, (thread, number))
            loop.call(fail)

    threads = [threading.Thread(target=call_often, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loop.call(done.set)
    assert done.wait(START_S)
    for thread in range(4):
        assert [number for other, number in ran if other == thread] == list(range(1000))


def test_loop_opens_nothing_before_its_first_call() -> None:
    """A server may fork after it has made the application."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    loops = [SocketLoop() for _ in range(10)]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert len(loops) == 10


def test_socket_takes_one_descriptor_and_no_thread(tmp_path: Path) -> None:
    with serving(tmp_path) as echo, ExitStack() as stack:
        first = stack.enter_context(RawPeer(f"{echo.ws_url}/echo"))
        before = echo.usage()
        peers = [stack.enter_context(RawPeer(f"{echo.ws_url}/echo")) for _ in range(SOCKETS)]
        for peer in [first, *peers]:
            peer.send(frame(TEXT, b"x"))
            assert peer.read() == Frame(TEXT, b"x")
        wait_for(lambda: echo.opened() == SOCKETS + 1, "not all sockets are open")
        wait_for(lambda: echo.usage().descriptors <= before.descriptors + SOCKETS + 5, "descriptors")
        assert echo.usage().threads <= THREADS + 10
