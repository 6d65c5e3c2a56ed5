"""The WebSocket layer under gunicorn, tested with raw frames: RFC 6455, and clients that do not read or close."""

import contextlib
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.conformance.echo import MAX_MESSAGE_BYTES, pattern, verse
from tests.conformance.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, RawPeer, close_frame, frame
from tests.conformance.server import EchoServer, serving
from tests.waiting import wait_for

LONG_LINGER = """
import gunicorn.util
from functools import partial
gunicorn.util.close_graceful = partial(gunicorn.util.close_graceful, timeout=3600)
"""
"""Let gunicorn wait an hour instead of 2 s for a peer that does not end the connection."""

HELLO = "hällo 😀".encode()


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EchoServer]:
    """The echo server on gunicorn's threads, for tests that leave it as it was."""
    with serving(tmp_path_factory.mktemp("echo")) as running:
        yield running
        assert "Traceback" not in running.log


def send_and_read(echo: EchoServer, *parts: bytes) -> list[Frame]:
    """Send bytes; return all frames until the server ends the connection."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(*parts)
        return peer.read_all()


def close_codes(frames: list[Frame]) -> list[int | None]:
    return [frame.code for frame in frames if frame.opcode == CLOSE]


# ------------------------------------------------------------------------------------------ frames


def test_ping_between_fragments_is_answered_first(echo: EchoServer) -> None:
    """RFC 6455, 5.4: the fragments are still one message."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(frame(TEXT, HELLO[:2], fin=False), frame(PING, b"between"))
        assert peer.read() == Frame(PONG, b"between")
        peer.send(frame(CONTINUATION, b"", fin=False), frame(CONTINUATION, HELLO[2:9], fin=False), frame(PONG))
        peer.send(frame(CONTINUATION, HELLO[9:]))
        assert peer.read() == Frame(TEXT, HELLO)


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))], ids=["empty", "one byte", "125 bytes"])
def test_pong_has_the_payload_of_the_ping(echo: EchoServer, payload: bytes) -> None:
    """RFC 6455, 5.5.3."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(frame(PING, payload))
        assert peer.read() == Frame(PONG, payload)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message_of_each_length_encoding_is_echoed(echo: EchoServer, opcode: int, size: int) -> None:
    """RFC 6455, 5.2: lengths of 7, 16 and 64 bits, at their bounds."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(frame(opcode, b"*" * size))
        assert peer.read() == Frame(opcode, b"*" * size)


def test_text_that_arrives_byte_by_byte_is_echoed(echo: EchoServer) -> None:
    """TCP may split the header, the mask and the characters."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        for byte in frame(TEXT, HELLO) + frame(PING, b"!"):
            peer.send(bytes([byte]))
        assert sorted((peer.read(), peer.read()), key=str) == sorted((Frame(TEXT, HELLO), Frame(PONG, b"!")), key=str)


def test_stalled_frame_blocks_no_other_connection(echo: EchoServer) -> None:
    """And the rest of the frame may still follow."""
    whole = frame(TEXT, HELLO)
    with RawPeer(f"{echo.ws_url}/echo") as silent:
        silent.send(whole[:7])
        with RawPeer(f"{echo.ws_url}/echo") as other:
            other.send(frame(TEXT, b"beside"))
            assert other.read() == Frame(TEXT, b"beside")
        assert echo.is_running()
        silent.send(whole[7:])
        assert silent.read() == Frame(TEXT, HELLO)


PROTOCOL_ERRORS = {
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


@pytest.mark.parametrize("name", PROTOCOL_ERRORS)
def test_protocol_error_is_closed_with_1002(echo: EchoServer, name: str) -> None:
    """RFC 6455, 5.1 to 5.5 and 7.4.1; what follows is ignored."""
    assert close_codes(send_and_read(echo, PROTOCOL_ERRORS[name], frame(TEXT, b"after"))) == [1002]


BAD_TEXTS = {
    "in one frame": frame(TEXT, b"\xce\xba\xff"),
    "in the second fragment": frame(TEXT, b"fine", fin=False) + frame(CONTINUATION, b"\xff", fin=False),
    "a truncated character": frame(TEXT, HELLO[:2]),
    "a truncated character in the last fragment": frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"\xf0\x9f"),
    "a surrogate": frame(TEXT, b"\xed\xa0\x80"),
    "in a reason to close": close_frame(1000, b"\xff"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_invalid_utf_8_is_closed_with_1007(echo: EchoServer, name: str) -> None:
    """RFC 6455, 8.1; at once, before the message ends."""
    assert close_codes(send_and_read(echo, BAD_TEXTS[name])) == [1007]


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_forbidden_close_code_is_closed_with_1002(echo: EchoServer, code: int) -> None:
    """RFC 6455, 7.4.1 and 7.4.2."""
    assert close_codes(send_and_read(echo, close_frame(code))) == [1002]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1013, 3000, 3999, 4000, 4999])
def test_close_is_answered_with_its_code(echo: EchoServer, code: int) -> None:
    """RFC 6455, 5.5.1; what follows a close is ignored."""
    assert close_codes(send_and_read(echo, close_frame(code, b"why"), frame(TEXT, b"after"))) == [code]


def test_close_without_a_code_is_answered_without_one(echo: EchoServer) -> None:
    """RFC 6455, 7.1.5: 1005 is never sent."""
    assert send_and_read(echo, frame(CLOSE)) == [Frame(CLOSE, b"")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "keep-alive"},
        {"Connection": ""},
        {"Sec_WebSocket_Key": ""},
        {"Sec_WebSocket_Version": "8"},
    ],
    ids=str,
)
def test_invalid_handshake_gets_400(echo: EchoServer, headers: dict[str, str]) -> None:
    """RFC 6455, 4.2.1; not 500."""
    with RawPeer(f"{echo.ws_url}/echo", **headers) as peer:
        assert peer.status == 400


@pytest.mark.parametrize(
    "message",
    [frame(BINARY, bytes(16 * MAX_MESSAGE_BYTES)), frame(TEXT, "😀".encode() * (MAX_MESSAGE_BYTES // 3))],
    ids=["bytes", "text that is too big in bytes, not in characters"],
)
def test_oversized_message_gets_its_close_frame(echo: EchoServer, message: bytes) -> None:
    """A reset over unread bytes would overtake it, and the client would resend the message for ever."""
    with RawPeer(f"{echo.ws_url}/echo") as peer:
        peer.send(message)
        assert close_codes(peer.read_all()) == [1009]


# ---------------------------------------------------------------- clients that do not read or close


def test_clients_that_ignore_the_close_do_not_block_rest(tmp_path: Path) -> None:
    """Even if gunicorn waited an hour for them."""
    with serving(tmp_path, config=LONG_LINGER) as echo, contextlib.ExitStack() as still_open:
        peers = [still_open.enter_context(RawPeer(f"{echo.ws_url}/close/4404")) for _ in range(10)]
        for peer in peers:
            assert close_codes(peer.read_all()) == [4404]
        for _ in range(len(peers)):
            assert echo.is_running()


@pytest.mark.parametrize("size_bytes", [4_000_000, 20_000_000], ids=["4 MB", "20 MB"])
def test_large_message_is_sent_completely(echo: EchoServer, size_bytes: int) -> None:
    """Short writes are continued, and the next message follows."""
    with connect(f"{echo.ws_url}/send/{size_bytes}", max_size=None, max_queue=1) as ws:
        assert ws.recv(timeout=60) == pattern(size_bytes)
        ws.send("next")
        assert ws.recv(timeout=60) == "next"


def test_concurrent_threads_send_complete_messages(echo: EchoServer) -> None:
    """In each thread's order, also to a client that offers compression."""
    threads, messages = 6, 300
    received: dict[int, list[str]] = {thread: [] for thread in range(threads)}
    with connect(f"{echo.ws_url}/chorus/{threads}/{messages}", compression="deflate") as ws:
        assert ws.response is not None
        assert "Sec-WebSocket-Extensions" not in ws.response.headers
        for _ in range(threads * messages):
            words = ws.recv(timeout=60)
            text = words if isinstance(words, str) else words.decode()
            received[int(text.split(":")[0])].append(text)
        ws.send("thanks")
    assert received == {thread: [verse(thread, number) for number in range(messages)] for thread in range(threads)}


def test_concurrent_threads_keep_the_opcode_of_each_message(echo: EchoServer) -> None:
    """Frames are encoded one at a time, so none becomes a continuation of another."""
    with RawPeer(f"{echo.ws_url}/chorus/6/300") as peer:
        received = [peer.read() or Frame(CLOSE, b"") for _ in range(6 * 300)]
        peer.send(frame(TEXT, b"thanks"))
        assert close_codes(peer.read_all()) == [1000]
    assert Counter((frame.opcode, frame.fin) for frame in received) == {(TEXT, True): 900, (BINARY, True): 900}


FLOODS = {
    "empty messages": frame(TEXT),
    "small messages": frame(TEXT, b"x" * 100),
    "large texts": frame(TEXT, ("😀" * 16_000).encode()),
    "large bytes": frame(BINARY, bytes(1_000_000)),
}
FLOOD_BYTES = 200_000_000
GROWTH_BYTES = 16 * 1024 * 1024
"""The message being received (at most 2 MiB), and the allocator's overhead."""


@pytest.mark.parametrize("name", FLOODS)
def test_unread_flood_waits_at_the_client(tmp_path: Path, name: str) -> None:
    """The kernel's buffers fill, and the server takes no memory for it; other connections are served meanwhile."""
    with serving(tmp_path) as echo, RawPeer(f"{echo.ws_url}/deaf") as peer:
        before = echo.usage().peak_bytes
        peer.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(FLOOD_BYTES // len(FLOODS[name])):
                peer.send(FLOODS[name] * 100)
        assert echo.is_running()
        assert echo.usage().peak_bytes - before < GROWTH_BYTES


@pytest.mark.parametrize(
    "flood",
    [frame(CONTINUATION, fin=False), frame(PING, b"x" * 125), frame(PONG, b"x" * 125)],
    ids=["empty fragments", "pings", "pongs"],
)
def test_flood_without_complete_messages_takes_no_memory(tmp_path: Path, flood: bytes) -> None:
    """Endless fragments, and control frames whose responses are not read."""
    with serving(tmp_path) as echo, RawPeer(f"{echo.ws_url}/deaf") as peer:
        peer.send(frame(TEXT, b"x", fin=False))
        before = echo.usage().peak_bytes
        peer.socket.settimeout(1)  # the server stops reading pings whose pongs are not read
        with contextlib.suppress(OSError):
            for _ in range(200):
                peer.send(flood * 1000)
        assert echo.is_running()
        assert echo.usage().peak_bytes - before < GROWTH_BYTES


def test_messages_after_the_close_do_not_reopen_the_connection(echo: EchoServer) -> None:
    """They are discarded."""
    with RawPeer(f"{echo.ws_url}/close/4000") as peer:
        first = peer.read()  # before it, a ping would be answered
        assert first is not None
        assert first.opcode == CLOSE
        peer.send(frame(TEXT, b"late"), frame(PING, b"late"))
        assert peer.read_all() == []


def test_vanished_peer_leaks_no_descriptor(tmp_path: Path) -> None:
    """After each kind of end."""
    with serving(tmp_path) as echo:
        with RawPeer(f"{echo.ws_url}/echo") as peer:
            peer.send(close_frame(1000))
            peer.read_all()
        assert echo.is_running()
        wait_for(lambda: echo.opened() == 0, "the first connection stayed")
        descriptors = echo.usage().descriptors
        for end in (b"", frame(TEXT, HELLO)[:5], close_frame(1000), PROTOCOL_ERRORS["unmasked"]):
            peer = RawPeer(f"{echo.ws_url}/echo")
            peer.send(end)
            peer.reset()
        wait_for(lambda: echo.opened() == 0, "a connection stayed")
        wait_for(lambda: echo.usage().descriptors <= descriptors, "a descriptor stayed")
