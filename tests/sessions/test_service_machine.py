"""The store against a model, with faults between any two steps: acknowledged commands stay stored exactly once.

A Hypothesis state machine draws commands of participants and faults of the SQLite file and the process. The model does
not know the survey: it records acknowledged commands with their versions, and the order of accepted turns.
"""

import contextlib
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.catalogue import Catalogue, read_catalogue
from app.errors import DatabaseUnavailable, MessageIdReused, SessionUnreadable, Unavailable
from app.sessions import turns
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.drivers import sqlite
from app.survey import commands
from app.survey.commands import AnyCommand
from app.survey.events import from_record
from app.survey.snapshot import SessionKey, Snapshot
from app.survey.state import fold
from app.writer import pending
from app.writer.batch import Committed, Result
from app.writer.pending import Queued
from tests.conftest import SURVEYS, examples
from tests.databases import create_sqlite
from tests.durability.exactly_once import NO_LIMIT
from tests.streams import submit_or_queue

BUSY_MS = 10
SETTLED_S = 30
KEYS = [SessionKey("phq9", "one"), SessionKey("phq9", "two")]
LATE = SessionKey("phq9", "late")
"""A participant who may start while the file is locked."""

MakeCommand = partial[Any]
"""Makes a command from a time and a message id."""

STEPS = st.sampled_from(["Q1", "Q1", "Q2", "Q3", "nowhere"])
VALUES = st.sampled_from([0, 1, 2, 3, 17, None, "x"])


@st.composite
def command_makers(draw: st.DrawFn) -> MakeCommand:
    """Draw a participant's command, mostly a valid one; answers to earlier steps are edits."""
    step, value, is_audio = draw(STEPS), draw(VALUES), draw(st.booleans())
    kinds: list[MakeCommand] = [
        partial(commands.Answer, step=step, value=value),
        partial(commands.Answer, step=step, value=1),
        partial(commands.Back),
        partial(commands.Goto, step=step),
        partial(commands.SetMode, is_audio_mode=is_audio),
        partial(commands.Restart),
        partial(commands.Draft, step=step, value=value),
    ]
    return draw(st.sampled_from(kinds))


class Model:
    """The commands that the store must have."""

    def __init__(self) -> None:
        self.acknowledged: dict[tuple[SessionKey, str], int] = {}
        self.accepted: dict[SessionKey, list[str]] = defaultdict(list)
        self.settled: dict[SessionKey, list[str]] = defaultdict(list)
        self._mutex = threading.Lock()

    def record(self, key: SessionKey, command: AnyCommand, result: object) -> None:
        """Record a command's result: an acknowledgement has one version and is never revoked."""
        if command.message_id is None:
            return
        name = key, command.message_id
        with self._mutex:
            if isinstance(result, Committed):
                assert result.duplicate or name not in self.acknowledged
                assert self.acknowledged.setdefault(name, result.version) == result.version
            elif not isinstance(result, Exception):
                assert name not in self.acknowledged, "rejected an acknowledged command"

    def accept(self, key: SessionKey, command: AnyCommand) -> None:
        if command.message_id is not None:
            self.accepted[key].append(command.message_id)

    def settle(self, key: SessionKey, command: AnyCommand, result: Result | Exception) -> None:
        """Record the result of an accepted turn; called from the store's thread."""
        if command.message_id is not None:
            self.settled[key].append(command.message_id)
        self.record(key, command, result)

    def check_settled(self) -> None:
        """Check that each accepted turn has a result, in the order of acceptance."""
        for key, accepted in self.accepted.items():
            assert list(dict.fromkeys(self.settled[key])) == list(dict.fromkeys(accepted))
        self.forget()

    def forget(self) -> None:
        """Forget turns that were accepted but not acknowledged: they may be lost with the process."""
        self.accepted.clear()
        self.settled.clear()

    def set_aside(self, key: SessionKey) -> dict[str, int]:
        """Let the session start again; return the acknowledged messages of the old one."""
        old = {id_: version for (owner, id_), version in self.acknowledged.items() if owner == key}
        for id_ in old:
            del self.acknowledged[key, id_]
        return old


class Connection:
    """A participant's connection, as the store sees it (``sessions.subscribers.Subscriber``)."""

    def __init__(self) -> None:
        self.stored: Snapshot | None = None

    def publish(self, snapshot: Snapshot) -> None:
        if self.stored is None or snapshot.state.version >= self.stored.state.version:
            self.stored = snapshot

    def drop(self) -> None:
        self.stored = None


class StoreMachine(RuleBasedStateMachine):
    """Two stores on one file, a foreign connection that locks it, and the model."""

    def __init__(self, files: Iterator[Path], settings: Settings, catalogue: Catalogue) -> None:
        super().__init__()
        file = next(files)
        self.catalogue = catalogue
        self.settings = settings.model_copy(update={"database_url": f"sqlite:///{file}"})
        self.model = Model()
        self.clock = partial(next, count(1_000_000))
        self.ids = count()
        self.is_locked = False
        self.sent: list[tuple[SessionKey, AnyCommand]] = []
        self.connections: dict[SessionKey, Connection] = {}
        self.entered: set[SessionKey] = set()
        self.unreadable: set[SessionKey] = set()
        self.store, self.other = self.open_store(), self.open_store()
        self.locker: Any = sqlite.driver().connect(file, isolation_level=None, timeout=SETTLED_S)
        self.locker.execute("PRAGMA wal_autocheckpoint=0")
        for key in KEYS:
            self.enter(key)

    def open_store(self) -> SessionStore:
        store = SessionStore(self.settings, self.catalogue, self.clock)
        store._key_filter._try_to_fill()  # not `fill`, which retries until the end of a lock that this thread holds
        return store

    # ------------------------------------------------------------------- commands

    @rule(key=st.sampled_from([*KEYS, LATE]))
    def enter(self, key: SessionKey) -> None:
        """Connect, again or for the first time: a stored session is shown, an unreadable one set aside."""
        connection = Connection()
        callback = partial(self.settle, connection, key, commands.Begin(at=1))
        was_waiting = self.store.turns.pending.holds(key)
        try:
            snapshot, version, resumed = self.store.turns.join(
                key, is_audio_mode=False, subscriber=connection, callback=callback
            )
        except Unavailable:
            assert self.is_locked
            return
        if version == snapshot.state.version:
            connection.publish(snapshot)
        if key in self.connections:
            self.store.subscribers.unsubscribe(key, self.connections[key])
        self.store.subscribers.subscribe(key, connection)
        self.connections[key] = connection
        self.entered.add(key)
        if key in self.unreadable and not self.is_locked and not was_waiting:
            assert not resumed
            self.check_set_aside(key)

    @rule(key=st.sampled_from(KEYS), maker=command_makers())
    def submit(self, key: SessionKey, maker: MakeCommand) -> None:
        """A command through the Python API or REST."""
        self.submit_to(self.store, key, self.make(key, maker))

    @rule(key=st.sampled_from([*KEYS, LATE]), maker=command_makers())
    def submit_or_accept(self, key: SessionKey, maker: MakeCommand) -> None:
        """A participant's command over the WebSocket."""
        if key in self.connections:
            self.send(key, self.make(key, maker))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), is_participant=st.booleans())
    def resubmit(self, data: st.DataObject, is_participant: bool) -> None:
        """An earlier command, sent again."""
        key, command = data.draw(st.sampled_from(self.sent))
        if is_participant and key in self.connections:
            self.send(key, command)
        else:
            self.submit_to(self.store, key, command)

    @rule(turns=st.lists(st.tuples(st.sampled_from(KEYS), command_makers()), min_size=1, max_size=4))
    def submit_many(self, turns: list[tuple[SessionKey, MakeCommand]]) -> None:
        """Several commands together; each has its own result."""
        batch = [(key, self.make(key, maker)) for key, maker in turns]
        for (key, command), result in zip(batch, self.store.turns.submit_many(batch), strict=True):
            if isinstance(result, Exception):
                self.check_failure(key, result)
            self.model.record(key, command, result)

    @rule(key=st.sampled_from(KEYS), maker=command_makers())
    def submit_elsewhere(self, key: SessionKey, maker: MakeCommand) -> None:
        """A command from another process."""
        self.submit_to(self.other, key, self.make(key, maker))

    # ------------------------------------------------------------------- faults

    @precondition(lambda self: not self.is_locked)
    @rule()
    def lock(self) -> None:
        """Another connection begins a long transaction."""
        self.locker.execute("BEGIN IMMEDIATE")
        self.is_locked = True

    @precondition(lambda self: self.is_locked)
    @rule()
    def unlock(self) -> None:
        """The other connection ends its transaction."""
        self.locker.execute("ROLLBACK")
        self.is_locked = False

    @rule()
    def lose_connection(self) -> None:
        """The writer's connection is closed, which the writer does not know."""
        with self.store._connection._in_use:
            if self.store._connection._connection is not None:
                self.store._connection._driver().close()

    @rule()
    def lose_process(self) -> None:
        """The process ends and another starts: unacknowledged turns may be lost."""
        self.store.close()
        self.model.forget()
        self.connections.clear()
        self.store = self.open_store()
        for key in KEYS:
            self.enter(key)

    @precondition(lambda self: not self.is_locked)
    @rule(key=st.sampled_from(KEYS))
    def corrupt(self, key: SessionKey) -> None:
        """A row becomes unreadable."""
        query = "UPDATE sessions SET answers = '{oops' WHERE user_id = ? AND survey_id = ?"
        self.locker.execute(query, (key.user_id, key.survey_id))
        self.unreadable.add(key)

    # ------------------------------------------------------------------- invariants

    @invariant()
    def check_all(self) -> None:
        """Each acknowledged command is in history once, at its version; replaying history gives the row."""
        if not self.is_locked:
            assert self.store.drain(SETTLED_S)
            self.model.check_settled()
        for key in self.entered:
            if key not in self.unreadable:
                self.check(key)

    def teardown(self) -> None:
        if self.is_locked:
            self.unlock()
        try:
            self.check_all()
        finally:
            self.locker.close()
            self.store.close()
            self.other.close()

    def check(self, key: SessionKey) -> None:
        snapshot = self.store.queries.load(key)
        if snapshot is None:
            assert key == LATE
            assert not [id_ for owner, id_ in self.model.acknowledged if owner == key]
            return
        entries = self.store.queries.history(key, limit=NO_LIMIT)
        assert [entry.version for entry in entries] == list(range(1, snapshot.state.version + 1))
        assert fold(from_record(entry.record) for entry in entries) == snapshot.state
        messages = [(entry.message_id, entry.version) for entry in entries if entry.message_id is not None]
        assert len(dict(messages)) == len(messages)
        acknowledged = {id_: version for (owner, id_), version in self.model.acknowledged.items() if owner == key}
        assert acknowledged.items() <= dict(messages).items()

    def check_set_aside(self, key: SessionKey) -> None:
        """Check that the renamed session still has the acknowledged turns."""
        self.unreadable.remove(key)
        query = "SELECT message_id, version FROM session_history WHERE user_id LIKE ? || '~set-aside-%'"
        messages = self.locker.execute(query, (key.user_id,)).fetchall()
        assert self.model.set_aside(key).items() <= set(messages)

    # ------------------------------------------------------------------- submission of commands

    def make(self, key: SessionKey, maker: MakeCommand) -> AnyCommand:
        number = next(self.ids)
        command: AnyCommand = maker(at=self.clock(), message_id=None if maker.func is commands.Draft else f"m{number}")
        self.sent.append((key, command))
        return command

    def submit_to(self, store: SessionStore, key: SessionKey, command: AnyCommand) -> None:
        try:
            self.model.record(key, command, store.turns.submit(key, command))
        except (DatabaseUnavailable, SessionUnreadable) as error:
            self.check_failure(key, error)

    def send(self, key: SessionKey, command: AnyCommand) -> None:
        """Submit a participant's command as their connection does."""
        connection = self.connections[key]
        callback = partial(self.settle, connection, key, command)
        self.model.accept(key, command)
        try:
            result = submit_or_queue(self.store, key, command, connection, callback)
        except SessionUnreadable as error:
            self.check_failure(key, error)
        else:
            if isinstance(result, Queued):
                return
            self.model.record(key, command, result)
            if result.snapshot is not None:
                connection.publish(result.snapshot)
        if command.message_id is not None:
            self.model.accepted[key].pop()

    def settle(self, connection: Connection, key: SessionKey, command: AnyCommand, result: Result | Exception) -> None:
        """Handle the result of an accepted turn as its connection does."""
        if not isinstance(result, Exception) and result.snapshot is not None:
            connection.publish(result.snapshot)
        self.model.settle(key, command, result)

    def check_failure(self, key: SessionKey, error: Exception) -> None:
        """Check that the failure has a cause: a locked file or an unreadable row."""
        assert not isinstance(error, MessageIdReused)
        if isinstance(error, Unavailable):
            assert self.is_locked
        else:
            assert key in self.unreadable


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all waits to milliseconds."""
    for function in (sqlite.writer_engine, sqlite.begin_writing):
        monkeypatch.setattr(function, "__defaults__", (BUSY_MS, *(function.__defaults__ or ())[1:]))
    monkeypatch.setattr(pending, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(pending, "MAX_DELAY_S", 0.01)
    monkeypatch.setattr(turns, "READ_RETRY_S", 0.0)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """New databases at the newest schema."""
    template = tmp_path / "template.db"
    settings = Settings(database_url=create_sqlite(template), surveys_dir=SURVEYS)
    with contextlib.closing(SessionStore(settings, read_catalogue(settings))) as store:
        store.initialise()
    return (Path(shutil.copy(template, tmp_path / f"{number}.db")) for number in count())


def test_acknowledged_commands_stay_stored_through_any_faults(quick: None, files: Iterator[Path]) -> None:
    """Locks, lost connections, damaged rows and lost processes between any two commands of three participants."""
    settings = Settings(surveys_dir=SURVEYS, pending_after_s=0.05, retry_delay_s=0.0, retry_attempts=2)
    catalogue = read_catalogue(settings)
    run_state_machine_as_test(
        lambda: StoreMachine(files, settings, catalogue),  # type: ignore[arg-type]  # a factory serves as well
        settings=examples(25, stateful_step_count=30),
    )
