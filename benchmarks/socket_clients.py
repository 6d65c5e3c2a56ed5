"""Clients of a WebSocket server in one process and one thread: the load of `make bench-sockets`.

Started as ``python -m benchmarks.socket_clients`` with a Load as JSON on standard input; prints a Measured as JSON, and
its progress on standard error. Stops by itself.
"""

import base64
import heapq
import json
import os
import random
import selectors
import socket
import sys
from array import array
from collections import deque
from dataclasses import asdict, dataclass
from time import monotonic

CONNECT_S = 120.0
"""For all sockets to open."""

SETTLE_S = 1.0
"""Before turns are counted."""

DRAIN_S = 5.0
"""For the last answers."""

PING = 0x9

ENGINE_IO_PING, ENGINE_IO_PONG = b"2", "3"
"""Text messages of Engine.IO 4, below Socket.IO."""

STEPS = 7
"""That are answered, in turn: the last of the survey is not, which would complete it."""

OPENING_AT_ONCE = 200
"""Handshakes under way."""


@dataclass(frozen=True)
class Load:
    """What the clients do.

    Attributes:
        path: with ``{number}``, the client's.
        message: with ``{id}``, ``{turn}``, ``{step}`` and ``{value}``.
        answer: what only the answer to a turn has.
        greeting: what the server's message has after which the client may send turns; "": it may do so at once.
        hello: the client's first message, with ``{number}``; "": none.
        turns_per_second: of all clients together, one after the other; 0: each sends its next turn when it has the
            answer to its last one.
        reconnects: whether a client that loses its connection opens another, and sends what was not answered again.
    """

    port: int
    clients: int
    seconds: float
    path: str
    message: str
    answer: str
    greeting: str = 'state"'
    hello: str = ""
    turns_per_second: float = 0.0
    reconnects: bool = False


@dataclass(frozen=True)
class Measured:
    """What came of it. Times in seconds.

    Attributes:
        opened_s: until all sockets were open and had their greeting.
        unsent: turns of a paced load whose client still waited for its last answer.
        losses: connections lost and opened again.
        back_s: from the first loss until all were open again.
    """

    opened: int
    opened_s: float
    turns: int
    seconds: float
    p50: float
    p99: float
    longest: float
    errors: int
    unsent: int
    losses: int
    back_s: float


class _Client:
    __slots__ = ("attempts", "buffer", "connection", "has_greeting", "is_open", "number", "sent_at", "turn", "waits")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent_at = 0.0
        self.turn = 0
        self.waits = False  # for an answer
        self.attempts = 0
        self.reset()

    def reset(self) -> None:
        self.buffer = b""
        self.is_open = self.has_greeting = False
        self.connection = socket.socket()
        self.connection.setblocking(False)


class Clients:
    """All clients of a load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answer = load.answer.encode()
        self._greeting = load.greeting.encode()
        self._selector = selectors.DefaultSelector()
        self._idle: deque[_Client] = deque()
        self._open = 0
        self._errors = 0
        self._unsent = 0
        self._losses = 0
        self._lost_at = self._back_at = 0.0
        self._retries: list[tuple[float, int, _Client]] = []  # a heap
        self._is_measuring = False
        self._latencies = array("d")

    def run(self) -> Measured:
        """Open all sockets, send turns for the load's seconds, and close."""
        began_at = monotonic()
        self._open_all()
        opened_s = monotonic() - began_at
        self._progress(f"{self._open} of {self._load.clients} sockets open after {opened_s:.1f} s")
        if not self._load.turns_per_second:
            for client in list(self._idle):
                self._send_turn(client)
        self._poll_until(monotonic() + SETTLE_S)
        self._is_measuring = True
        measured_from = monotonic()
        self._poll_until(measured_from + self._load.seconds)
        seconds = monotonic() - measured_from
        latencies = sorted(self._latencies)
        self._is_measuring = False
        return Measured(
            opened=self._open,
            opened_s=opened_s,
            turns=len(latencies),
            seconds=seconds,
            p50=_quantile(latencies, 0.5),
            p99=_quantile(latencies, 0.99),
            longest=latencies[-1] if latencies else 0.0,
            errors=self._errors,
            unsent=self._unsent,
            losses=self._losses,
            back_s=self._back_at - self._lost_at,
        )

    def _open_all(self) -> None:
        waiting = deque(_Client(number) for number in range(self._load.clients))
        total, until = len(waiting), monotonic() + CONNECT_S
        said_at = monotonic()
        while self._open + self._errors < total and monotonic() < until:
            while waiting and total - len(waiting) - self._open - self._errors < OPENING_AT_ONCE:
                self._connect(waiting.popleft())
            self._poll(0.1)
            if monotonic() - said_at > 2:  # noqa: PLR2004 - seconds
                said_at = monotonic()
                self._progress(f"{self._open} of {total} sockets open")

    def _connect(self, client: _Client) -> None:
        client.connection.connect_ex(("127.0.0.1", self._load.port))
        self._selector.register(client.connection, selectors.EVENT_WRITE, client)

    def _poll_until(self, until: float) -> None:
        rate = self._load.turns_per_second
        next_at = monotonic()
        while (now := monotonic()) < until:
            if rate:
                while next_at <= now:
                    self._send_paced(next_at)
                    next_at += 1 / rate
                self._poll(max(0.0, min(next_at, until) - monotonic()))
            else:
                self._poll(0.1)

    def _send_paced(self, due_at: float) -> None:
        if self._idle:
            self._idle.rotate(-1)
            client = self._idle.popleft()
            try:
                self._send_turn(client)
            except OSError:
                self._fail(client)
            client.sent_at = due_at  # with what it waited to be sent
        else:
            self._unsent += self._is_measuring

    def _poll(self, timeout_s: float) -> None:
        while self._retries and self._retries[0][0] <= monotonic():
            _, _, client = heapq.heappop(self._retries)
            client.reset()
            self._connect(client)
        for key, events in self._selector.select(timeout_s):
            client: _Client = key.data
            try:
                if events & selectors.EVENT_WRITE:
                    self._shake_hands(client)
                else:
                    self._receive(client)
            except OSError:
                self._fail(client)

    def _shake_hands(self, client: _Client) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        path = self._load.path.format(number=client.number)
        lines = (
            f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", "",
        )  # fmt: skip
        client.connection.send("\r\n".join(lines).encode())
        self._selector.modify(client.connection, selectors.EVENT_READ, client)

    def _receive(self, client: _Client) -> None:
        data = client.connection.recv(65536)
        if not data:
            self._fail(client)
            return
        client.buffer += data
        if not client.is_open:
            self._open_socket(client)
        while client.is_open and (frame := _next_frame(client.buffer)) is not None:
            opcode, payload, client.buffer = frame
            if opcode == PING:
                client.connection.send(b"\x8a\x80" + bytes(4))
            else:
                self._take(client, payload)

    def _open_socket(self, client: _Client) -> None:
        head, separator, rest = client.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        if b" 101 " not in head[:32]:
            raise ConnectionError("The server refused the WebSocket.")
        client.is_open, client.buffer = True, rest
        if self._load.hello:
            self._send_text(client, self._load.hello.replace("{number}", str(client.number)))
        if not self._greeting:
            self._ready(client)

    def _take(self, client: _Client, payload: bytes) -> None:
        if payload == ENGINE_IO_PING:
            self._send_text(client, ENGINE_IO_PONG)
        elif not client.has_greeting:
            if self._greeting in payload[:20]:
                self._ready(client)
        elif self._answer in payload[:200]:
            self._take_answer(client)
        elif b'"pending"' not in payload[:200]:
            if not self._errors:
                self._progress(f"the first error: {payload[:300].decode(errors='replace')}")
            self._errors += 1

    def _take_answer(self, client: _Client) -> None:
        client.waits = False
        if self._is_measuring:
            self._latencies.append(monotonic() - client.sent_at)
        if self._load.turns_per_second:
            self._idle.append(client)
        else:
            self._send_turn(client)

    def _ready(self, client: _Client) -> None:
        self._open += 1
        client.attempts = 0
        client.has_greeting = True
        if client.waits:
            self._send(client)
        else:
            self._idle.append(client)
        if self._losses and self._open == self._load.clients:
            self._back_at = monotonic()
            self._progress(f"all are back {self._back_at - self._lost_at:.1f} s after the first loss")

    def _send_turn(self, client: _Client) -> None:
        client.turn += 1
        client.sent_at = monotonic()
        client.waits = True
        self._send(client)

    def _send(self, client: _Client) -> None:
        text = self._load.message.replace("{id}", f"{client.number}-{client.turn}").replace("{turn}", str(client.turn))
        step = f"Q{(client.turn - 1) % STEPS + 1}"
        self._send_text(client, text.replace("{step}", step).replace("{value}", str(client.turn % 4)))

    @staticmethod
    def _send_text(client: _Client, text: str) -> None:
        payload = text.encode()
        size = len(payload)
        length = bytes((0x80 | size,)) if size <= 125 else b"\xfe" + size.to_bytes(2)  # noqa: PLR2004 - RFC 6455, 5.2
        client.connection.send(b"\x81" + length + bytes(4) + payload)  # a mask of zeros leaves the payload as it is

    def _fail(self, client: _Client) -> None:
        self._selector.unregister(client.connection)
        client.connection.close()
        if client in self._idle:
            self._idle.remove(client)
        if not self._load.reconnects:
            self._errors += 1
            return
        if client.has_greeting:
            client.has_greeting = False
            self._open -= 1
            self._losses += 1
            self._lost_at = self._lost_at or monotonic()
        client.attempts += 1
        delay_s = min(8.0, 0.5 * 2**client.attempts) * random.uniform(0.5, 1)
        heapq.heappush(self._retries, (monotonic() + delay_s, client.number, client))

    @staticmethod
    def _progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _next_frame(buffer: bytes) -> tuple[int, bytes, bytes] | None:
    """Return the opcode and payload of the first frame, and the rest; None if it is not complete."""
    if len(buffer) < 2:  # noqa: PLR2004 - the shortest header
        return None
    size, start = buffer[1], 2
    if size == 126:  # noqa: PLR2004 - RFC 6455, 5.2
        size, start = int.from_bytes(buffer[2:4]), 4
    elif size == 127:  # noqa: PLR2004
        size, start = int.from_bytes(buffer[2:10]), 10
    if len(buffer) < start + size:
        return None
    return buffer[0] & 0xF, buffer[start : start + size], buffer[start + size :]


def _quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


if __name__ == "__main__":
    print(json.dumps(asdict(Clients(Load(**json.load(sys.stdin))).run())))
