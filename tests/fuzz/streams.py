"""Random byte streams for a server's WebSocket, from nearly valid to noise, and the check of its answer.

Each stream is sent in pieces of random sizes and then shut down; the server must close the connection.
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
"""The server never sends binary messages or fragments."""

STATUSES = frozenset({101, 400, 403, 426, 501})
"""403 rejects a foreign Host; gunicorn sends 501 for an unknown Transfer-Encoding (RFC 9112, 6.1)."""

HANDSHAKE_CHANGES = {
    "Upgrade": ("WebSocket", "h2c", "websocket, foo", ""),
    "Connection": ("keep-alive, Upgrade", "close", "upgrade\t", ""),
    "Sec_WebSocket_Key": ("", "short", "x" * 5000, "\xff\xfe"),
    "Sec_WebSocket_Version": ("13, 8", "8", "", "x"),
    "Sec_WebSocket_Extensions": ("permessage-deflate", "permessage-deflate; client_max_window_bits=99", ";;,"),
    "Sec_WebSocket_Protocol": ("a, b", ",", "\xe9"),
    "Host": ("", "b\xfccher", "a" * 64 + ".x", "127.0.0.1:99999999"),
    "Origin": ("null", "http://[::1", "\xff"),
    "Content_Length": ("0", "-1", "x"),  # for more, the server waits
    "Transfer_Encoding": ("x",),
    "Expect": ("100-continue",),
}


def stream(random: Random) -> list[bytes]:
    """Return the bytes that a client sends after the handshake, in pieces."""
    whole = b"".join(_frames(random) for _ in range(random.choice((0, 1, 1, 2, 3, 8))))
    if whole and random.random() < 0.3:
        whole = _damaged(random, whole)
    return list(_pieces(random, whole))


def headers(random: Random) -> dict[str, str]:
    """Return changed headers of a handshake; mostly none."""
    names = random.sample(sorted(HANDSHAKE_CHANGES), random.choice((1, 1, 2)) if random.random() < 0.1 else 0)
    return {name: random.choice(HANDSHAKE_CHANGES[name]) for name in names}


def exchange(url: str, changes: dict[str, str], pieces: list[bytes]) -> int:
    """Send a stream and check the answer; return the HTTP status of the handshake.

    Raises:
        AssertionError: the server failed or violated the protocol.
        TimeoutError: the server did not close the connection.
    """
    with RawPeer(url, **changes) as peer:
        assert peer.head, "no answer to a handshake"
        assert peer.status in STATUSES, peer.head
        if peer.status == 101:
            _send(peer, pieces)
            _check_answer(peer)
        return peer.status


def _send(peer: RawPeer, pieces: list[bytes]) -> None:
    try:
        for piece in pieces:
            peer.send(piece)
        peer.socket.shutdown(socket.SHUT_WR)
    except TimeoutError:  # a subclass of OSError
        raise
    except OSError:
        pass  # the server closed the connection


def _check_answer(peer: RawPeer) -> None:
    closed = False
    try:
        for received in iter(peer.read, None):
            assert not closed, f"{received} after a close"
            assert received.opcode in SERVER_OPCODES, received
            assert (received.fin, received.reserved) == (True, 0), received
            closed = received.opcode == CLOSE
            if received.opcode == TEXT:
                SERVER_MESSAGE.validate_python(json.loads(received.payload))
    except (ConnectionResetError, struct.error):
        pass  # the server had not read everything, so its last frames may be lost


def _frames(random: Random) -> bytes:
    kind = random.randrange(10)
    payload = texts.text(random).encode("utf-8", "surrogatepass")
    if kind < 4:
        return frame(TEXT, payload)
    match kind:
        case 4:
            return _fragments(random, payload)
        case 5:
            return frame(random.choice((PING, PONG)), random.randbytes(random.choice((0, 1, 125))))
        case 6:
            return close_frame(random.choice((0, 999, 1000, 1001, 1005, 1016, 3000, 4999, 65535)), payload[:120])
        case 7:
            return frame(
                random.randrange(16), payload[:200], fin=random.random() < 0.7,
                reserved=random.choice((0, 0, 0, random.randrange(8))), masked=random.random() < 0.8,
            )  # fmt: skip
        case 8:
            return frame(BINARY, random.randbytes(random.randrange(70_000) if random.random() < 0.1 else 9))
        case _:
            return random.randbytes(random.randrange(1, 40))


def _fragments(random: Random, payload: bytes) -> bytes:
    cuts = sorted(random.randrange(len(payload) + 1) for _ in range(random.randrange(1, 6)))
    parts = [payload[start:end] for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
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
    """Return a truncated handshake."""
    whole = raw.handshake(path)
    return whole[: random.randrange(len(whole))]
