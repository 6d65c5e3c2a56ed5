"""Where an HTTP/1.1 request ends in the bytes that have arrived (RFC 9112, section 6)."""

import re
import sys

from ...core.formats import MAX_COMMAND_BYTES

# Of a request that is kept until all of it has arrived: the largest command, and as much header.
MAX_BYTES = MAX_COMMAND_BYTES + 64 * 1024

_END = b"\r\n\r\n"
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]+)[ \t]*\r\n", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket", re.IGNORECASE)
_TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:([^\r\n]*)", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n", re.IGNORECASE)


class Arrival:
    """The beginning of a request, or all of it."""

    def __init__(self) -> None:
        self.data = bytearray()  # without empty lines before it (RFC 9112, section 2.2) and Expect: 100-continue
        self.expects_continue = False  # the client waits for 100 Continue (RFC 9110, section 10.1.1)
        self.is_handshake = False
        self._header_end = 0
        self._end: int | None = None
        self._chunk = 0

    @property
    def has_header(self) -> bool:
        return self._header_end > 0

    @property
    def is_complete(self) -> bool:
        return self._end is not None and len(self.data) >= self._end

    @property
    def is_large(self) -> bool:
        """Whether it is too large to be kept, or its end can't be found."""
        return max(len(self.data), self._end or 0) > MAX_BYTES

    def add(self, received: bytes) -> int:
        """Append what was received; return how many bytes of it are this request's."""
        searched = max(0, len(self.data) - len(_END))
        self.data += received
        if not self.has_header:
            self._find_header(searched)
        if self.has_header and self._end is None:
            self._end = self._find_last_chunk()
        surplus = max(0, len(self.data) - self._end) if self._end else 0
        del self.data[len(self.data) - surplus :]
        return len(received) - surplus

    def _find_header(self, searched: int) -> None:
        if self.data.startswith((b"\r", b"\n")):
            self.data = self.data.lstrip(b"\r\n")
        end = self.data.find(_END, searched)
        if end < 0:
            return
        header, found = _EXPECT.subn(b"", self.data[: end + len(_END)])
        self.data[: end + len(_END)] = header
        self.expects_continue = found > 0
        self.is_handshake = header.startswith(b"GET /ws/") and _UPGRADE.search(header) is not None
        self._header_end = self._chunk = len(header)
        coding = _TRANSFER_ENCODING.search(header)
        if coding is None:
            length = _CONTENT_LENGTH.search(header)
            self._end = self._header_end + (int(length[1][:18]) if length else 0)
        elif b"chunked" not in coding[1].lower():
            self._end = self._header_end  # gunicorn refuses it

    def _find_last_chunk(self) -> int | None:
        """Return where the last chunk and its trailers end (RFC 9112, section 7.1)."""
        while chunk := _CHUNK.match(self.data, self._chunk):
            size = int(chunk[1], 16)
            if size == 0:
                end = self.data.find(_END, chunk.end() - 2)
                return None if end < 0 else end + len(_END)
            self._chunk = chunk.end() + size + 2
        is_malformed = self.data.find(b"\r\n", self._chunk) >= 0
        return sys.maxsize if is_malformed else None
