"""One participant's socket, without a network: the order of what it does with messages, results and the end."""

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from app.access import Developer
from app.errors import DatabaseUnavailable, Unauthorized
from app.sessions.service import open_store
from app.settings import Settings
from app.survey.commands import Answer, AnyCommand, Draft
from app.survey.snapshot import SessionKey
from app.web.authentication import Authenticator
from app.web.rate_limits import MessageBudget
from app.web.security_log import SecurityLog, Source
from app.web.ws.session_socket import Client, SessionSocket
from app.writer.batch import Committed
from app.writer.pending import Queued
from tests.conftest import SURVEYS
from tests.databases import create_sqlite

KEY = SessionKey("phq9", "ada")


class Loop:
    """Runs calls when the test asks for it."""

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()

    def call(self, function: Callable[..., None], *arguments: object) -> None:
        self.calls.append(partial(function, *arguments))

    def run(self) -> None:
        while self.calls:
            self.calls.popleft()()


class Peer:
    """A WebSocket whose client is the test."""

    has_unread = False

    def __init__(self) -> None:
        self.loop = Loop()
        self.sent: list[dict[str, Any]] = []
        self.code: int | None = None
        self.is_paused = False
        self.socket: SessionSocket | None = None

    def serve(self, socket: SessionSocket) -> None:
        self.socket = socket

    def send(self, text: str) -> None:
        if self.code is None:
            self.sent.append(json.loads(text))

    def end(self, code: int, _reason: str) -> None:
        if self.code is None:
            self.code = code
            assert self.socket is not None
            self.socket.on_end()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False


class Commands:
    """A stream that answers when the test says so."""

    def __init__(self) -> None:
        self.submitted: list[tuple[AnyCommand, Callable[[Any], None]]] = []

    def submit(self, _key: SessionKey, command: AnyCommand, _socket: object, callback: Callable[[Any], None]) -> None:
        self.submitted.append((command, callback))


class Participant:
    """A socket with its peer, its stream and its store."""

    def __init__(self, settings: Settings, **changes: Any) -> None:
        store = open_store(Settings.model_validate({**settings.model_dump(), **changes, "environment": "development"}))
        self.context = SimpleNamespace(
            store=store, authenticator=Authenticator(store), security_log=SecurityLog(), commands=Commands()
        )
        self.peer, self.commands, self.slots = Peer(), self.context.commands, ExitStack()
        self.released = threading.Event()
        self.slots.callback(self.released.set)
        self.waiting: deque[str | bytes] = deque()
        budget = MessageBudget(self.context.authenticator.limits, store.settings, "p", "a", counts_bytes=False)
        client = Client(KEY, Developer(), budget, Source("", "", None, "", ""), self.slots, self.waiting)
        self.socket = SessionSocket(self.peer, self.context, client)  # type: ignore[arg-type]

    def join(self) -> None:
        self.socket.join(is_audio_mode=False)
        self.peer.loop.run()

    def receive(self, message: dict[str, Any]) -> None:
        if self.socket.on_frame(True):
            self.socket.on_message(json.dumps(message))
        else:
            self.socket.on_limit()

    def answer(self, message_id: str) -> None:
        self.receive({"type": "answer", "id": message_id, "step": "Q1", "value": 1})

    def type(self, value: object) -> None:
        self.receive({"type": "draft", "step": "Q1", "value": value})

    def committed(self, command: AnyCommand) -> Committed:
        result = self.context.store.turns.submit(KEY, command)
        assert isinstance(result, Committed)
        return result


@pytest.fixture
def new_participant(tmp_path: Path) -> Iterator[Callable[..., Participant]]:
    """A function that returns a participant whose session has begun and is shown, with settings."""
    settings = Settings(database_url=create_sqlite(tmp_path / "x.db"), surveys_dir=SURVEYS)
    with ExitStack() as stack:

        def make(*, joins: bool = True, **changes: Any) -> Participant:
            participant = Participant(settings, **changes)
            stack.callback(participant.context.store.close)
            if joins:
                participant.join()
            return participant

        yield make


def test_commands_are_submitted_one_at_a_time(new_participant: Callable[..., Participant]) -> None:
    """The next when the last has its answer; pings between them are answered in order."""
    participant = new_participant()
    participant.answer("a")
    participant.receive({"type": "ping"})
    participant.answer("b")
    assert [command.message_id for command, _ in participant.commands.submitted] == ["a"]
    command, callback = participant.commands.submitted[0]
    callback(participant.committed(command))
    assert [message["type"] for message in participant.peer.sent] == ["state", "ack", "pong"]
    assert [command.message_id for command, _ in participant.commands.submitted] == ["a", "b"]


def test_late_ack_keeps_a_draft_that_was_typed_after_its_answer_was_pending(
    new_participant: Callable[..., Participant],
) -> None:
    """The answer replaced the draft before it, not the one of a participant who went back."""
    participant = new_participant()
    participant.answer("a")
    command, callback = participant.commands.submitted[0]
    result = participant.committed(command)
    callback(Queued(snapshot=result.snapshot, version=1))
    participant.type(3)
    callback(result)
    participant.socket.on_end()
    last, _ = participant.commands.submitted[-1]
    assert isinstance(last, Draft)
    assert last.value == 3


def test_draft_is_saved_before_the_slots_are_free(new_participant: Callable[..., Participant]) -> None:
    """So a server that stops waits for it."""
    participant = new_participant()
    participant.type(2)
    participant.socket.on_end()
    ((draft, callback),) = participant.commands.submitted
    assert not participant.released.is_set()
    callback(participant.committed(draft))
    assert participant.released.is_set()
    assert not participant.context.store.subscribers._by_key


def test_draft_that_a_busy_server_refused_is_kept(new_participant: Callable[..., Participant]) -> None:
    """And saved at the end."""
    participant = new_participant(draft_interval_s=0.001)
    participant.type(2)
    participant.socket.on_tick(monotonic() + 1, is_stopping=False)
    _, callback = participant.commands.submitted[0]
    callback(DatabaseUnavailable("slow"))
    participant.socket.on_end()
    assert [command.value for command, _ in participant.commands.submitted if isinstance(command, Draft)] == [2, 2]


def test_messages_up_to_the_limit_are_answered_before_the_close(new_participant: Callable[..., Participant]) -> None:
    """Else a client that sends its outbox again would make no progress."""
    participant = new_participant(message_burst=2, messages_per_second=0.001)
    for message_id in ("a", "b", "c"):
        participant.answer(message_id)
    while participant.peer.code is None:
        command, callback = participant.commands.submitted[-1]
        callback(participant.committed(command))
    assert [message["type"] for message in participant.peer.sent] == ["state", "ack", "ack", "error"]
    assert participant.peer.code == 4429


def test_too_many_control_frames_are_closed_with_1008(new_participant: Callable[..., Participant]) -> None:
    participant = new_participant(message_burst=2, messages_per_second=0.001)
    assert [participant.socket.on_frame(False) for _ in range(3)] == [True, True, False]
    participant.socket.on_limit()
    assert participant.peer.code == 1008


def test_messages_behind_a_first_frame_are_counted(new_participant: Callable[..., Participant]) -> None:
    participant = new_participant(joins=False, message_burst=2, messages_per_second=0.001)
    participant.waiting.extend('{"type":"ping"}' for _ in range(100))
    participant.join()
    assert [message["type"] for message in participant.peer.sent] == ["state", "pong", "pong", "error"]
    assert participant.peer.code == 4429


def test_unexpected_error_closes_the_socket_and_frees_its_slots(
    new_participant: Callable[..., Participant], caplog: pytest.LogCaptureFixture
) -> None:
    participant = new_participant()
    participant.answer("a")
    _, callback = participant.commands.submitted[0]
    with caplog.at_level(logging.ERROR):
        callback("not a result")
    assert participant.peer.code == 1011
    assert participant.released.is_set()
    assert "unexpected error" in caplog.text


def test_session_that_is_set_aside_is_shown_anew(new_participant: Callable[..., Participant], tmp_path: Path) -> None:
    """Its own setting aside is not taken for an erasure by somebody else."""
    participant = new_participant(joins=False)
    store = participant.context.store
    store.turns.get_or_create(KEY, is_audio_mode=False)
    store.run_transaction(lambda connection: connection.exec_driver_sql("UPDATE sessions SET answers = 'broken'"))
    participant.join()
    (state,) = participant.peer.sent
    assert (state["type"], state["resumed"], participant.peer.code) == ("state", False, None)
    participant.answer("a")
    command, callback = participant.commands.submitted[0]
    callback(participant.committed(command))
    assert participant.peer.sent[-1]["type"] == "ack"


def test_revoked_client_is_not_shown_others_changes(
    new_participant: Callable[..., Participant], monkeypatch: pytest.MonkeyPatch
) -> None:
    participant = new_participant()
    result = participant.committed(Answer(at=participant.context.store.clock(), message_id="x", step="Q1", value=1))
    monkeypatch.setattr(type(participant.context.authenticator), "is_still_valid", lambda _self, _principal: False)
    participant.socket.publish(result.snapshot)
    participant.peer.loop.run()
    assert [message["type"] for message in participant.peer.sent] == ["state", "error"]
    assert participant.peer.code == 4401


def test_revoked_access_of_a_command_is_in_the_security_log(
    new_participant: Callable[..., Participant], caplog: pytest.LogCaptureFixture
) -> None:
    participant = new_participant()
    participant.answer("a")
    _, callback = participant.commands.submitted[0]
    with caplog.at_level(logging.WARNING, "stepkeep.security"):
        callback(Unauthorized())
    assert participant.peer.code == 4401
    assert "refused" in caplog.text


def test_client_that_never_stops_sending_is_closed_when_the_server_stops(
    new_participant: Callable[..., Participant],
) -> None:
    """After CLOSING_S; until then, what arrives is handled."""
    participant = new_participant()
    participant.peer.has_unread = True
    now = monotonic()
    participant.socket.on_tick(now, is_stopping=True)
    assert participant.peer.code is None
    participant.socket.on_tick(now + 2, is_stopping=True)
    assert participant.peer.code == 1001


def test_nothing_is_handled_after_messages_that_a_stop_has_dropped(
    new_participant: Callable[..., Participant],
) -> None:
    """The client sends them again, in order: what came after them must not be committed first."""
    participant = new_participant()
    participant.answer("a")
    participant.answer("b")  # waits for a's result, for too long
    now = monotonic()
    participant.socket.on_tick(now, is_stopping=True)
    participant.socket.on_tick(now + 2, is_stopping=True)
    command, callback = participant.commands.submitted[0]
    callback(participant.committed(command))
    assert participant.peer.is_paused
    participant.socket.on_tick(now + 3, is_stopping=True)
    assert participant.peer.code == 1001
    assert [command.message_id for command, _ in participant.commands.submitted] == ["a"]


def test_error_while_a_session_is_first_shown_frees_its_slots(
    new_participant: Callable[..., Participant], monkeypatch: pytest.MonkeyPatch
) -> None:
    participant = new_participant(joins=False)
    monkeypatch.setattr(SessionSocket, "_send_session", lambda *_arguments, **_fields: 1 / 0)
    participant.join()
    assert participant.peer.code == 1011
    assert participant.released.is_set()
