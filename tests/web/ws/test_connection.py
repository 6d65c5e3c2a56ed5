"""The WebSocket of the real server, with an independent client: the protocol's table, and invalid input."""

import json
import urllib.request
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.conftest import KINDS, Server, Servers
from tests.waiting import wait_for
from tests.web.conftest import Participant, running_server
from tests.web.sockets import close_code

INTAKE = {
    "S1": None, "S2": "1980-02-29", "S3": "A new problem", "S4": "My knee", "S5": 4, "S6": ["Rest", "Painkillers"],
    "S7": True, "S8": 70.5, "S9": True, "S10": 3, "S11": None, "S12": None,
}  # fmt: skip


@pytest.mark.parametrize(("value", "last"), [(0, ["Q9"]), (1, ["Q9", "help", "Q10"])])
def test_phq9_is_completed_and_resumed_half_way(shared_server: Server, value: int, last: list[str]) -> None:
    """Q10 is on the route only if a problem was reported, and information about help only after such thoughts."""
    user = f"phq9-{value}"
    first = Participant(shared_server, user)
    assert first.state["type"] == "state"
    assert first.state["resumed"] is False
    for number in range(1, 6):
        ack = first.answer(f"Q{number}", value)
        assert ack["type"] == "ack"
        assert ack["version"] == number + 1
    first.ws.close()
    second = Participant(shared_server, user)
    assert second.state["resumed"] is True
    assert second.state["session"] == ack["session"]
    while ack["session"]["current_step"] != "end":
        step = ack["session"]["current_step"]
        ack = second.answer(step, None if step == "help" else value)
    assert ack["session"]["step_history"][8:] == last
    assert (ack["step"], ack["progress"], ack["session"]["status"]) == (None, 1.0, "completed")
    assert second.request("back")["code"] == "completed"
    assert second.request("restart")["session"]["current_step"] == "Q1"


@pytest.mark.parametrize(
    ("reason", "smokes", "steps"),
    [
        ("A new problem", True, ["S4", "S5", "S6", "S8", "S9", "S10"]),
        ("A check-up", False, ["S8", "S9"]),
        ("A follow-up", True, ["S7", "S8", "S9", "S10"]),
    ],
)
def test_intake_follows_each_branch(shared_server: Server, reason: str, smokes: bool, steps: list[str]) -> None:
    """The branches join again."""
    participant = Participant(shared_server, f"intake-{reason.replace(' ', '-')}", "intake")
    answers = {**INTAKE, "S3": reason, "S9": smokes}
    step = "S1"
    while step != "end":
        step = participant.answer(step, answers[step])["session"]["current_step"]
    state = json.load(
        urllib.request.urlopen(f"{shared_server.url}/api/session/intake-{reason.replace(' ', '-')}?survey=intake")
    )
    assert state["session"]["step_history"] == ["S1", "S2", "S3", *steps, "S11", "S12"]


def test_edit_that_changes_the_route_turns_answers_into_drafts(shared_server: Server) -> None:
    participant = Participant(shared_server, "edits", "intake")
    for step in ("S1", "S2", "S3", "S4"):
        participant.answer(step, INTAKE[step])
    ack = participant.answer("S3", "A check-up")
    assert ack["session"]["current_step"] == "S8"
    assert "S4" not in ack["session"]["answers"]
    ack = participant.answer("S3", "A new problem")
    assert (ack["session"]["current_step"], ack["session"]["draft"]) == ("S4", "My knee")


def test_each_command_gets_its_response(shared_server: Server) -> None:
    """back, goto, mode, ping, and the rejections with their codes."""
    participant = Participant(shared_server, "kinds")
    assert participant.request("back")["code"] == "at_start"
    assert participant.answer("Q7", 1)["code"] == "not_current"
    refused = participant.answer("Q1", 9)
    assert (refused["type"], refused["code"], refused["step"]["id"]) == ("reject", "invalid_answer", "Q1")
    assert participant.answer("Q1", None)["code"] == "required"
    participant.answer("Q1", 1)
    participant.answer("Q2", 1)
    assert participant.request("back")["session"]["current_step"] == "Q2"
    edited = participant.request("goto", step="Q1")
    assert (edited["session"]["current_step"], edited["session"]["step_history"]) == ("Q1", [])
    assert participant.request("goto", step="Q3")["session"]["step_history"] == ["Q1", "Q2"]
    assert participant.request("mode", audio=True)["session"]["is_audio_mode"] is True
    participant.send({"type": "ping"})
    assert participant.receive() == {"type": "pong"}


def test_command_resent_after_a_lost_ack_is_a_duplicate(shared_server: Server) -> None:
    first = Participant(shared_server, "twice")
    message = {"type": "answer", "id": "same", "step": "Q1", "value": 1}
    first.send(message)
    assert first.receive()["duplicate"] is False
    first.ws.close()
    second = Participant(shared_server, "twice")
    second.send(message)
    again = second.receive()
    assert (again["type"], again["version"], again["duplicate"]) == ("ack", 2, True)
    second.send({**message, "value": 2})
    assert (second.receive()["type"], second.state["version"]) == ("error", 2)


def test_other_connections_of_the_session_get_a_sync(shared_server: Server) -> None:
    first, second = Participant(shared_server, "tabs"), Participant(shared_server, "tabs")
    first.answer("Q1", 2)
    sync = second.receive()
    assert (sync["type"], sync["version"], sync["session"]["answers"]) == ("sync", 2, {"Q1": 2})


def test_draft_is_saved_when_the_connection_or_the_server_ends(server: Server) -> None:
    """A graceful stop closes with 1001."""
    participant = Participant(server, "drafts", "intake")
    participant.send({"type": "draft", "step": "S1", "value": "half"})
    participant.ws.close()
    wait_for(lambda: Participant(server, "drafts", "intake").state["session"]["draft"] == "half", "no draft")
    stopped = Participant(server, "stopped", "intake")
    stopped.send({"type": "draft", "step": "S1", "value": "typed"})
    stopped.send({"type": "ping"})
    stopped.receive()
    assert server.terminate() == 0, server.log
    assert close_code(stopped.ws) == 1001
    server.start()
    assert Participant(server, "stopped", "intake").state["session"]["draft"] == "typed"


def test_erasure_closes_the_sockets_of_the_session(shared_server: Server) -> None:
    """A new connection begins a new session at version 1."""
    participant = Participant(shared_server, "erased", "intake")
    participant.answer("S1", None)
    participant.send({"type": "draft", "step": "S2", "value": "198"})
    url = f"{shared_server.url}/api/session/erased?survey=intake"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()
    assert close_code(participant.ws) == 1001
    again = Participant(shared_server, "erased", "intake").state
    assert (again["resumed"], again["version"], again["session"]["draft"]) == (False, 1, None)


@pytest.mark.parametrize("kind", KINDS)
def test_draft_is_saved_after_the_interval_while_connected(kind: str, servers: Servers, tmp_path: Path) -> None:
    """It survives SIGKILL."""
    with running_server(kind, servers, tmp_path, STEPKEEP_DRAFT_INTERVAL_S="0.5") as server:
        participant = Participant(server, "u", "intake")
        participant.send({"type": "draft", "step": "S1", "value": "half"})
        url = f"{server.url}/api/session/u?survey=intake"
        wait_for(lambda: json.load(urllib.request.urlopen(url))["session"]["draft"] == "half", "not saved")
        server.restart()
        assert Participant(server, "u", "intake").state["session"]["draft"] == "half"


def test_acknowledged_turns_survive_sigkill(server: Server) -> None:
    participant = Participant(server, "killed")
    for number in range(1, 5):
        ack = participant.answer(f"Q{number}", 2)
    server.restart()
    state = Participant(server, "killed").state
    assert state["resumed"] is True
    assert state["session"] == ack["session"]


INVALID_FRAMES: dict[str, tuple[str | bytes, str, str | None]] = {
    "not JSON": ("{", "malformed", None),
    "not an object": ('[{"id":"x"}]', "malformed", None),
    "no type": ('{"id":"x"}', "malformed", "x"),
    "unknown type": ('{"type":"dance","id":"x"}', "unknown_type", "x"),
    "no id": ('{"type":"back"}', "malformed", None),
    "long id": (json.dumps({"type": "back", "id": "x" * 65}), "malformed", None),
    "id of another type": ('{"type":"back","id":7}', "malformed", None),
    "id that is not text": ('{"type":"back","id":"\\ud800"}', "malformed", None),
    "wrong field": ('{"type":"mode","id":"x","audio":"yes"}', "malformed", "x"),
    "NaN": ('{"type":"answer","id":"x","step":"Q1","value":NaN}', "malformed", "x"),
    "lone surrogate": ('{"type":"answer","id":"x","step":"Q1","value":"\\ud800"}', "malformed", "x"),
    "NUL": ('{"type":"answer","id":"x","step":"Q1","value":"\\u0000"}', "malformed", "x"),
    "400 digits": ('{"type":"answer","id":"x","step":"Q1","value":' + "1" * 400 + "}", "malformed", "x"),
    "10,000 brackets": ('{"type":"answer","value":' + "[" * 10_000 + "]" * 10_000 + ',"id":"x"}', "malformed", "x"),
    "duplicate key": ('{"type":"back","type":"back","id":"x"}', "malformed", "x"),
    "duplicate id": ('{"type":"back","id":"x","id":"y"}', "malformed", None),
    "other ids": ('{"value":{"id":"y"},"step":",\\"id\\":","id":"x","type":NaN}', "malformed", "x"),
    "cut off": ('{"type":"answer","id":"x","value":"a\\",\\"id\\":\\"y\\"', "malformed", "x"),
    "binary frame": (b'{"type":"back","id":"x"}', "malformed", "x"),
}
"""By name: the frame, the code of the error and its id."""


@pytest.mark.parametrize("name", INVALID_FRAMES)
def test_invalid_frame_gets_an_error_with_its_id_and_keeps_the_connection(shared_server: Server, name: str) -> None:
    """Nothing is saved, and the next command works."""
    frame, code, message_id = INVALID_FRAMES[name]
    participant = Participant(shared_server, f"bad-{name.replace(' ', '-').replace(',', '')}")
    participant.ws.send(frame)
    answer = participant.receive()
    assert (answer["type"], answer["code"], answer["id"]) == ("error", code, message_id)
    assert participant.answer("Q1", 1)["version"] == 2


def test_invalid_values_are_rejected_and_not_saved(shared_server: Server) -> None:
    participant = Participant(shared_server, "values")
    for value in ("0", True, False, [], {}, [0], 0.5, -1, 1e300, "", " ", {"value": 0}):
        assert participant.answer("Q1", value)["type"] == "reject"
    assert participant.answer("Q1", 0)["version"] == 2


@pytest.mark.parametrize("frame", ["x" * (64 * 1024 + 1), "é" * (32 * 1024 + 1)])
def test_message_over_64_kib_is_closed_with_1009(shared_server: Server, frame: str) -> None:
    """Counted in bytes, not in characters; the error before it has the id."""
    participant = Participant(shared_server, f"big-{len(frame)}")
    participant.send({"type": "answer", "id": "big", "step": "Q1", "value": frame})
    refused = participant.receive()
    assert (refused["type"], refused["id"], refused["code"]) == ("error", "big", "too_large")
    assert close_code(participant.ws) == 1009


def test_invalid_utf_8_is_closed_with_1007(shared_server: Server) -> None:
    """RFC 6455, 8.1; the server keeps running."""
    participant = Participant(shared_server, "bytes")
    participant.ws.send(b"\xff\xfe", text=True)
    assert close_code(participant.ws) == 1007
    assert Participant(shared_server, "bytes").state["version"] == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [("a%2Fb?survey=phq9", 4400), ("a%00b?survey=phq9", 4400), ("u?survey=none", 4404), ("u", 4404)],
)
def test_invalid_user_id_or_survey_is_closed_with_its_code(shared_server: Server, path: str, code: int) -> None:
    with connect(f"{shared_server.ws_url}/ws/survey/{path}") as ws:
        assert close_code(ws) == code


def test_foreign_origin_is_closed_with_4403(shared_server: Server) -> None:
    url = f"{shared_server.ws_url}/ws/survey/u?survey=phq9"
    with connect(url, origin="https://evil.example") as ws:  # type: ignore[arg-type]
        assert close_code(ws) == 4403


def test_repeated_malformed_messages_are_closed_with_4400(shared_server: Server) -> None:
    """Twenty in a row."""
    participant = Participant(shared_server, "broken")
    for _ in range(20):
        participant.ws.send("{")
    assert close_code(participant.ws) == 4400
