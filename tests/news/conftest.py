"""What tests of the news share: processes, and the three ways over which they hear of each other."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, insert, select, text, update

from app.notifications import subscriber as news_watch
from app.notifications.notifier import open_notifier
from app.settings import Settings
from app.store.engine import normalise_url, reader_engine, writer_engine
from app.store.tables import sessions
from app.survey.snapshot import SessionKey
from tests.conftest import ROOT, Servers, empty_database, migrated_database, skip_or_fail
from tests.databases import NoServer
from tests.news.redis_server import RedisServer
from tests.waiting import wait_for

KEY = SessionKey("phq9", "ada")
OTHER = SessionKey("phq9", "bob")
LOOKS_NEVER_S = 60.0
"""An interval and a net so long that what is heard was told, not found."""


class Process:
    """What one server process knows: its news, what it heard, and the versions that its database has."""

    def __init__(
        self, settings: Settings, read: Callable[[Sequence[SessionKey]], Mapping[SessionKey, int]] | None
    ) -> None:
        self.url = settings.database_url
        self.heard: list[tuple[SessionKey, int]] = []
        self.met: list[SessionKey] = []
        self.stored: dict[SessionKey, int] = {}
        self.looks = self.failed_looks = 0
        self.looked_over: list[object] = []
        self.fails: Exception | None = None
        self.refuses: Exception | None = None
        self._read = read or (lambda keys: {key: self.stored[key] for key in keys if key in self.stored})
        self.news = open_notifier(
            settings, normalise_url(settings.database_url), self._versions, self._changed, self.met.append
        )

    def follow(self, *keys: SessionKey) -> None:
        """Show the sessions at version 1, and return when it listens or has looked."""
        before = self.looks
        for key in keys:
            self.news.subscribe(key, 1)
        wait_for(lambda: self.looks > before, "it never looked")

    def wait_until_heard(self, *changes: tuple[SessionKey, int]) -> None:
        wait_for(lambda: len(self.heard) >= len(changes), lambda: f"heard {self.heard}")
        assert self.heard == list(changes)

    def listens_again(self, before: object) -> Callable[[], bool]:
        return lambda: self.news._watch.link is not None and self.news._watch.link is not before

    def _versions(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, int]:
        if self.fails is not None:
            self.failed_looks += 1
            raise self.fails
        found = self._read(keys)
        self.looks += 1
        self.looked_over.append(self.news._watch.link)
        return found

    def _changed(self, key: SessionKey, version: int) -> None:
        if self.refuses is not None:
            refused, self.refuses = self.refuses, None
            raise refused
        self.heard.append((key, version))


@dataclass
class Way:
    """One way by which news go: the settings of each process, and where they are ended."""

    settings: Settings
    redis: RedisServer | None = None
    read: Callable[[Sequence[SessionKey]], Mapping[SessionKey, int]] | None = None

    def end_connections(self) -> None:
        """End every connection that news go over, as an administrator or a crash does."""
        if self.redis is not None:
            self.redis.kill()
            self.redis.start()
            return
        for pid in news_backends(self.settings.database_url):
            execute(self.settings.database_url, f"SELECT pg_terminate_backend({pid}, 5000)")


Open = Callable[[Way], Process]


def execute(url: str, statement: str) -> list[int]:
    engine = create_engine(normalise_url(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        return [int(value) for value in connection.execute(text(statement)).scalars()]


def news_backends(url: str, query: str = "%") -> list[int]:
    """Return PostgreSQL's processes of connections whose last statement was like this."""
    chosen = f"backend_type = 'client backend' AND query LIKE '{query}' AND pid <> pg_backend_pid()"
    statement = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {chosen}"  # noqa: S608 - ours
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
def told(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Way]:
    """A way on which news are told, and nothing is found by looking but when it connects."""
    request.getfixturevalue("monkeypatch").setattr(news_watch, "NET_S", LOOKS_NEVER_S)
    kind = "postgresql" if request.param == "postgresql" else "sqlite"
    with empty_database(kind, servers, tmp_path) as url:
        settings = Settings(database_url=url, notification_interval_s=LOOKS_NEVER_S)
        if kind == "postgresql":
            yield Way(settings)
        else:
            redis: RedisServer = request.getfixturevalue("redis")
            yield Way(settings.model_copy(update={"redis_url": redis.url}), redis)


@pytest.fixture(params=["sqlite", "mysql"])
def looked(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Way]:
    """A way on which nothing is told, with both sessions in the database at version 1."""
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

        yield Way(Settings(database_url=url, notification_interval_s=0.02), read=read)
        reading.dispose()


def begin_sessions(url: str) -> None:
    engine = writer_engine(normalise_url(url))
    row = {"current_step": "Q1", "answers": "{}", "step_history": "[]", "version": 1}
    with engine.begin() as connection:
        connection.execute(insert(sessions), [{**row, **key._asdict()} for key in (KEY, OTHER)])
    engine.dispose()


PROGRAM = """
import sys, time
from app.notifications.notifier import open_notifier
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey.snapshot import SessionKey
looked = []
settings = Settings(database_url=sys.argv[1], redis_url=sys.argv[2] or None)
news = open_notifier(settings, normalise_url(sys.argv[1]), lambda keys: looked.append(1) or {}, print, lambda key: None)
"""


def run(way: Way, lines: str) -> "subprocess.CompletedProcess[str]":
    """Run a program that has opened its news, to its end."""
    arguments = (way.settings.database_url, way.settings.redis_url or "")
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + lines, *arguments],
        cwd=ROOT,
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )


def write(way: Way, key: SessionKey, version: int) -> None:
    """Change a session as another program does, that tells nobody."""
    engine = writer_engine(normalise_url(way.settings.database_url))
    same = (sessions.c.user_id == key.user_id, sessions.c.survey_id == key.survey_id)
    with engine.begin() as connection:
        connection.execute(update(sessions).where(*same).values(version=version))
    engine.dispose()


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens the news of one more process."""
    processes: list[Process] = []

    def open_one(way: Way) -> Process:
        processes.append(Process(way.settings, way.read))
        return processes[-1]

    yield open_one
    for process in processes:
        process.news.close()
