"""Frames without a socket: however bytes arrive, the messages and answers are the same."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from app.web.ws.frames import Frames, Message
from tests.conformance.raw import BINARY, CONTINUATION, PING, PONG, TEXT, close_frame, frame

MAX_BYTES = 1000

PING_X = frame(PING, b"x")
PONG_X = b"\x8a\x01x"


def receive(chunks: Sequence[bytes], limit: int = 1_000_000) -> tuple[list[Message], bytes, int]:
    """Return the messages, the bytes to be sent, and the number of frames counted."""
    counted = 0

    def count(_is_message: bool) -> bool:
        nonlocal counted
        counted += 1
        return counted <= limit

    frames = Frames(ServerProtocol(state=OPEN, max_size=None), MAX_BYTES, count)
    messages: list[Message] = []
    output = b""
    for chunk in chunks:
        messages += frames.receive(chunk)
        output += frames.take_output()
    return messages, output, counted


texts = st.text(max_size=200).filter(lambda text: len(text.encode()) <= MAX_BYTES)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[Message], int]:
    """Return the frames of some messages, in fragments or not, the messages, and how many pings are between them."""
    data, messages, pings = b"", [], 0
    for message in draw(st.lists(st.one_of(texts, st.binary(max_size=200)), max_size=6)):
        payload = message.encode() if isinstance(message, str) else message
        opcode = TEXT if isinstance(message, str) else BINARY
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        parts = [payload[start:end] for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for number, part in enumerate(parts):
            fin = number == len(parts) - 1
            data += frame(opcode if number == 0 else CONTINUATION, part, fin=fin)
            if draw(st.booleans()):
                data += PING_X
                pings += 1
        messages.append(message)
    return data, messages, pings


@given(streams(), st.lists(st.integers(0, 2000), max_size=8))
@example((frame(TEXT, b"a") + frame(TEXT, b"b" * 300), ["a", "b" * 300], 0), [1, 2, 3, 5, 7])
def test_messages_do_not_depend_on_how_their_bytes_arrive(
    stream: tuple[bytes, list[Message], int], cuts: list[int]
) -> None:
    data, messages, pings = stream
    places = sorted(min(cut, len(data)) for cut in cuts)
    chunks = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    received, output, counted = receive([chunk for chunk in chunks if chunk])
    assert received == messages
    assert output == PONG_X * pings
    assert counted >= len(messages) + pings


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_any_bytes_give_the_same_answer_in_one_piece_or_many(data: bytes, cuts: list[int]) -> None:
    """Nothing raises; after a close nothing is received."""
    places = sorted(min(cut, len(data)) for cut in cuts)
    chunks = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    whole, split = receive([data]), receive([chunk for chunk in chunks if chunk])
    assert whole[:2] == split[:2]


@pytest.mark.parametrize(
    "data",
    [frame(PING), frame(PONG), frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False), frame(TEXT, b"x")],
    ids=["ping", "pong", "empty fragments", "text"],
)
def test_every_frame_is_counted(data: bytes) -> None:
    """A flood of pings or empty fragments costs as much as one of messages."""
    frames = 2 if data.startswith(b"\x01") else 1
    assert receive([data])[2] == frames


def test_messages_before_the_frame_that_is_too_many_are_received() -> None:
    """Later ones are not, nor any frame."""
    messages, output, counted = receive([frame(TEXT, b"1") + frame(TEXT, b"2") + frame(TEXT, b"3"), PING_X], limit=2)
    assert (messages, output, counted) == (["1", "2"], b"", 3)


def test_message_too_large_is_refused_with_its_id_before_it_is_complete() -> None:
    """The beginning is enough: a client that sends the rest slowly takes no memory."""
    head = b'{"type":"answer","id":"big","value":"'
    whole = frame(TEXT, head + b"x" * 100_000)
    _, output, _ = receive([whole[: MAX_BYTES + 100]])
    assert b'"id":"big"' in output
    assert output.endswith(close_frame_of_server(1009, b"message too large"))


def test_fragments_that_are_too_large_together_are_refused() -> None:
    parts = frame(TEXT, b'{"id":"big",' + b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 600, fin=False)
    _, output, _ = receive([parts])
    assert b'"id":"big"' in output
    assert output.endswith(close_frame_of_server(1009, b"message too large"))


def test_nothing_is_received_after_a_close() -> None:
    messages, output, _ = receive([close_frame(1000) + frame(TEXT, b"late")])
    assert (messages, output) == ([], close_frame_of_server(1000))


def test_close_within_a_fragmented_message_is_answered_with_its_code() -> None:
    """RFC 6455, 5.4: control frames may be between fragments (Autobahn 7.1.5)."""
    _, output, _ = receive([frame(TEXT, b"half", fin=False) + close_frame(1000)])
    assert output == close_frame_of_server(1000)


def close_frame_of_server(code: int, reason: bytes = b"") -> bytes:
    return bytes((0x88, 2 + len(reason))) + code.to_bytes(2) + reason


@pytest.mark.parametrize(
    "start", [b"\xff", b"\x83", b"\x08", b"\x81\x01", b"\x89\xfe", b"\x81\xfe\x00\x05"], ids=lambda start: start.hex()
)
def test_frame_that_no_end_could_make_valid_is_refused_at_once(start: bytes) -> None:
    """Its client does not have to send, or to wait for, the rest."""
    _, output, _ = receive([start])
    assert output[2:4] == (1002).to_bytes(2)
