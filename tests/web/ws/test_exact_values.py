"""Exact values through the WebSocket: accepted ones are returned unchanged, inexact ones are refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.sync.client import connect

from tests.conftest import Server, Servers, each_kind, examples
from tests.web.conftest import Participant, running_server
from tests.web.sockets import close_code

SURVEY = """
id: exact
title: t
language: en
values: {same: answers.S2}
steps:
  - {id: S1, type: text, prompt: p, max_length: 60000, required: false}
  - {id: S2, type: number, prompt: p, required: false}
  - {id: S3, type: number, prompt: "{{ values.same }}", min: "{{ answers.S2 }}", default: "{{ answers.S2 }}"}
"""
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=200)
NUMBER = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
MANY = examples(40)
MAX_FRAME_BYTES = 64 * 1024

REFUSED = {
    "NUL": ('"\\u0000"', "message.value"),
    "lone surrogate": ('"\\udfff"', "message.value"),
    "NaN": ("NaN", "NaN"),
    "Infinity": ("[-Infinity]", "Infinity"),
    "1e999": ("1e999", "1e999"),
    "2^53 + 1": ("9007199254740993", "message.value"),
    "400 digits": ("1" * 400, "2^53"),
    "too deep": ("[" * 33 + "]" * 33, "value"),
    "key twice": ('{"k":1,"k":1}', "'k'"),
}
"""By name: the value as JSON, and the text that the error must contain."""

INVALID_IDS = ["a%20b", "%C3%A4", "x" * 129, "a%2Fb", "a%00b", "%F0%9F%98%80", "a'--", "%2E", "%2E%2E"]


@pytest.fixture(scope="module", params=each_kind(__name__))
def exact(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on each database with a survey that accepts any text and any number."""
    surveys = tmp_path_factory.mktemp("surveys")
    (surveys / "exact.yaml").write_text(SURVEY)
    folder: Path = tmp_path_factory.mktemp("exact")
    with running_server(request.param, servers, folder, surveys, STEPKEEP_MESSAGES_PER_SECOND="100000") as server:
        yield server


def answer_and_read_back(server: Server, user_id: str, step: str, value: object) -> Any:
    """Answer a step; return the answer as another connection receives it."""
    first = Participant(server, user_id, "exact")
    first.request("restart")
    if step == "S2":
        first.answer("S1", "x")
    ack = first.answer(step, value)
    assert ack["type"] == "ack", ack
    first.ws.close()
    second = Participant(server, user_id, "exact")
    second.ws.close()
    assert repr(second.state["session"]["answers"]) == repr(ack["session"]["answers"])
    return second.state["session"]["answers"][step]


@MANY
@given(value=TEXT)
def test_any_text_is_returned_unchanged(exact: Server, value: str) -> None:
    """Emoji, combining marks, right to left, unassigned: not even normalised."""
    assert answer_and_read_back(exact, "text", "S1", value) == value


@MANY
@given(value=NUMBER)
@example(value=1e300)
def test_any_number_is_returned_unchanged(exact: Server, value: float) -> None:
    """To the last bit, including the sign of zero; as a computed value, bound and default as a double."""
    assert repr(answer_and_read_back(exact, "number", "S2", value)) == repr(value)
    reader = Participant(exact, "number", "exact")
    reader.ws.close()
    step = reader.state["step"]
    assert (reader.state["session"]["values"]["same"], step["min"], step["default"]) == (value, value, value)


def test_answer_of_the_largest_frame_is_returned_unchanged(exact: Server) -> None:
    """64 KiB to the byte."""
    first = Participant(exact, "large", "exact")
    message = {"type": "answer", "id": "large", "step": "S1", "value": ""}
    size = MAX_FRAME_BYTES - len(json.dumps(message))
    value = "😀" * (size // 4) + "x" * (size % 4)
    frame = json.dumps({**message, "value": value}, ensure_ascii=False)
    assert len(frame.encode()) == MAX_FRAME_BYTES
    first.ws.send(frame)
    assert first.receive()["session"]["answers"] == {"S1": value}
    assert Participant(exact, "large", "exact").state["session"]["answers"] == {"S1": value}


@pytest.mark.parametrize("kind", ["answer", "draft"])
@pytest.mark.parametrize("name", REFUSED)
def test_inexact_value_is_refused_and_not_saved(exact: Server, name: str, kind: str) -> None:
    """The error names the place, and the connection stays open."""
    text, expected = REFUSED[name]
    first = Participant(exact, f"refused-{list(REFUSED).index(name)}-{kind}", "exact")
    first.ws.send(f'{{"type":"{kind}","id":"m","step":"S1","value":{text}}}')
    refused = first.receive()
    assert (refused["type"], refused["code"], refused["id"]) == ("error", "malformed", "m")
    assert expected in refused["message"]
    assert first.answer("S1", "x")["version"] == first.state["version"] + 1


def test_user_ids_that_differ_in_case_are_different_participants(exact: Server) -> None:
    for name in ("Bob", "bob", "BOB"):
        first = Participant(exact, name, "exact")
        assert first.state["resumed"] is False
        first.answer("S1", name)
    assert Participant(exact, "bob", "exact").state["session"]["answers"] == {"S1": "bob"}


@pytest.mark.parametrize("user_id", INVALID_IDS)
def test_invalid_user_id_is_closed_with_4400(exact: Server, user_id: str) -> None:
    """Before a session is created."""
    with connect(f"{exact.ws_url}/ws/survey/{user_id}?survey=exact") as ws:
        assert close_code(ws) == 4400
