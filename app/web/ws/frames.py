"""WebSocket frames of a server (RFC 6455), without I/O.

Text messages in one frame are decoded here, in a third of the time of ``websockets``.
"""

import codecs
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ...core import strict_json
from ...core.formats import MAX_COMMAND_BYTES
from . import messages

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this platform
    from websockets.utils import apply_mask

Message = str | bytes

_FIN_TEXT, _CLOSE, _MASKED = 0x81, 0x88, 0x80
# Data frames, last of their message or not; control frames.
_FIRST_BYTES = frozenset({0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A})

_MASK_BYTES = 4
_HEADER_BYTES = {126: 4, 127: 10}
_SHORT = 125


class Frames:
    """The frames of one connection.

    Args:
        on_frame: called with whether a frame is a whole text message; after False, this and later frames are ignored.
    """

    def __init__(self, protocol: ServerProtocol, max_size_bytes: int, on_frame: Callable[[bool], bool]) -> None:
        self._protocol = protocol
        self._max_size_bytes = max_size_bytes
        self._on_frame = on_frame
        self._buffer = bytearray()
        self._needed_bytes = 0  # in the buffer, until which there is nothing to do
        self._parts: list[Message] = []  # of a fragmented message
        self._parts_bytes = 0
        self._decode: Callable[..., str] | None = None
        self.is_pong_due = self.is_over_limit = False

    @property
    def is_open(self) -> bool:
        return self._protocol.state is OPEN

    @property
    def has_partial(self) -> bool:
        return bool(self._buffer) or self._protocol.current_size is not None

    def receive(self, data: bytes) -> list[Message]:
        """Return complete messages; nothing after a close or a protocol error."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed_bytes:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        received: list[Message] = []
        try:
            self._receive(data, received)
        except ProtocolError as error:
            self.close(CloseCode.PROTOCOL_ERROR, str(error))
        except UnicodeDecodeError:
            self.close(CloseCode.INVALID_DATA, "invalid UTF-8")
        return received

    def text(self, payload: bytes) -> bytes:
        if not self.is_open:
            return b""
        size = len(payload)
        if size <= _SHORT:
            return bytes((_FIN_TEXT, size)) + payload
        if size < 1 << 16:
            return b"\x81\x7e" + size.to_bytes(2, "big") + payload
        return b"\x81\x7f" + size.to_bytes(8, "big") + payload

    def ping(self) -> bytes:
        self.is_pong_due = True
        self._protocol.send_ping(b"")
        return self.take_output()

    def close(self, code: int, reason: str = "") -> None:
        if self.is_open:
            self._protocol.fail(code, reason)

    def take_output(self) -> bytes:
        return b"".join(self._protocol.data_to_send())

    def _receive(self, data: bytes, received: list[Message]) -> None:
        start, size = 0, len(data)
        while start < size and self.is_open and not self.is_over_limit:
            end = _frame_end(data, start, self._max_size_bytes)
            if end > size:
                self._buffer += data[start:]
                self._needed_bytes = end - start
                break
            if self._on_frame(data[start] == _FIN_TEXT):
                self._receive_frame(data[start:end], received)
            else:
                self.is_over_limit = True
            start = end

    def _receive_frame(self, frame: bytes, received: list[Message]) -> None:
        first, length = frame[0], frame[1] & 0x7F
        masked_at = _HEADER_BYTES.get(length, 2)
        size = length if length <= _SHORT else int.from_bytes(frame[2:masked_at], "big")
        if first & 0xF < Opcode.CLOSE and self._parts_bytes + size > self._max_size_bytes:
            self._refuse_too_large(first, frame[masked_at:])
        elif first == _FIN_TEXT and self._protocol.current_size is None:
            payload_at = masked_at + _MASK_BYTES
            received.append(apply_mask(frame[payload_at:], frame[masked_at:payload_at]).decode())
        else:
            if first == _CLOSE:
                self._protocol.current_size = None  # a message may end unfinished, which websockets takes for an error
            self._protocol.receive_data(frame)
            for event in self._protocol.events_received():
                self._take(event, received)

    def _take(self, frame: Any, received: list[Message]) -> None:  # noqa: ANN401 - an event may also be a handshake
        if frame.opcode is Opcode.PONG:
            self.is_pong_due = False
        if frame.opcode not in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            return
        if frame.opcode is Opcode.TEXT:
            self._decode = codecs.getincrementaldecoder("utf-8")().decode
        elif frame.opcode is Opcode.BINARY:
            self._decode = None
        self._parts_bytes += len(frame.data)
        part = bytes(frame.data) if self._decode is None else self._decode(frame.data, frame.fin)
        if part:  # empty parts could come without end
            self._parts.append(part)
        if frame.fin:
            empty: Message = b"" if self._decode is None else ""
            received.append(empty.join(self._parts))  # type: ignore[arg-type]  # all str or all bytes
            self._parts, self._parts_bytes = [], 0

    def _refuse_too_large(self, first: int, masked: bytes) -> None:
        opcode = first & 0xF
        if opcode == Opcode.TEXT or (opcode == Opcode.CONT and self._decode is not None):
            beginning = apply_mask(masked[_MASK_BYTES:], masked[:_MASK_BYTES]).decode(errors="replace")
            text = "".join([*map(str, self._parts), beginning])
            problem = f"A message has at most {MAX_COMMAND_BYTES} bytes."
            error = messages.error("too_large", problem, messages.readable_id(text))
            self._protocol.send_text(strict_json.encode(error).encode())
        self.close(CloseCode.MESSAGE_TOO_BIG, "message too large")


def _frame_end(data: bytes, start: int, max_size_bytes: int) -> int:
    """Return the end of the frame that starts there, or what must arrive before it is known.

    Of a frame that is too large, only the beginning is needed.
    """
    available = len(data) - start
    first = data[start]
    if first not in _FIRST_BYTES:
        raise ProtocolError("invalid opcode, fragment or reserved bits")
    if available < 2:  # noqa: PLR2004 - of the shortest header
        return start + 2
    length = data[start + 1] ^ _MASKED
    if length & _MASKED:
        raise ProtocolError("incorrect masking")
    if first >= _CLOSE and length > _SHORT:
        raise ProtocolError("control frame too long")
    header = _HEADER_BYTES.get(length, 2)
    if available < header:
        return start + header
    if length > _SHORT:
        length = int.from_bytes(data[start + 2 : start + header], "big")
        if length <= _SHORT or (header == _HEADER_BYTES[127] and not 1 << 16 <= length < 1 << 63):
            raise ProtocolError("length not in its shortest form")
    return start + header + _MASK_BYTES + min(length, max_size_bytes + 1)
