"""Fixtures of the notification tests: processes, and the transports between them."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, insert, select, text, update

from app.notifications import subscriber
from app.notifications.notifier import ChangeNotifier
from app.settings import Settings
from app.store.engine import normalise_url, reader_engine, writer_engine
from app.store.tables import sessions
from app.survey.snapshot import SessionKey
from tests.conftest import Servers, empty_database, migrated_database, skip_or_fail
from tests.database_servers import NoServer
from tests.forked import run_module
from tests.notifications.redis_server import RedisServer
from tests.waiting import wait_for

KEY = SessionKey("phq9", "ada")
OTHER = SessionKey("phq9", "bob")
NEVER_S = 60.0
"""An interval so long that every change arrives over the transport, not by polling."""


class Process:
    """One server process: its notifier, the changes it received, and the versions in its database."""

    def __init__(
        self, settings: Settings, read: Callable[[Sequence[SessionKey]], Mapping[SessionKey, int]] | None
    ) -> None:
        self.url = settings.database_url
        self.changes: list[tuple[SessionKey, int]] = []
        self.discovered: list[SessionKey] = []
        self.stored: dict[SessionKey, int] = {}
        self.polls = self.failed_polls = 0
        self.polled_over: list[object] = []
        self.fails: Exception | None = None
        self.refuses: Exception | None = None
        self._read = read or (lambda keys: {key: self.stored[key] for key in keys if key in self.stored})
        self._settings = settings
        self.open()

    def open(self) -> None:
        self.notifier = ChangeNotifier(
            self._settings, normalise_url(self.url), self._versions, self._changed, self.discovered.append
        )

    def follow(self, *keys: SessionKey) -> None:
        """Subscribe to the sessions at version 1, and return after the first poll."""
        before = self.polls
        for key in keys:
            self.notifier.subscribe(key, 1)
        wait_for(lambda: self.polls > before, "it never polled")

    def wait_for_changes(self, *changes: tuple[SessionKey, int]) -> None:
        wait_for(lambda: len(self.changes) >= len(changes), lambda: f"received {self.changes}")
        assert self.changes == list(changes)

    def listens_again(self, before: object) -> Callable[[], bool]:
        return lambda: self.notifier._listener.transport is not None and self.notifier._listener.transport is not before

    def _versions(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, int]:
        if self.fails is not None:
            self.failed_polls += 1
            raise self.fails
        found = self._read(keys)
        self.polls += 1
        self.polled_over.append(self.notifier._listener.transport)
        return found

    def _changed(self, key: SessionKey, version: int) -> None:
        if self.refuses is not None:
            refused, self.refuses = self.refuses, None
            raise refused
        self.changes.append((key, version))


@dataclass
class Channel:
    """A transport: the settings of each process that uses it."""

    settings: Settings
    redis: RedisServer | None = None
    read: Callable[[Sequence[SessionKey]], Mapping[SessionKey, int]] | None = None

    def end_connections(self) -> None:
        """Close every connection that carries notifications, as an administrator or a crash does."""
        if self.redis is not None:
            self.redis.kill()
            self.redis.start()
            return
        for pid in backends_of(self.settings.database_url):
            execute(self.settings.database_url, f"SELECT pg_terminate_backend({pid}, 5000)")


Open = Callable[[Channel], Process]


def execute(url: str, statement: str) -> list[int]:
    engine = create_engine(normalise_url(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        return [int(value) for value in connection.execute(text(statement)).scalars()]


def backends_of(url: str, query: str = "%") -> list[int]:
    """Return the PostgreSQL backends whose last statement matches a LIKE pattern."""
    chosen = f"backend_type = 'client backend' AND query LIKE '{query}' AND pid <> pg_backend_pid()"
    statement = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {chosen}"  # noqa: S608 - constants
    return execute(url, statement)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    try:
        server.start()
    except NoServer as error:
        skip_or_fail(str(error))
    yield server
    server.kill()


@pytest.fixture(params=["postgresql", "redis"])
def broadcast(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Channel]:
    """A transport that carries every change; polling finds changes only after a connect."""
    request.getfixturevalue("monkeypatch").setattr(subscriber, "SAFETY_POLL_S", NEVER_S)
    kind = "postgresql" if request.param == "postgresql" else "sqlite"
    with empty_database(kind, servers, tmp_path) as url:
        settings = Settings(database_url=url, notification_interval_s=NEVER_S)
        if kind == "postgresql":
            yield Channel(settings)
        else:
            redis: RedisServer = request.getfixturevalue("redis")
            yield Channel(settings.model_copy(update={"redis_url": redis.url}), redis)


@pytest.fixture(params=["sqlite", "mysql"])
def polled(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Channel]:
    """No transport, and both sessions in the database at version 1."""
    with migrated_database(request.param, servers, tmp_path) as url:
        begin_sessions(url)
        reading = reader_engine(normalise_url(url))

        def read(keys: Sequence[SessionKey]) -> dict[SessionKey, int]:
            columns = sessions.c
            query = select(columns.survey_id, columns.user_id, columns.version).where(
                columns.user_id.in_([key.user_id for key in keys])
            )
            with reading.connect() as connection:
                return {SessionKey(survey, user): version for survey, user, version in connection.execute(query)}

        yield Channel(Settings(database_url=url, notification_interval_s=0.02), read=read)
        reading.dispose()


def begin_sessions(url: str) -> None:
    engine = writer_engine(normalise_url(url))
    row = {"current_step": "Q1", "answers": "{}", "step_history": "[]", "version": 1}
    with engine.begin() as connection:
        connection.execute(insert(sessions), [{**row, **key._asdict()} for key in (KEY, OTHER)])
    engine.dispose()


PROGRAM = """
import sys, time
from app.notifications.notifier import ChangeNotifier
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey.snapshot import SessionKey
polls = []
settings = Settings(database_url=sys.argv[1], redis_url=sys.argv[2] or None)
notifier = ChangeNotifier(settings, normalise_url(sys.argv[1]), lambda keys: polls.append(1) or {}, print, lambda key: None)
"""


def run(channel: Channel, lines: str) -> "subprocess.CompletedProcess[str]":
    """Run a program that has opened its notifier, to its end."""
    arguments = (channel.settings.database_url, channel.settings.redis_url or "")
    return run_module(["-c", PROGRAM + lines, *arguments], os.environ)


def write(channel: Channel, key: SessionKey, version: int) -> None:
    """Change a session as a program does that notifies nobody."""
    engine = writer_engine(normalise_url(channel.settings.database_url))
    same = (sessions.c.user_id == key.user_id, sessions.c.survey_id == key.survey_id)
    with engine.begin() as connection:
        connection.execute(update(sessions).where(*same).values(version=version))
    engine.dispose()


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens the notifier of one more process."""
    processes: list[Process] = []

    def open_one(channel: Channel) -> Process:
        processes.append(Process(channel.settings, channel.read))
        return processes[-1]

    yield open_one
    for process in processes:
        process.notifier.close()
