"""Frames that nobody would send, for a few seconds; ``python -m tests.fuzz`` goes on for as long as one likes."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.ws import messages
from app.web.ws.messages import CLIENT_TYPES, BadMessage
from tests.conftest import Server, examples
from tests.fuzz import cycles, log, streams, texts

CASES = examples(1000)
STREAMS = examples(300)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
FIELDS = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(CLIENT_TYPES)) | SCALAR},
    optional={"id": st.text() | SCALAR, "step": st.text() | SCALAR, "value": JSON, "audio": st.booleans() | SCALAR},
)
CYCLES = 600


@CASES
@given(frame=st.text() | st.binary())
def test_any_text_is_a_message_or_an_error_that_can_be_sent(frame: str | bytes) -> None:
    """Bytes too, which are never a message."""
    assert not (texts.judge(frame) and isinstance(frame, bytes))


@CASES
@given(value=FIELDS | JSON)
def test_any_decoded_json_is_a_message_or_an_error(value: object) -> None:
    """As REST gives it: what is nearly a message, and what is accepted is the same again."""
    try:
        message = messages.parse_value(value)
    except BadMessage:
        return
    assert isinstance(value, dict)
    assert repr(messages.parse_value(message.model_dump())) == repr(message)


@CASES
@given(seed=st.integers())
def test_any_change_of_a_message_is_a_message_or_an_error(seed: int) -> None:
    """The long run's cases: letters and marks of a message are changed, doubled and left out."""
    texts.judge(texts.text(Random(seed)))


def test_the_judge_sees_messages_and_errors() -> None:
    """A fuzzer whose every case is refused would find nothing."""
    accepted = sum(texts.judge(texts.text(Random(seed))) for seed in range(1000))
    assert 100 < accepted < 900


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a limit of messages; in the end its log shows no fault."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    running = Server(folder, environment={"STEPKEEP_MESSAGES_PER_SECOND": "100000", "STEPKEEP_MESSAGE_BURST": "100000"})
    running.start()
    yield running
    faults = log.faults(running)
    running.stop()
    assert faults == []


@STREAMS
@given(seed=st.integers())
def test_any_bytes_are_answered_as_a_websocket_or_closed(fuzzed: Server, seed: int) -> None:
    """Masked or not, whole or not, in pieces of any size; the handshake too."""
    random = Random(seed)
    changes, pieces = streams.headers(random), streams.stream(random)
    streams.judge(fuzzed.ws_url + cycles.path(seed), changes, pieces)


def test_connections_that_come_and_go_leave_no_thread_and_no_descriptor(server: Server) -> None:
    """However they end: closed, reset, half-way in the handshake or within a frame."""
    cycles.fill(server)
    cycles.run(server, 0, 200)
    before = cycles.settled(server)
    cycles.run(server, 200, CYCLES)
    after = cycles.settled(server, before)
    assert after.resident_bytes - before.resident_bytes < cycles.GROWTH_BYTES
    assert log.faults(server) == []
