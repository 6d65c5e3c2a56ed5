"""The store against a model, with faults between any two steps: what was acknowledged is there once, for ever.

A machine of Hypothesis draws what participants do, and what befalls the SQLite file and the process. The model knows
no survey: it keeps what was acknowledged and at which version, and in which order turns were accepted.
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
from app.store.rows import parse_events
from app.survey import commands
from app.survey.commands import AnyCommand
from app.survey.snapshot import SessionKey, Snapshot
from app.survey.state import fold
from app.writer import pending
from app.writer.batch import Committed, Result
from app.writer.pending import Queued
from tests.conftest import SURVEYS, examples
from tests.databases import create_sqlite
from tests.durability.exactly_once import NO_LIMIT

BUSY_MS = 10
SETTLED_S = 30
KEYS = [SessionKey("phq9", "one"), SessionKey("phq9", "two")]
LATE = SessionKey("phq9", "late")
"""One who may come only while the file is locked."""

Make = partial[Any]
"""Makes a command of a time and a message id."""

STEPS = st.sampled_from(["Q1", "Q1", "Q2", "Q3", "nowhere"])
VALUES = st.sampled_from([0, 1, 2, 3, 17, None, "x"])


@st.composite
def makes(draw: st.DrawFn) -> Make:
    """Draw what a participant asks: mostly sensible; answers of steps that he passed are edits."""
    step, value, is_audio = draw(STEPS), draw(VALUES), draw(st.booleans())
    kinds: list[Make] = [
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
    """What must be in the store."""

    def __init__(self) -> None:
        self.acknowledged: dict[tuple[SessionKey, str], int] = {}
        self.accepted: dict[SessionKey, list[str]] = defaultdict(list)
        self.arrived: dict[SessionKey, list[str]] = defaultdict(list)
        self._mutex = threading.Lock()

    def note(self, key: SessionKey, command: AnyCommand, result: object) -> None:
        """Take note of what came of a command: an acknowledgement is for one version, and is never taken back."""
        if command.message_id is None:
            return
        name = key, command.message_id
        with self._mutex:
            if isinstance(result, Committed):
                assert result.duplicate or name not in self.acknowledged
                assert self.acknowledged.setdefault(name, result.version) == result.version
            elif not isinstance(result, Exception):
                assert name not in self.acknowledged, "refused what was acknowledged"

    def accept(self, key: SessionKey, command: AnyCommand) -> None:
        if command.message_id is not None:
            self.accepted[key].append(command.message_id)

    def verdict(self, key: SessionKey, command: AnyCommand, result: Result | Exception) -> None:
        """Take note of what came of an accepted turn; called from the store's thread."""
        if command.message_id is not None:
            self.arrived[key].append(command.message_id)
        self.note(key, command, result)

    def check_verdicts(self) -> None:
        """Each accepted turn had its verdict, in the order in which they were accepted."""
        for key, accepted in self.accepted.items():
            assert list(dict.fromkeys(self.arrived[key])) == list(dict.fromkeys(accepted))
        self.forget()

    def forget(self) -> None:
        """What was only accepted may be lost with the process."""
        self.accepted.clear()
        self.arrived.clear()

    def set_aside(self, key: SessionKey) -> dict[str, int]:
        """The session begins anew; return what was acknowledged of the old one."""
        old = {id_: version for (owner, id_), version in self.acknowledged.items() if owner == key}
        for id_ in old:
            del self.acknowledged[key, id_]
        return old


class Connection:
    """What a participant's connection is to the store (``sessions.subscribers.Subscriber``)."""

    def __init__(self) -> None:
        self.stored: Snapshot | None = None

    def publish(self, snapshot: Snapshot) -> None:
        if self.stored is None or snapshot.state.version >= self.stored.state.version:
            self.stored = snapshot

    def drop(self) -> None:
        self.stored = None


class StoreMachine(RuleBasedStateMachine):
    """Two stores on one file, a connection of somebody else's that locks it, and the model."""

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
        self.store, self.other = self.opened(), self.opened()
        self.outsider: Any = sqlite.driver().connect(file, isolation_level=None, timeout=SETTLED_S)
        self.outsider.execute("PRAGMA wal_autocheckpoint=0")
        for key in KEYS:
            self.enter(key)

    def opened(self) -> SessionStore:
        store = SessionStore(self.settings, self.catalogue, self.clock)
        store._key_filter.fill()
        return store

    # ------------------------------------------------------------------- what participants do

    @rule(key=st.sampled_from([*KEYS, LATE]))
    def enter(self, key: SessionKey) -> None:
        """Come (again): the session that is there is shown; one that can't be read is set aside."""
        connection = Connection()
        verdict = partial(self.settled, connection, key, commands.Begin(at=1))
        was_waiting = self.store.turns.pending.holds(key)
        try:
            found = self.store.turns.join(key, is_audio_mode=False, subscriber=connection, callback=verdict)
        except Unavailable:
            assert self.is_locked
            return
        snapshot, version, resumed = found
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

    @rule(key=st.sampled_from(KEYS), make=makes())
    def submit(self, key: SessionKey, make: Make) -> None:
        """An integrator's command, or REST's."""
        self.do(self.store, key, self.made(key, make))

    @rule(key=st.sampled_from([*KEYS, LATE]), make=makes())
    def submit_or_accept(self, key: SessionKey, make: Make) -> None:
        """A participant's command over the socket."""
        if key in self.connections:
            self.send(key, self.made(key, make))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), is_participant=st.booleans())
    def again(self, data: st.DataObject, is_participant: bool) -> None:
        """The same command again, of whatever time."""
        key, command = data.draw(st.sampled_from(self.sent))
        if is_participant and key in self.connections:
            self.send(key, command)
        else:
            self.do(self.store, key, command)

    @rule(turns=st.lists(st.tuples(st.sampled_from(KEYS), makes()), min_size=1, max_size=4))
    def submit_many(self, turns: list[tuple[SessionKey, Make]]) -> None:
        """Many at once: each has its own answer."""
        made = [(key, self.made(key, make)) for key, make in turns]
        for (key, command), result in zip(made, self.store.turns.submit_many(made), strict=True):
            if isinstance(result, Exception):
                self.check_failure(key, result)
            self.model.note(key, command, result)

    @rule(key=st.sampled_from(KEYS), make=makes())
    def another_process(self, key: SessionKey, make: Make) -> None:
        """A command beside the server, or another server."""
        self.do(self.other, key, self.made(key, make))

    # ------------------------------------------------------------------- what befalls the store

    @precondition(lambda self: not self.is_locked)
    @rule()
    def lock(self) -> None:
        """Somebody else writes, for long."""
        self.outsider.execute("BEGIN IMMEDIATE")
        self.is_locked = True

    @precondition(lambda self: self.is_locked)
    @rule()
    def unlock(self) -> None:
        """He is done."""
        self.outsider.execute("ROLLBACK")
        self.is_locked = False

    @rule()
    def lose_connection(self) -> None:
        """The writer's connection is gone, and it has not noticed."""
        with self.store._connection._in_use:
            if self.store._connection._connection is not None:  # whose next statement meets it
                self.store._connection._driver().close()

    @rule()
    def lose_process(self) -> None:
        """The process ends and another begins: what was only accepted may be lost."""
        self.store.close()
        self.model.forget()
        self.connections.clear()
        self.store = self.opened()
        for key in KEYS:
            self.enter(key)

    @precondition(lambda self: not self.is_locked)
    @rule(key=st.sampled_from(KEYS))
    def corrupt(self, key: SessionKey) -> None:
        """A row is damaged."""
        query = "UPDATE sessions SET answers = '{oops' WHERE user_id = ? AND survey_id = ?"
        self.outsider.execute(query, (key.user_id, key.survey_id))
        self.unreadable.add(key)

    # ------------------------------------------------------------------- what holds

    @invariant()
    def all_holds(self) -> None:
        """Each acknowledged command is in history once, at its version; the fold of it is the row."""
        if not self.is_locked:
            assert self.store.drain(SETTLED_S)
            self.model.check_verdicts()
        for key in self.entered:
            if key not in self.unreadable:
                self.check(key)

    def teardown(self) -> None:
        if self.is_locked:
            self.unlock()
        try:
            self.all_holds()
        finally:
            self.outsider.close()
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
        assert fold(parse_events(entries)) == snapshot.state
        found = [(entry.message_id, entry.version) for entry in entries if entry.message_id is not None]
        assert len(dict(found)) == len(found)
        wanted = {id_: version for (owner, id_), version in self.model.acknowledged.items() if owner == key}
        assert wanted.items() <= dict(found).items()

    def check_set_aside(self, key: SessionKey) -> None:
        """The damaged session has the acknowledged turns still, under another name."""
        self.unreadable.remove(key)
        query = "SELECT message_id, version FROM session_history WHERE user_id LIKE ? || '~set-aside-%'"
        kept = self.outsider.execute(query, (key.user_id,)).fetchall()
        assert self.model.set_aside(key).items() <= set(kept)

    # ------------------------------------------------------------------- how commands are given

    def made(self, key: SessionKey, make: Make) -> AnyCommand:
        number = next(self.ids)
        command: AnyCommand = make(at=self.clock(), message_id=None if make.func is commands.Draft else f"m{number}")
        self.sent.append((key, command))
        return command

    def do(self, store: SessionStore, key: SessionKey, command: AnyCommand) -> None:
        try:
            self.model.note(key, command, store.turns.submit(key, command))
        except (DatabaseUnavailable, SessionUnreadable) as error:
            self.check_failure(key, error)

    def send(self, key: SessionKey, command: AnyCommand) -> None:
        """Give a participant's command to the store, as his connection does."""
        connection = self.connections[key]
        verdict = partial(self.settled, connection, key, command)
        self.model.accept(key, command)
        try:
            result = self.store.turns.submit_or_queue(key, command, connection, verdict)
        except SessionUnreadable as error:
            self.check_failure(key, error)
        else:
            if isinstance(result, Queued):
                return
            self.model.note(key, command, result)
            if result.state is not None:
                connection.publish(Snapshot(key=key, state=result.state, survey=result.survey))
        if command.message_id is not None:
            self.model.accepted[key].pop()

    def settled(self, connection: Connection, key: SessionKey, command: AnyCommand, result: Result | Exception) -> None:
        """Take note of what came of an accepted turn, as its connection does."""
        if not isinstance(result, Exception) and result.state is not None:
            connection.publish(Snapshot(key=key, state=result.state, survey=result.survey))
        self.model.verdict(key, command, result)

    def check_failure(self, key: SessionKey, error: Exception) -> None:
        """Nothing fails but what has a reason to."""
        assert not isinstance(error, MessageIdReused)
        if isinstance(error, Unavailable):
            assert self.is_locked
        else:
            assert key in self.unreadable


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait for seconds."""
    for waiting in (sqlite.writer_engine, sqlite.begin_writing):
        monkeypatch.setattr(waiting, "__defaults__", (BUSY_MS,))
    monkeypatch.setattr(pending, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(pending, "MAX_DELAY_S", 0.01)
    monkeypatch.setattr(turns, "READ_RETRY_S", 0.0)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """Databases at the newest schema, one after the other; each is gone when the next is asked for."""
    pattern = tmp_path / "pattern.db"
    settings = Settings(database_url=create_sqlite(pattern), surveys_dir=SURVEYS)
    with contextlib.closing(SessionStore(settings, read_catalogue(settings))) as store:
        store.initialise()
    return (Path(shutil.copy(pattern, tmp_path / f"{number}.db")) for number in count())


def test_store_keeps_what_it_acknowledged_through_any_faults(quick: None, files: Iterator[Path]) -> None:
    """Locks, lost connections, damaged rows and lost processes between any two commands of three participants."""
    settings = Settings(surveys_dir=SURVEYS, pending_after_s=0.05, retry_delay_s=0.0, retry_attempts=2)
    catalogue = read_catalogue(settings)
    run_state_machine_as_test(
        lambda: StoreMachine(files, settings, catalogue),  # type: ignore[arg-type]  # what makes one serves as well
        settings=examples(25, stateful_step_count=30),
    )
