"""A WebSocket client that sends and receives raw bytes, valid or not (RFC 6455, 5.2)."""

import os
import socket
import struct
from typing import NamedTuple, Self
from urllib.parse import urlsplit

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

TIMEOUT_S = 20
"""Longer than any answer takes: a timeout is a failure."""

_SHORT, _TWO_BYTES, _EIGHT_BYTES = 125, 126, 127


class Frame(NamedTuple):
    """A frame from the server."""

    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0

    @property
    def code(self) -> int | None:
        """The code of a close frame, or None."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """Return a frame as bytes."""
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    if size <= _SHORT:
        head += bytes([mask_bit | size])
    elif size < 1 << 16:
        head += bytes([mask_bit | _TWO_BYTES]) + struct.pack("!H", size)
    else:
        head += bytes([mask_bit | _EIGHT_BYTES]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    stream = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(payload) ^ int.from_bytes(stream)).to_bytes(size)


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def handshake(path: str, **headers: str) -> bytes:
    """Return an opening handshake; ``Sec_WebSocket_Key=""`` leaves a header out."""
    fields = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Version": "13",
        **headers,
    }
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


class RawPeer:
    """A connection after the handshake."""

    def __init__(self, url: str, **headers: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self.socket.makefile("rb")
        self.socket.sendall(handshake(f"{parts.path}?{parts.query}", **headers))
        self.head = self._read_head()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self.socket.close()

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def read(self) -> Frame | None:
        """Return the next frame; None at the end of the stream.

        Raises:
            OSError: the connection was reset, or the read timed out.
        """
        head = self._reader.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7F
        if size == _TWO_BYTES:
            size = struct.unpack("!H", self._reader.read(2))[0]
        elif size == _EIGHT_BYTES:
            size = struct.unpack("!Q", self._reader.read(8))[0]
        return Frame(head[0] & 0xF, self._reader.read(size), bool(head[0] & 0x80), head[0] >> 4 & 7)

    def read_all(self) -> list[Frame]:
        """Return all frames until the end of the stream."""
        return list(iter(self.read, None))

    def reset(self) -> None:
        """Reset the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._reader.close()
        self.socket.close()

    def _read_head(self) -> str:
        head = "HTTP/1.1 100"
        while head.startswith("HTTP/1.1 100"):  # "100 Continue" is an interim response
            head = ""
            while (line := self._reader.readline()).strip():
                head += line.decode("latin-1")
        return head
