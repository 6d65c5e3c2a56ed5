"""The socket against a model, with faults between any two steps: two devices of one participant, the real server.

A machine of Hypothesis draws what the devices send and what befalls the connections, the SQLite file and the server.
Each device does as our clients do: it keeps what was not acknowledged, and sends it again in its order when it comes
back. The model knows no survey: it keeps what was acknowledged and at which version, and what REST says must fit.
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


class World:
    """The server, a way to it for each device that can be cut, and somebody who can lock its file."""

    def __init__(self, folder: Path) -> None:
        file = folder / "sessions.db"
        self.server = Server(
            folder, environment={"STEPKEEP_PENDING_AFTER_S": "0.1", "STEPKEEP_MALFORMED_LIMIT": "1000"}
        )
        self.server.start()
        self.proxies = [Proxy("127.0.0.1", self.server.port) for _ in range(2)]
        self.ways = [Server(folder, port=proxy.port) for proxy in self.proxies]
        self.outsider = sqlite3.connect(file, isolation_level=None, timeout=30)
        self.outsider.execute("PRAGMA wal_autocheckpoint=0")
        self.users = (f"user{number}" for number in count())

    def close(self) -> None:
        self.outsider.close()
        for proxy in self.proxies:
            proxy.close()
        self.server.stop()


class Device:
    """One connection after the other, with what our clients keep.

    Attributes:
        unanswered: commands that have neither ack nor reject, oldest first.
        acknowledged: versions by message id, in the order of the acks.
    """

    def __init__(self, world: World, number: int, user: str) -> None:
        self._proxy, self._way = world.proxies[number], world.ways[number]
        self._user = user
        self.unanswered: list[Message] = []
        self.acknowledged: dict[str, int] = {}
        self.synced: Message | None = None
        self._version = 0
        self._one: Participant | None = None

    @property
    def one(self) -> Participant:
        """The connection; a new one where there is none, on which everything unanswered was sent again."""
        if self._one is None:
            self._one = Participant(self._way, self._user)
            assert self._one.state["type"] == "state"
            # It may be an older version than was heard of: but never than was acknowledged.
            assert self._one.state["version"] >= max(self.acknowledged.values(), default=0)
            self._version = self._one.state["version"]
            for message in list(self.unanswered):
                self._one.send(message)
                self.hear(message["id"])
        return self._one

    def do(self, message: Message) -> None:
        """Send a command, and hear that it is acknowledged, refused, or pending."""
        one = self.one
        self.unanswered.append(message)
        one.send(message)
        self.hear(message["id"])

    def do_and_lose(self, message: Message) -> None:
        """Send a command, and lose the connection before any answer."""
        one = self.one
        self.unanswered.append(message)
        one.send(message)
        self.reset()

    def again(self, message: Message) -> None:
        """Send a command of earlier, of this device or the other; it has its version and keeps it."""
        self.one.send(message)
        self.hear(message["id"])

    def hear(self, message_id: str) -> None:
        """Receive until there is an answer to this command."""
        while True:
            message = self.receive()
            if message.get("id") == message_id:
                assert message["type"] in {"ack", "reject", "pending"}
                return

    def hear_all(self) -> None:
        """Receive until nothing is unanswered."""
        while self.unanswered:
            self.one  # noqa: B018 - which connects
            if self.unanswered:
                self.receive()

    def request(self, frame: str, kind: str) -> None:
        """Send something that is no command, and receive until its answer."""
        self.one.ws.send(frame)
        while self.receive()["type"] != kind:
            pass

    def receive(self) -> Message:
        message = self.one.receive()
        kind, message_id = message["type"], str(message.get("id"))
        if kind == "ack":
            self._note_ack(message_id, message)
        elif kind == "reject":
            assert message_id not in self.acknowledged
            # Out of turn, where others are pending and the answer does not fit its question whatever comes of them.
            self.unanswered = [kept for kept in self.unanswered if kept["id"] != message_id]
        elif kind == "sync":
            assert message["version"] > self._version
            self._version, self.synced = message["version"], message
        return message

    def _note_ack(self, message_id: str, ack: Message) -> None:
        version = ack["version"]
        assert self.acknowledged.get(message_id, version) == version
        if message_id in [kept["id"] for kept in self.unanswered]:
            assert self.unanswered.pop(0)["id"] == message_id, "acknowledged past an earlier one"
            assert version > max(self.acknowledged.values(), default=0), "acknowledged out of the order of sending"
            self.acknowledged[message_id] = version
        self._version = max(self._version, version)

    def close(self) -> None:
        if self._one is not None:
            self._one.ws.close()
            self._one = None

    def reset(self) -> None:
        """Cut the connection as a machine does that is gone, and forget it."""
        self._proxy.cut_all()
        self.close()


class SocketMachine(RuleBasedStateMachine):
    """Two devices of a new participant, the world, and the model."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.user = next(world.users)
        self.ids = count()
        self.devices = [Device(world, number, self.user) for number in range(2)]
        self.sent: dict[str, Message] = {}
        self.is_locked = False
        self.was_killed = False
        for device in self.devices:
            device.one  # noqa: B018 - which connects
        wait_for(self.is_shown_as_stored, "the session was not begun")  # the server may have the last lock to get over

    # ------------------------------------------------------------------- what the devices do

    @rule(number=DEVICE, command=COMMANDS)
    def do(self, number: int, command: Message) -> None:
        """Answer, edit, go back or elsewhere, switch the mode, restart."""
        self.devices[number].do(self.made(command))

    @rule(number=DEVICE, command=COMMANDS)
    def do_and_lose(self, number: int, command: Message) -> None:
        """The same, and the connection is gone before the answer."""
        self.devices[number].do_and_lose(self.made(command))

    @rule(number=DEVICE, data=st.data())
    def again(self, number: int, data: st.DataObject) -> None:
        """A command that was acknowledged long ago is sent again, by this device or the other."""
        number_of = data.draw(st.integers(0, 30))
        known = [id_ for id_ in self.sent if id_ in self.acknowledged()]
        if known:
            self.devices[number].again(self.sent[known[number_of % len(known)]])

    @rule(number=DEVICE, step=STEPS, value=VALUES)
    def draft(self, number: int, step: str, value: object) -> None:
        """Half an answer is typed; nothing is answered to that."""
        self.devices[number].one.send({"type": "draft", "step": step, "value": value})

    @rule(number=DEVICE)
    def ping(self, number: int) -> None:
        """The connection is tried."""
        self.devices[number].request('{"type":"ping"}', "pong")

    @rule(number=DEVICE, frame=MALFORMED)
    def malformed(self, number: int, frame: str) -> None:
        """No message of ours; the connection goes on."""
        self.devices[number].request(frame, "error")

    @rule(number=DEVICE)
    def close(self, number: int) -> None:
        """A tab is closed."""
        self.devices[number].close()

    # ------------------------------------------------------------------- what befalls them

    @rule(number=DEVICE)
    def reset(self, number: int) -> None:
        """The network is gone."""
        self.devices[number].reset()

    @precondition(lambda self: not self.is_locked)
    @rule()
    def lock(self) -> None:
        """Somebody else writes into the file, for long."""
        self.world.outsider.execute("BEGIN IMMEDIATE")
        self.is_locked = True

    @precondition(lambda self: self.is_locked)
    @rule()
    def unlock(self) -> None:
        """He is done: what was pending is answered."""
        self.world.outsider.execute("ROLLBACK")
        self.is_locked = False

    @precondition(lambda self: not self.was_killed)
    @rule(chance=st.integers(0, 3))
    def kill(self, chance: int) -> None:
        """The server is killed, with all that was only accepted, and started again; once a life, and not in each."""
        if chance == 0:
            self.was_killed = True
            self.world.server.kill()
            for device in self.devices:
                device.reset()
            if self.is_locked:
                self.unlock()
            self.world.server.start()

    # ------------------------------------------------------------------- what holds

    @invariant()
    def all_holds(self) -> None:
        """Each acknowledged command is in history once, at its version; the fold is the row, and what was shown."""
        if not self.is_locked:
            for device in self.devices:
                device.hear_all()
        # The row first: what is committed between the two is history that the row did not have.
        row = self.get("")
        entries = self.get("/history", limit=500)["events"]
        versions = [entry["version"] for entry in entries]
        assert versions == list(range(1, len(versions) + 1))
        assert len(versions) >= row["session"]["version"]
        assert self.get("", at_version=row["session"]["version"])["session"] == row["session"]
        found = [(entry["message_id"], entry["version"]) for entry in entries if entry["message_id"] is not None]
        assert len(dict(found)) == len(found)
        assert self.acknowledged().items() <= dict(found).items()
        self.check_shown()

    def check_shown(self) -> None:
        """What a device was told of the other's change is the fold at that version."""
        for device in self.devices:
            if device.synced is not None:
                folded = self.get("", at_version=device.synced["version"])["session"]
                shown = device.synced["session"]
                assert {name: folded[name] for name in shown} == shown
                device.synced = None

    def teardown(self) -> None:
        try:
            if self.is_locked:
                self.unlock()
            self.all_holds()
            for device in self.devices:
                device.close()  # saves its draft
            wait_for(self.is_shown_as_stored, "what a new connection is shown is not what is stored")
        finally:
            for device in self.devices:
                device.reset()

    def is_shown_as_stored(self) -> bool:
        """Return whether a new connection is shown the row."""
        with contextlib.suppress(urllib.error.HTTPError):  # it is to be stored yet
            one = Participant(self.world.server, self.user)
            with contextlib.closing(one.ws):
                state, row = one.state, self.get("")["session"]
            return bool(state["version"] == row["version"] and state["session"].items() <= row.items())
        return False

    def made(self, command: Message) -> Message:
        message = {**command, "id": f"m{next(self.ids)}"}
        self.sent[message["id"]] = message
        return message

    def acknowledged(self) -> dict[str, int]:
        return {**self.devices[0].acknowledged, **self.devices[1].acknowledged}

    def get(self, what: str, **arguments: int) -> Any:
        query = "".join(f"&{name}={value}" for name, value in arguments.items())
        with urllib.request.urlopen(f"{self.world.server.url}/api/session/{self.user}{what}?survey=phq9{query}") as got:
            return json.load(got)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One server for all lives of the machine."""
    with contextlib.closing(World(tmp_path)) as made:
        yield made


def test_two_devices_lose_nothing_that_was_acknowledged_through_any_faults(world: World) -> None:
    """Cut connections, a locked file and a killed server between any two messages of two devices."""
    run_state_machine_as_test(
        lambda: SocketMachine(world),  # type: ignore[arg-type]  # what makes one serves as well
        settings=examples(16, stateful_step_count=25),
    )
