"""The layer under the WebSocket, spoken to in raw frames: RFC 6455, and the faults of the libraries, under the real gunicorn."""

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from simple_websocket import ConnectionClosed
from websockets.sync.client import connect
from wsproto.events import CloseConnection

from app.web.ws import server
from tests.conformance import raw
from tests.conformance.echo import MAX_MESSAGE_BYTES, pattern, verse
from tests.conformance.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, RawPeer, close_frame, frame
from tests.conformance.server import EchoServer, serving
from tests.waiting import wait_for

LINGER_FOR_EVER = """
import gunicorn.util
from functools import partial
gunicorn.util.close_graceful = partial(gunicorn.util.close_graceful, timeout=3600)
"""
"""gunicorn's loop waits 2 s for a peer that does not end; so long that no answer comes after it."""

HELLO = "hällo 😀".encode()


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoServer]:
    """The echo under gunicorn's threads, for the tests that leave it as it was."""
    with serving(tmp_path_factory.mktemp("echo")) as running:
        yield running
        assert "Traceback" not in running.log


@pytest.fixture(scope="module", params=["gthread", "gevent"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoServer]:
    """The echo under each of gunicorn's workers."""
    with serving(tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running
        assert "Traceback" not in running.log


def said(echo: EchoServer, *parts: bytes) -> list[Frame]:
    """Send bytes; return all that the echo says until it ends the connection."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(*parts)
        return peer.read_all()


def codes(frames: list[Frame]) -> list[int | None]:
    return [one.code for one in frames if one.opcode == CLOSE]


# ------------------------------------------------------------------------------------------ frames


def test_fragments_with_a_ping_in_between_are_one_message_and_the_ping_is_answered_first(echo: EchoServer) -> None:
    """RFC 6455, 5.4: control frames may stand between fragments, and don't wait for the message's end."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(frame(TEXT, HELLO[:2], fin=False), frame(PING, b"between"))
        assert peer.read() == Frame(PONG, b"between")
        peer.send(frame(CONTINUATION, b"", fin=False), frame(CONTINUATION, HELLO[2:9], fin=False), frame(PONG))
        peer.send(frame(CONTINUATION, HELLO[9:]))
        assert peer.read() == Frame(TEXT, HELLO)


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))], ids=["empty", "one byte", "125 bytes"])
def test_ping_comes_back_with_its_payload(echo: EchoServer, payload: bytes) -> None:
    """RFC 6455, 5.5.3."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(frame(PING, payload))
        assert peer.read() == Frame(PONG, payload)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message_of_each_length_form_comes_back(echo: EchoServer, opcode: int, size: int) -> None:
    """RFC 6455, 5.2: lengths of 7, 16 and 64 bits, at their edges."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(frame(opcode, b"*" * size))
        assert peer.read() == Frame(opcode, b"*" * size)


def test_text_that_arrives_byte_by_byte_comes_back(echo: EchoServer) -> None:
    """However TCP cuts it, within the header, the mask and the letters."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        for byte in frame(TEXT, HELLO) + frame(PING, b"!"):
            peer.send(bytes([byte]))
        assert sorted((peer.read(), peer.read()), key=str) == sorted((Frame(TEXT, HELLO), Frame(PONG, b"!")), key=str)


def test_half_a_frame_then_silence_harms_nobody_and_the_rest_may_come(echo: EchoServer) -> None:
    """Others are served meanwhile; there is no limit of time within a message but the pings."""
    whole = frame(TEXT, HELLO)
    with RawPeer(f"{echo.ws_url}/echo") as silent:
        silent.send(whole[:7])
        with RawPeer(f"{echo.ws_url}/echo") as other:
            other.send(frame(TEXT, b"beside"))
            assert other.read() == Frame(TEXT, b"beside")
        assert echo.is_running()
        silent.send(whole[7:])
        assert silent.read() == Frame(TEXT, HELLO)


BREACHES = {
    "reserved bit 1": frame(TEXT, b"x", reserved=4),
    "reserved bit 2": frame(TEXT, b"x", reserved=2),
    "reserved bit 3 of a ping": frame(PING, b"x", reserved=1),
    "unmasked": frame(TEXT, b"x", masked=False),
    "a ping in fragments": frame(PING, b"x", fin=False),
    "a ping of 126 bytes": frame(PING, b"x" * 126),
    "a close of 1 byte": frame(CLOSE, b"x"),
    "a continuation of nothing": frame(CONTINUATION, b"x"),
    "a message within a message": frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"),
    "a length of 16 bits for 5": b"\x81\xfe\x00\x05",
    "a length of 64 bits for 5": b"\x81\xff" + struct.pack("!Q", 5),
    "a length beyond 63 bits": b"\x81\xff" + b"\xff" * 8,
    **{f"opcode {opcode:#x}": frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
}


@pytest.mark.parametrize("name", BREACHES)
def test_breach_of_the_protocol_is_closed_with_1002(echo: EchoServer, name: str) -> None:
    """RFC 6455, 5.1 to 5.5 and 7.4.1; what follows is not looked at."""
    assert codes(said(echo, BREACHES[name], frame(TEXT, b"after"))) == [1002]


BAD_TEXTS = {
    "in one frame": frame(TEXT, b"\xce\xba\xff"),
    "in the second fragment": frame(TEXT, b"fine", fin=False) + frame(CONTINUATION, b"\xff", fin=False),
    "a letter that is cut at the end": frame(TEXT, HELLO[:2]),
    "a letter that is cut at a message's last fragment": frame(TEXT, b"x", fin=False)
    + frame(CONTINUATION, b"\xf0\x9f"),
    "a surrogate": frame(TEXT, b"\xed\xa0\x80"),
    "in a reason to close": close_frame(1000, b"\xff"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_text_that_is_not_utf_8_is_closed_with_1007(echo: EchoServer, name: str) -> None:
    """RFC 6455, 8.1; as soon as it is seen, before the message ends."""
    assert codes(said(echo, BAD_TEXTS[name])) == [1007]


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_close_with_a_code_that_none_may_send_is_closed_with_1002(echo: EchoServer, code: int) -> None:
    """RFC 6455, 7.4.1 and 7.4.2."""
    assert codes(said(echo, close_frame(code))) == [1002]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1013, 3000, 3999, 4000, 4999])
def test_close_is_answered_with_its_code(echo: EchoServer, code: int) -> None:
    """RFC 6455, 5.5.1; what follows a close is not looked at."""
    assert codes(said(echo, close_frame(code, b"why"), frame(TEXT, b"after"))) == [code]


def test_close_without_a_code_is_answered_without_one(echo: EchoServer) -> None:
    """RFC 6455, 7.1.5: 1005 is never sent."""
    assert said(echo, frame(CLOSE)) == [Frame(CLOSE, b"")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "keep-alive"},
        {"Connection": ""},
        {"Sec_WebSocket_Key": ""},
        {"Sec_WebSocket_Version": "8"},
        {"Host": "a" * 64 + ".example"},
        {"Host": "b\xfccher"},
    ],
    ids=str,
)
def test_handshake_that_is_none_is_a_fault_of_the_client(echo: EchoServer, headers: dict[str, str]) -> None:
    """RFC 6455, 4.2.1: 400, not 500; nothing is accepted."""
    with RawPeer(f"{echo.ws_url}/echo", **headers) as peer:
        assert peer.status == 400


@pytest.mark.parametrize(
    "message",
    [frame(BINARY, bytes(16 * MAX_MESSAGE_BYTES)), frame(TEXT, "😀".encode() * (MAX_MESSAGE_BYTES // 3))],
    ids=["bytes", "text that is too big in bytes, not in letters"],
)
def test_message_too_big_is_told_so_when_it_has_been_sent(echo: EchoServer, message: bytes) -> None:
    """The close frame arrives: no reset over unread bytes overtakes it, or a client would send it for ever."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(message)
        assert codes(peer.read_all()) == [1009]


# ------------------------------------------------------------------------- faults of the libraries


def test_clients_that_ignore_our_close_do_not_freeze_rest(tmp_path: Path) -> None:
    """REST answers before any of them has gone, though gunicorn would wait for them for an hour."""
    with serving(tmp_path, config=LINGER_FOR_EVER) as echo, contextlib.ExitStack() as still_open:
        peers = [still_open.enter_context(RawPeer(f"{echo.ws_url}/close/4404")) for _ in range(10)]
        for peer in peers:
            assert codes(peer.read_all()) == [4404]
        for _ in range(len(peers)):
            assert echo.is_running()


@pytest.mark.parametrize("size_bytes", [4_000_000, 20_000_000], ids=["4 MB", "20 MB"])
def test_large_message_is_sent_whole(either: EchoServer, size_bytes: int) -> None:
    """A short write is not taken for a whole one, and the next message follows in its place."""
    with connect(f"{either.ws_url}/send/{size_bytes}", max_size=None, max_queue=1) as ws:
        assert ws.recv(timeout=60) == pattern(size_bytes)
        ws.send("next")
        assert ws.recv(timeout=60) == "next"


def test_six_threads_that_send_at_once_send_whole_messages(either: EchoServer) -> None:
    """To a client that offers compression too; each thread's in its order, texts and bytes."""
    threads, messages = 6, 300
    heard: dict[int, list[str]] = {one: [] for one in range(threads)}
    with connect(f"{either.ws_url}/chorus/{threads}/{messages}", compression="deflate") as ws:
        assert ws.response is not None
        assert "Sec-WebSocket-Extensions" not in ws.response.headers
        for _ in range(threads * messages):
            words = ws.recv(timeout=60)
            text = words if isinstance(words, str) else words.decode()
            heard[int(text.split(":")[0])].append(text)
        ws.send("thanks")
    assert heard == {one: [verse(one, number) for number in range(messages)] for one in range(threads)}


def test_text_and_bytes_keep_their_kind_when_six_threads_send(either: EchoServer) -> None:
    """Frames are encoded one at a time too, so none becomes the continuation of another's."""
    with RawPeer(f"{either.ws_url}/chorus/6/300") as peer:
        heard = [peer.read() or Frame(CLOSE, b"") for _ in range(6 * 300)]
        peer.send(frame(TEXT, b"thanks"))
        assert codes(peer.read_all()) == [1000]
    assert Counter((one.opcode, one.fin) for one in heard) == {(TEXT, True): 900, (BINARY, True): 900}


FLOODS = {
    "empty messages": frame(TEXT),
    "small messages": frame(TEXT, b"x" * 100),
    "large texts": frame(TEXT, ("😀" * 16_000).encode()),
    "large bytes": frame(BINARY, bytes(1_000_000)),
}
FLOOD_BYTES = 200_000_000
GROWTH_BYTES = 48 * 1024 * 1024
"""What waits (4 MiB), the message being put together, and what the allocator keeps; a fifth of the flood."""


@pytest.mark.parametrize("name", FLOODS)
def test_flood_that_nobody_reads_is_cut_with_1013_and_memory_stays_bounded(tmp_path: Path, name: str) -> None:
    """The handler reads nothing meanwhile, and others are served."""
    with serving(tmp_path) as echo, RawPeer(f"{echo.ws_url}/deaf") as peer:
        before = echo.usage().peak_bytes
        sender = threading.Thread(target=send_until_refused, args=(peer, FLOODS[name] * 100))
        sender.start()
        assert codes([peer.read() or Frame(CLOSE, b"")]) == [1013]
        assert echo.is_running()
        with contextlib.suppress(OSError):  # gone already
            peer.socket.shutdown(socket.SHUT_RDWR)
        sender.join(raw.TIMEOUT_S)
        assert not sender.is_alive()
        assert echo.usage().peak_bytes - before < GROWTH_BYTES


@pytest.mark.parametrize(
    "flood",
    [frame(CONTINUATION, fin=False), frame(PING, b"x" * 125), frame(PONG, b"x" * 125)],
    ids=["empty fragments", "pings", "pongs"],
)
def test_flood_that_is_no_message_takes_no_memory(tmp_path: Path, flood: bytes) -> None:
    """A message that never ends, and control frames, whose answers nobody reads."""
    with serving(tmp_path) as echo, RawPeer(f"{echo.ws_url}/deaf") as peer:
        peer.send(frame(TEXT, b"x", fin=False))
        before = echo.usage().peak_bytes
        peer.socket.settimeout(1)  # pings whose answers are not read stop being read
        with contextlib.suppress(OSError):
            for _ in range(200):
                peer.send(flood * 1000)
        assert echo.is_running()
        assert echo.usage().peak_bytes - before < GROWTH_BYTES


def test_exactly_as_many_messages_wait_as_are_allowed(tmp_path: Path) -> None:
    """The bound holds from the first frame on: it is set before anything is read."""
    with serving(tmp_path) as echo, RawPeer(f"{echo.ws_url}/deaf") as peer:
        peer.send(*[frame(TEXT, b"x")] * server.BUFFERED_MESSAGES, frame(PING, b"all there"))
        assert peer.read() == Frame(PONG, b"all there")
        peer.send(frame(TEXT, b"one too many"))
        assert codes(peer.read_all()) == [1013]


def test_messages_that_come_after_our_close_do_not_open_it_again(echo: EchoServer) -> None:
    """simple-websocket takes what arrives for a sign of an open connection."""
    with RawPeer(f"{echo.ws_url}/close/4000") as peer:
        first = peer.read()  # before it, a ping would get its pong
        assert first is not None
        assert first.opcode == CLOSE
        peer.send(frame(TEXT, b"late"), frame(PING, b"late"))
        assert peer.read_all() == []


class SlowToHear(server.Server):
    """Has read the peer's close, and does not know it yet."""

    reading = threading.Event()
    go_on = threading.Event()

    def _end(self, event: CloseConnection) -> None:
        self.reading.set()
        self.go_on.wait()
        super()._end(event)


def test_message_sent_while_the_close_is_being_read_finds_the_connection_closed() -> None:
    """Not a fault: the fuzzer saw wsproto refuse it before the reading thread had told."""
    ours, theirs = socket.socketpair()
    headers = raw.handshake("/").decode().splitlines()[1:-1]
    given = dict(line.split(": ", 1) for line in headers)
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in given.items()}
    with ours, theirs:
        ws = SlowToHear({**environ, "werkzeug.socket": server.LockedSocket(ours)})
        theirs.sendall(close_frame(1000))
        assert SlowToHear.reading.wait(raw.TIMEOUT_S)
        with pytest.raises(ConnectionClosed):
            ws.send("too late")
        SlowToHear.go_on.set()
        server.shutdown(ws)
        assert not ws.thread.is_alive()


def test_peer_that_vanishes_leaves_nothing_behind(tmp_path: Path) -> None:
    """Threads and descriptors are as they were, after ends of each kind."""
    with serving(tmp_path) as echo:
        with RawPeer(f"{echo.ws_url}/echo") as peer:
            peer.send(close_frame(1000))
            peer.read_all()
        assert echo.is_running()
        wait_for(lambda: echo.readers() == 0, "the first connection stayed")
        descriptors = echo.usage().descriptors
        for end in (b"", frame(TEXT, HELLO)[:5], close_frame(1000), BREACHES["unmasked"]):
            peer = RawPeer(f"{echo.ws_url}/echo")
            peer.send(end)
            peer.reset()
        wait_for(lambda: echo.readers() == 0, "a connection stayed")
        wait_for(lambda: echo.usage().descriptors <= descriptors, "a descriptor stayed")


def send_until_refused(peer: RawPeer, data: bytes) -> None:
    with contextlib.suppress(OSError):
        for _ in range(max(1, FLOOD_BYTES // len(data))):
            peer.send(data)
