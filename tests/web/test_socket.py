"""The WebSocket, on the real server with a client by other hands: docs/protocol.md's table, and bad input."""

import json
import urllib.request
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.conftest import KINDS, Server, Servers
from tests.waiting import wait_for
from tests.web.conftest import Participant, running_server

INTAKE = {
    "S1": None, "S2": "1980-02-29", "S3": "A new problem", "S4": "My knee", "S5": 4, "S6": ["Rest", "Painkillers"],
    "S7": True, "S8": 70.5, "S9": True, "S10": 3, "S11": None, "S12": None,
}  # fmt: skip


def closed_with(participant: Participant) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        for _ in range(1000):
            participant.ws.recv(timeout=10)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


@pytest.mark.parametrize(("value", "last"), [(0, "Q9"), (1, "Q10")])
def test_phq9_is_walked_to_its_end_and_resumed_half_way(shared: Server, value: int, last: str) -> None:
    """Q10 is asked only where a problem was reported; half-way another connection goes on."""
    user = f"phq9-{value}"
    first = Participant(shared, user)
    assert first.state["type"] == "state"
    assert first.state["resumed"] is False
    for number in range(1, 6):
        ack = first.answer(f"Q{number}", value)
        assert ack["type"] == "ack"
        assert ack["version"] == number + 1
    first.ws.close()
    second = Participant(shared, user)
    assert second.state["resumed"] is True
    assert second.state["session"] == ack["session"]
    while ack["session"]["current_step"] != "end":
        asked = ack["session"]["current_step"]
        ack = second.answer(asked, value)
    assert asked == last
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
def test_intake_takes_each_branch(shared: Server, reason: str, smokes: bool, steps: list[str]) -> None:
    """The branches meet again, and each asks only its own steps."""
    participant = Participant(shared, f"intake-{reason.replace(' ', '-')}", "intake")
    answers = {**INTAKE, "S3": reason, "S9": smokes}
    step = "S1"
    while step != "end":
        step = participant.answer(step, answers[step])["session"]["current_step"]
    state = json.load(
        urllib.request.urlopen(f"{shared.url}/api/session/intake-{reason.replace(' ', '-')}?survey=intake")
    )
    assert state["session"]["step_history"] == ["S1", "S2", "S3", *steps, "S11", "S12"]


def test_edit_that_leads_elsewhere_drops_answers_and_gives_them_back_as_drafts(shared: Server) -> None:
    """Answers off the route leave `answers`, and come back as drafts."""
    participant = Participant(shared, "edits", "intake")
    for step in ("S1", "S2", "S3", "S4"):
        participant.answer(step, INTAKE[step])
    ack = participant.answer("S3", "A check-up")
    assert ack["session"]["current_step"] == "S8"
    assert "S4" not in ack["session"]["answers"]
    ack = participant.answer("S3", "A new problem")
    assert (ack["session"]["current_step"], ack["session"]["draft"]) == ("S4", "My knee")


def test_each_kind_of_command_is_answered(shared: Server) -> None:
    """back, goto, mode, ping, and the rejects with their codes."""
    participant = Participant(shared, "kinds")
    assert participant.request("back")["code"] == "at_start"
    assert participant.answer("Q7", 1)["code"] == "not_current"
    refused = participant.answer("Q1", 9)
    assert (refused["type"], refused["code"], refused["step"]["id"]) == ("reject", "invalid_answer", "Q1")
    assert participant.answer("Q1", None)["code"] == "required"
    participant.answer("Q1", 1)
    participant.answer("Q2", 1)
    assert participant.request("back")["session"]["current_step"] == "Q2"
    gone = participant.request("goto", step="Q1")
    assert (gone["session"]["current_step"], gone["session"]["step_history"]) == ("Q1", [])
    assert participant.request("goto", step="Q3")["session"]["step_history"] == ["Q1", "Q2"]
    assert participant.request("mode", audio=True)["session"]["is_audio_mode"] is True
    participant.send({"type": "ping"})
    assert participant.receive() == {"type": "pong"}


def test_command_sent_again_after_a_lost_acknowledgement_counts_once(shared: Server) -> None:
    """The same id gets the same version with `duplicate`."""
    first = Participant(shared, "twice")
    message = {"type": "answer", "id": "same", "step": "Q1", "value": 1}
    first.send(message)
    assert first.receive()["duplicate"] is False
    first.ws.close()
    second = Participant(shared, "twice")
    second.send(message)
    again = second.receive()
    assert (again["type"], again["version"], again["duplicate"]) == ("ack", 2, True)
    second.send({**message, "value": 2})
    assert (second.receive()["type"], second.state["version"]) == ("error", 2)


def test_other_connections_of_the_session_are_told(shared: Server) -> None:
    """A change is a `sync` for the other connection, in the same process."""
    one, two = Participant(shared, "tabs"), Participant(shared, "tabs")
    one.answer("Q1", 2)
    news = two.receive()
    assert (news["type"], news["version"], news["session"]["answers"]) == ("sync", 2, {"Q1": 2})


def test_draft_is_saved_when_the_connection_ends_and_by_a_stop(server: Server) -> None:
    """The half-typed answer is there again; a graceful stop closes with 1001 and saves it too."""
    one = Participant(server, "drafts", "intake")
    one.send({"type": "draft", "step": "S1", "value": "half"})
    one.ws.close()
    wait_for(lambda: Participant(server, "drafts", "intake").state["session"]["draft"] == "half", "no draft")
    two = Participant(server, "stopped", "intake")
    two.send({"type": "draft", "step": "S1", "value": "typed"})
    two.send({"type": "ping"})
    two.receive()
    assert server.terminate() == 0, server.log
    assert closed_with(two) == 1001
    server.start()
    assert Participant(server, "stopped", "intake").state["session"]["draft"] == "typed"


def test_erasure_closes_the_sockets_of_the_session_and_another_one_begins(shared: Server) -> None:
    """Nothing of the erased one is shown again; who connects again begins at version 1."""
    one = Participant(shared, "erased", "intake")
    one.answer("S1", None)
    one.send({"type": "draft", "step": "S2", "value": "198"})
    url = f"{shared.url}/api/session/erased?survey=intake"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()
    assert closed_with(one) == 1001
    again = Participant(shared, "erased", "intake").state
    assert (again["resumed"], again["version"], again["session"]["draft"]) == (False, 1, None)


@pytest.mark.parametrize("kind", KINDS)
def test_draft_is_saved_while_the_connection_stays(kind: str, servers: Servers, tmp_path: Path) -> None:
    """A changed draft is written after the interval, and a killed server has it."""
    with running_server(kind, servers, tmp_path, STEPKEEP_DRAFT_INTERVAL_S="0.5") as server:
        one = Participant(server, "u", "intake")
        one.send({"type": "draft", "step": "S1", "value": "half"})
        url = f"{server.url}/api/session/u?survey=intake"
        wait_for(lambda: json.load(urllib.request.urlopen(url))["session"]["draft"] == "half", "not saved")
        server.restart()
        assert Participant(server, "u", "intake").state["session"]["draft"] == "half"


def test_what_was_acknowledged_survives_sigkill(server: Server) -> None:
    """The server is killed half-way; the session goes on where it was."""
    one = Participant(server, "killed")
    for number in range(1, 5):
        ack = one.answer(f"Q{number}", 2)
    server.restart()
    state = Participant(server, "killed").state
    assert state["resumed"] is True
    assert state["session"] == ack["session"]


BAD = {
    "not JSON": ("{", "malformed"),
    "not an object": ("[1]", "malformed"),
    "no type": ('{"id":"x"}', "malformed"),
    "unknown type": ('{"type":"dance","id":"x"}', "unknown_type"),
    "no id": ('{"type":"back"}', "malformed"),
    "long id": (json.dumps({"type": "back", "id": "x" * 65}), "malformed"),
    "wrong field": ('{"type":"mode","id":"x","audio":"yes"}', "malformed"),
    "NaN": ('{"type":"answer","id":"x","step":"Q1","value":NaN}', "malformed"),
    "lone surrogate": ('{"type":"answer","id":"x","step":"Q1","value":"\\ud800"}', "malformed"),
    "NUL": ('{"type":"answer","id":"x","step":"Q1","value":"\\u0000"}', "malformed"),
    "400 digits": ('{"type":"answer","id":"x","step":"Q1","value":' + "1" * 400 + "}", "malformed"),
    "10,000 brackets": ("[" * 10_000, "malformed"),
    "duplicate key": ('{"type":"back","id":"x","id":"y"}', "malformed"),
    "binary frame": (b'{"type":"back","id":"x"}', "malformed"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_frame_gets_an_error_and_the_connection_goes_on(shared: Server, name: str) -> None:
    """The protocol's answer, nothing saved, and the next command works."""
    frame, code = BAD[name]
    participant = Participant(shared, f"bad-{name.replace(' ', '-').replace(',', '')}")
    participant.ws.send(frame)
    answer = participant.receive()
    assert (answer["type"], answer["code"]) == ("error", code)
    assert participant.answer("Q1", 1)["version"] == 2


def test_wrong_value_of_many_kinds_is_rejected_and_not_saved(shared: Server) -> None:
    """Whatever the value, an answer is a reject or an acknowledgement of exactly an option."""
    participant = Participant(shared, "values")
    for value in ("0", True, False, [], {}, [0], 0.5, -1, 1e300, "", " ", {"value": 0}):
        assert participant.answer("Q1", value)["type"] == "reject"
    assert participant.answer("Q1", 0)["version"] == 2


@pytest.mark.parametrize("frame", ["x" * (64 * 1024 + 1), "é" * (32 * 1024 + 1)])
def test_message_over_64_kib_closes_with_1009(shared: Server, frame: str) -> None:
    """Counted in bytes, not in characters."""
    participant = Participant(shared, f"big-{len(frame)}")
    participant.ws.send(frame)
    assert closed_with(participant) == 1009


def test_bytes_that_are_not_utf_8_close_the_connection(shared: Server) -> None:
    """RFC 6455, 8.1: 1007; and the server goes on."""
    participant = Participant(shared, "bytes")
    participant.ws.send(b"\xff\xfe", text=True)
    assert closed_with(participant) == 1007
    assert Participant(shared, "bytes").state["version"] == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [("a%2Fb?survey=phq9", 4400), ("a%00b?survey=phq9", 4400), ("u?survey=none", 4404), ("u", 4404)],
)
def test_connection_that_can_not_be_is_closed_with_its_code(shared: Server, path: str, code: int) -> None:
    """A user id outside the rule, and a survey that isn't there."""
    with connect(f"{shared.ws_url}/ws/survey/{path}") as ws, pytest.raises(ConnectionClosed) as closed:
        for _ in range(3):
            ws.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


def test_foreign_origin_is_closed_with_4403(shared: Server) -> None:
    """A page of another host may not open the socket in a participant's browser."""
    url = f"{shared.ws_url}/ws/survey/u?survey=phq9"
    with connect(url, origin="https://evil.example") as ws, pytest.raises(ConnectionClosed) as closed:  # type: ignore[arg-type]
        ws.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


def test_repeated_malformed_messages_close_with_4400(shared: Server) -> None:
    """Twenty in a row are enough."""
    participant = Participant(shared, "broken")
    for _ in range(20):
        participant.ws.send("{")
    assert closed_with(participant) == 4400
