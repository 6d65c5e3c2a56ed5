"""Fuzzes the WebSocket for a few seconds; ``python -m tests.fuzz`` makes longer runs."""

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
def test_any_frame_is_a_message_or_an_error_that_can_be_sent(frame: str | bytes) -> None:
    """Binary frames are always an error."""
    assert not (texts.is_accepted(frame) and isinstance(frame, bytes))


@CASES
@given(value=FIELDS | JSON)
def test_any_decoded_json_is_a_message_or_an_error(value: object) -> None:
    """Decoded JSON, as from REST, is rejected with BadMessage, or survives a round trip."""
    try:
        message = messages.parse_value(value)
    except BadMessage:
        return
    assert isinstance(value, dict)
    assert repr(messages.parse_value(message.model_dump())) == repr(message)


@CASES
@given(seed=st.integers())
def test_any_modified_message_is_a_message_or_an_error(seed: int) -> None:
    """The cases of the long run: characters of a message are changed, doubled and removed."""
    texts.is_accepted(texts.text(Random(seed)))


def test_fuzzer_makes_messages_and_errors() -> None:
    """The fuzzer is useless if every case is rejected."""
    accepted = sum(texts.is_accepted(texts.text(Random(seed))) for seed in range(1000))
    assert 100 < accepted < 900


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server without a limit of messages; its log has no error afterwards."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    running = Server(folder, environment={"STEPKEEP_MESSAGES_PER_SECOND": "100000", "STEPKEEP_MESSAGE_BURST": "100000"})
    running.start()
    yield running
    errors = log.errors(running)
    running.stop()
    assert errors == []


@STREAMS
@given(seed=st.integers())
def test_any_bytes_get_a_valid_answer_or_a_close(fuzzed: Server, seed: int) -> None:
    """Frames and handshakes may be invalid, truncated, and sent in pieces of any size."""
    random = Random(seed)
    changes, pieces = streams.headers(random), streams.stream(random)
    streams.exchange(fuzzed.ws_url + cycles.path(seed), changes, pieces)


def test_closed_connections_leave_no_thread_and_no_descriptor(server: Server) -> None:
    """Connections end by a close, by a reset, within the handshake or within a frame."""
    cycles.fill(server)
    cycles.run(server, 0, 200)
    before = cycles.settled_usage(server)
    cycles.run(server, 200, CYCLES)
    after = cycles.settled_usage(server, before)
    assert after.resident_bytes - before.resident_bytes < cycles.GROWTH_BYTES
    assert log.errors(server) == []
