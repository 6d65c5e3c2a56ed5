"""Random bytes on a live server's WebSocket, from nearly right to noise, and what must hold of its answer.

Each stream is sent in pieces of any size and ends with our end of the stream: then the server must end, too.
"""

import json
import socket
import struct
from random import Random

from app.web.ws.asyncapi import SERVER_MESSAGE
from tests.conformance import raw
from tests.conformance.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawPeer, close_frame, frame
from tests.fuzz import texts

SERVER_OPCODES = frozenset({TEXT, CLOSE, PING, PONG})
"""The survey's server never sends bytes, and never fragments."""

STATUSES = frozenset({101, 400, 403, 426, 501})
"""403 is for a Host that is not this machine; 501 is gunicorn's to a Transfer-Encoding that it does not know (RFC 9112, 6.1)."""

HANDSHAKE_CHANGES = {
    "Upgrade": ("WebSocket", "h2c", "websocket, foo", ""),
    "Connection": ("keep-alive, Upgrade", "close", "upgrade\t", ""),
    "Sec_WebSocket_Key": ("", "short", "x" * 5000, "\xff\xfe"),
    "Sec_WebSocket_Version": ("13, 8", "8", "", "x"),
    "Sec_WebSocket_Extensions": ("permessage-deflate", "permessage-deflate; client_max_window_bits=99", ";;,"),
    "Sec_WebSocket_Protocol": ("a, b", ",", "\xe9"),
    "Host": ("", "b\xfccher", "a" * 64 + ".x", "127.0.0.1:99999999"),
    "Origin": ("null", "http://[::1", "\xff"),
    "Content_Length": ("5", "-1", "x"),
    "Transfer_Encoding": ("chunked", "x"),
    "Expect": ("100-continue",),
}


def stream(random: Random) -> list[bytes]:
    """Return what a client sends after the handshake, in pieces."""
    whole = b"".join(_frames(random) for _ in range(random.choice((0, 1, 1, 2, 3, 8))))
    if whole and random.random() < 0.3:
        whole = _damaged(random, whole)
    return list(_pieces(random, whole))


def headers(random: Random) -> dict[str, str]:
    """Return what a client says otherwise in its handshake: mostly nothing."""
    names = random.sample(sorted(HANDSHAKE_CHANGES), random.choice((1, 1, 2)) if random.random() < 0.1 else 0)
    return {name: random.choice(HANDSHAKE_CHANGES[name]) for name in names}


def judge(url: str, changes: dict[str, str], pieces: list[bytes]) -> int:
    """Send a stream; return the status of the handshake's answer.

    Raises:
        AssertionError: the server's answer is a fault of its own, or no WebSocket's.
        TimeoutError: the server does not end.
    """
    with RawPeer(url, **changes) as peer:
        assert peer.head, "no answer to a handshake"
        assert peer.status in STATUSES, peer.head
        if peer.status == 101:
            _say(peer, pieces)
            _judge_answer(peer)
        return peer.status


def _say(peer: RawPeer, pieces: list[bytes]) -> None:
    try:
        for piece in pieces:
            peer.send(piece)
        peer.socket.shutdown(socket.SHUT_WR)
    except TimeoutError:  # it is an OSError, too
        raise
    except OSError:
        pass  # the server has ended it


def _judge_answer(peer: RawPeer) -> None:
    closed = False
    try:
        for one in iter(peer.read, None):
            assert not closed, f"{one} after a close"
            assert one.opcode in SERVER_OPCODES, one
            assert (one.fin, one.reserved) == (True, 0), one
            closed = one.opcode == CLOSE
            if one.opcode == TEXT:
                SERVER_MESSAGE.validate_python(json.loads(one.payload))
    except (ConnectionResetError, struct.error):
        pass  # we sent more than it read: its last words may be lost


def _frames(random: Random) -> bytes:
    kind = random.randrange(10)
    words = texts.text(random).encode("utf-8", "surrogatepass")
    if kind < 4:
        return frame(TEXT, words)
    match kind:
        case 4:
            return _fragments(random, words)
        case 5:
            return frame(random.choice((PING, PONG)), random.randbytes(random.choice((0, 1, 125))))
        case 6:
            return close_frame(random.choice((0, 999, 1000, 1001, 1005, 1016, 3000, 4999, 65535)), words[:120])
        case 7:
            return frame(
                random.randrange(16), words[:200], fin=random.random() < 0.7,
                reserved=random.choice((0, 0, 0, random.randrange(8))), masked=random.random() < 0.8,
            )  # fmt: skip
        case 8:
            return frame(BINARY, random.randbytes(random.randrange(70_000) if random.random() < 0.1 else 9))
        case _:
            return random.randbytes(random.randrange(1, 40))


def _fragments(random: Random, words: bytes) -> bytes:
    cuts = sorted(random.randrange(len(words) + 1) for _ in range(random.randrange(1, 6)))
    parts = [words[start:end] for start, end in zip([0, *cuts], [*cuts, len(words)], strict=True)]
    sent = b""
    for number, part in enumerate(parts):
        if random.random() < 0.3:
            sent += frame(PING, b"between")
        sent += frame(CONTINUATION if number else TEXT, part, fin=number == len(parts) - 1)
    return sent


def _damaged(random: Random, whole: bytes) -> bytes:
    place = random.randrange(len(whole))
    return random.choice(
        (whole[:place], whole[:place] + random.randbytes(1) + whole[place + 1 :], whole[place:], whole + whole[:place])
    )


def _pieces(random: Random, whole: bytes) -> list[bytes]:
    if random.random() < 0.5:
        return [whole]
    cuts = sorted({random.randrange(len(whole) + 1) for _ in range(random.choice((1, 3, 30)))})
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def half_handshake(random: Random, path: str) -> bytes:
    """Return a handshake that breaks off."""
    whole = raw.handshake(path)
    return whole[: random.randrange(len(whole))]
