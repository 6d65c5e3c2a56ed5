"""The socket against a model, with faults between any two steps: two devices of one participant, the real server.

A Hypothesis state machine generates what the devices send and the faults of the connections, the SQLite file and the
server. Each device behaves as the clients do: it keeps unacknowledged commands, and resends them in order when it
reconnects. The model knows no survey: it keeps the acknowledged commands with their versions, and REST must agree.
"""

import contextlib
import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.conftest import Server, examples
from tests.proxy import Proxy
from tests.waiting import wait_for
from tests.web.conftest import Participant

STEPS = st.sampled_from(["Q1", "Q1", "Q2", "Q3", "nowhere"])
VALUES = st.sampled_from([0, 1, 2, 3, 17, None, "x"])
MALFORMED = st.sampled_from(
    ["", "{", "[]", "null", '{"type":"answer"}', '{"type":"nonsense","id":"n"}', '{"type":"back","id":""}',
     '{"type":"ping"', '{"type":"answer","id":"m","step":"Q1","value":NaN}']
)  # fmt: skip
COMMANDS = st.one_of(
    st.fixed_dictionaries({"type": st.just("answer"), "step": STEPS, "value": VALUES}),
    st.fixed_dictionaries({"type": st.just("answer"), "step": st.just("Q1"), "value": st.integers(0, 3)}),
    st.fixed_dictionaries({"type": st.just("goto"), "step": STEPS}),
    st.fixed_dictionaries({"type": st.just("mode"), "audio": st.booleans()}),
    st.sampled_from([{"type": "back"}, {"type": "restart"}]),
)
DEVICE = st.sampled_from([0, 1])

Message = dict[str, Any]


class System:
    """The server, a proxy to it for each device, and a second program that can lock its file."""

    def __init__(self, folder: Path) -> None:
        file = folder / "sessions.db"
        self.server = Server(
            folder, environment={"STEPKEEP_PENDING_AFTER_S": "0.1", "STEPKEEP_MALFORMED_LIMIT": "1000"}
        )
        self.server.start()
        self.proxies = [Proxy("127.0.0.1", self.server.port) for _ in range(2)]
        self.proxied = [Server(folder, port=proxy.port) for proxy in self.proxies]
        self.locker = sqlite3.connect(file, isolation_level=None, timeout=30)
        self.locker.execute("PRAGMA wal_autocheckpoint=0")
        self.users = (f"user{number}" for number in count())

    def close(self) -> None:
        self.locker.close()
        for proxy in self.proxies:
            proxy.close()
        self.server.stop()


class Device:
    """Consecutive connections of one client, with the state that the clients keep.

    Attributes:
        unanswered: commands with neither ack nor reject, oldest first.
        acknowledged: versions by message id, in the order of the acks.
    """

    def __init__(self, system: System, number: int, user: str) -> None:
        self._proxy, self._server = system.proxies[number], system.proxied[number]
        self._user = user
        self.unanswered: list[Message] = []
        self.acknowledged: dict[str, int] = {}
        self.synced: Message | None = None
        self._version = 0
        self._participant: Participant | None = None

    @property
    def participant(self) -> Participant:
        """The connection; a new one resends all unanswered commands first."""
        if self._participant is None:
            self._participant = Participant(self._server, self._user)
            assert self._participant.state["type"] == "state"
            # It may be older than the last sync, but not than an acknowledged version.
            assert self._participant.state["version"] >= max(self.acknowledged.values(), default=0)
            self._version = self._participant.state["version"]
            for message in list(self.unanswered):
                self._participant.send(message)
                self.receive_response(message["id"])
        return self._participant

    def do(self, message: Message) -> None:
        """Send a command, and receive its ack, reject or pending."""
        participant = self.participant
        self.unanswered.append(message)
        participant.send(message)
        self.receive_response(message["id"])

    def do_and_lose(self, message: Message) -> None:
        """Send a command, and lose the connection before the response."""
        participant = self.participant
        self.unanswered.append(message)
        participant.send(message)
        self.reset()

    def resend(self, message: Message) -> None:
        """Resend an earlier command of either device; it keeps its version."""
        self.participant.send(message)
        self.receive_response(message["id"])

    def receive_response(self, message_id: str) -> None:
        """Receive until the response to this command."""
        while True:
            message = self.receive()
            if message.get("id") == message_id:
                assert message["type"] in {"ack", "reject", "pending"}
                return

    def receive_responses(self) -> None:
        """Receive until nothing is unanswered."""
        while self.unanswered:
            self.participant  # noqa: B018 - it connects
            if self.unanswered:
                self.receive()

    def request(self, frame: str, kind: str) -> None:
        """Send a frame that is no command, and receive until its response."""
        self.participant.ws.send(frame)
        while self.receive()["type"] != kind:
            pass

    def receive(self) -> Message:
        message = self.participant.receive()
        kind, message_id = message["type"], str(message.get("id"))
        if kind == "ack":
            self._record_ack(message_id, message)
        elif kind == "reject":
            assert message_id not in self.acknowledged
            # Out of order: it may precede pending ones if the answer is invalid whatever they become.
            self.unanswered = [command for command in self.unanswered if command["id"] != message_id]
        elif kind == "sync":
            assert message["version"] > self._version
            self._version, self.synced = message["version"], message
        return message

    def _record_ack(self, message_id: str, ack: Message) -> None:
        version = ack["version"]
        assert self.acknowledged.get(message_id, version) == version
        if message_id in [command["id"] for command in self.unanswered]:
            assert self.unanswered.pop(0)["id"] == message_id, "acknowledged before an earlier command"
            assert version > max(self.acknowledged.values(), default=0), "acknowledged out of order"
            self.acknowledged[message_id] = version
        self._version = max(self._version, version)

    def close(self) -> None:
        if self._participant is not None:
            self._participant.ws.close()
            self._participant = None

    def reset(self) -> None:
        """Reset the connection, as when a machine vanishes, and forget it."""
        self._proxy.cut_all()
        self.close()


class SocketMachine(RuleBasedStateMachine):
    """Two devices of a new participant, the system, and the model."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system
        self.user = next(system.users)
        self.ids = count()
        self.devices = [Device(system, number, self.user) for number in range(2)]
        self.sent: dict[str, Message] = {}
        self.is_locked = False
        self.was_killed = False
        for device in self.devices:
            device.participant  # noqa: B018 - it connects
        # The server may still wait for the lock of the previous run.
        wait_for(self.is_shown_as_stored, "the session did not begin")

    # ------------------------------------------------------------------- commands

    @rule(number=DEVICE, command=COMMANDS)
    def do(self, number: int, command: Message) -> None:
        """Send a command."""
        self.devices[number].do(self.new_message(command))

    @rule(number=DEVICE, command=COMMANDS)
    def do_and_lose(self, number: int, command: Message) -> None:
        """Send a command and lose the connection before the response."""
        self.devices[number].do_and_lose(self.new_message(command))

    @rule(number=DEVICE, data=st.data())
    def resend(self, number: int, data: st.DataObject) -> None:
        """Resend an acknowledged command, from either device."""
        number_of = data.draw(st.integers(0, 30))
        known = [id_ for id_ in self.sent if id_ in self.acknowledged()]
        if known:
            self.devices[number].resend(self.sent[known[number_of % len(known)]])

    @rule(number=DEVICE, step=STEPS, value=VALUES)
    def draft(self, number: int, step: str, value: object) -> None:
        """Send a draft, which has no response."""
        self.devices[number].participant.send({"type": "draft", "step": step, "value": value})

    @rule(number=DEVICE)
    def ping(self, number: int) -> None:
        """Send a ping."""
        self.devices[number].request('{"type":"ping"}', "pong")

    @rule(number=DEVICE, frame=MALFORMED)
    def malformed(self, number: int, frame: str) -> None:
        """Send an invalid message; the connection stays open."""
        self.devices[number].request(frame, "error")

    @rule(number=DEVICE)
    def close(self, number: int) -> None:
        """Close the connection."""
        self.devices[number].close()

    # ------------------------------------------------------------------- faults

    @rule(number=DEVICE)
    def reset(self, number: int) -> None:
        """Reset the connection."""
        self.devices[number].reset()

    @precondition(lambda self: not self.is_locked)
    @rule()
    def lock(self) -> None:
        """Lock the file from another program."""
        self.system.locker.execute("BEGIN IMMEDIATE")
        self.is_locked = True

    @precondition(lambda self: self.is_locked)
    @rule()
    def unlock(self) -> None:
        """Unlock the file: pending commands get their response."""
        self.system.locker.execute("ROLLBACK")
        self.is_locked = False

    @precondition(lambda self: not self.was_killed)
    @rule(chance=st.integers(0, 3))
    def kill(self, chance: int) -> None:
        """Kill the server with its pending turns, and start it again; at most once a run."""
        if chance == 0:
            self.was_killed = True
            self.system.server.kill()
            for device in self.devices:
                device.reset()
            if self.is_locked:
                self.unlock()
            self.system.server.start()

    # ------------------------------------------------------------------- invariants

    @invariant()
    def check_history(self) -> None:
        """Each acknowledged command is in the history once, at its version, and the replay is the row and the shown state."""
        if not self.is_locked:
            for device in self.devices:
                device.receive_responses()
        # The row first: the history may then have later events, but never fewer.
        row = self.get("")
        entries = self.get("/history", limit=500)["events"]
        versions = [entry["version"] for entry in entries]
        assert versions == list(range(1, len(versions) + 1))
        assert len(versions) >= row["session"]["version"]
        assert self.get("", at_version=row["session"]["version"])["session"] == row["session"]
        stored = [(entry["message_id"], entry["version"]) for entry in entries if entry["message_id"] is not None]
        assert len(dict(stored)) == len(stored)
        assert self.acknowledged().items() <= dict(stored).items()
        self.check_shown()

    def check_shown(self) -> None:
        """A sync of the other device's change is the replay at its version."""
        for device in self.devices:
            if device.synced is not None:
                replayed = self.get("", at_version=device.synced["version"])["session"]
                shown = device.synced["session"]
                assert {name: replayed[name] for name in shown} == shown
                device.synced = None

    def teardown(self) -> None:
        try:
            if self.is_locked:
                self.unlock()
            self.check_history()
            for device in self.devices:
                device.close()  # saves its draft
            wait_for(self.is_shown_as_stored, "a new connection does not get the stored state")
        finally:
            for device in self.devices:
                device.reset()

    def is_shown_as_stored(self) -> bool:
        """Return whether a new connection receives the stored state."""
        with contextlib.suppress(urllib.error.HTTPError):  # not stored yet
            participant = Participant(self.system.server, self.user)
            with contextlib.closing(participant.ws):
                state, row = participant.state, self.get("")["session"]
            return bool(state["version"] == row["version"] and state["session"].items() <= row.items())
        return False

    def new_message(self, command: Message) -> Message:
        message = {**command, "id": f"m{next(self.ids)}"}
        self.sent[message["id"]] = message
        return message

    def acknowledged(self) -> dict[str, int]:
        return {**self.devices[0].acknowledged, **self.devices[1].acknowledged}

    def get(self, path: str, **arguments: int) -> Any:
        query = "".join(f"&{name}={value}" for name, value in arguments.items())
        with urllib.request.urlopen(
            f"{self.system.server.url}/api/session/{self.user}{path}?survey=phq9{query}"
        ) as response:
            return json.load(response)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """One server for all runs of the machine."""
    with contextlib.closing(System(tmp_path)) as system:
        yield system


def test_no_acknowledged_command_is_lost_through_any_faults(system: System) -> None:
    """With cut connections, a locked file and a killed server between any two messages of two devices."""
    run_state_machine_as_test(
        lambda: SocketMachine(system),  # type: ignore[arg-type]  # a factory serves as well
        settings=examples(16, stateful_step_count=25),
    )
