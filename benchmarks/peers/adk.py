"""google-adk's DatabaseSessionService: append_event with a state delta; asyncio tasks are the callers."""

import asyncio
import importlib.metadata
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from google.adk.events import Event, EventActions
from google.adk.sessions import DatabaseSessionService, Session

from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.peers.engines import SQLITE_SET, async_engine, is_sqlite
from benchmarks.workload import Walked, endless

APP = "benchmark"

DEFAULT = "on SQLite the rollback journal with SQLite's default synchronous=FULL; on a server its defaults"


class Adk(Contestant):
    """Each task has its own session and appends one event per turn."""

    def __init__(self, url: str, connections: int | None) -> None:
        self._runner = asyncio.Runner()
        self._engine = async_engine(url, connections)
        self._durability = SQLITE_SET if is_sqlite(url) else "the server's defaults"
        self._service = DatabaseSessionService(db_engine=self._engine)
        self._sessions: list[Session] = []

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure this many tasks."""
        assert what == "turns"
        return self._runner.run(self._measure(callers, seconds))

    def facts(self) -> Mapping[str, str]:
        """Return the version, and the configured durability."""
        version = importlib.metadata.version("google-adk")
        return {"version": version, "durability": self._durability, "durability by default": DEFAULT}

    def rest(self) -> None:
        """Close the idle connections."""
        self._runner.run(self._engine.dispose())

    def close(self) -> None:
        """Close the pool."""
        self._runner.run(self._engine.dispose())
        self._runner.close()

    async def _measure(self, callers: int, seconds: float) -> Measured:
        while len(self._sessions) < callers:
            user = f"participant-{len(self._sessions):06d}"
            self._sessions.append(await self._service.create_session(app_name=APP, user_id=user))
        walks = [itertools.islice(endless(), number % 10, None) for number in range(callers)]
        return await crowd.in_tasks(
            [lambda number=number: self._turn(number, walks[number]) for number in range(callers)], seconds
        )

    async def _turn(self, number: int, walk: Iterator[Walked]) -> None:
        state, event = next(walk)
        session = self._sessions[number]
        session.events.clear()  # the history in memory would grow with the measurement
        await self._service.append_event(
            session,
            Event(author="user", invocation_id=event["message_id"], actions=EventActions(state_delta=state)),
        )


def enter(spec: Mapping[str, Any]) -> Adk:
    """Return the contestant on the database of the spec; ``connections`` is the pool's size (default: SQLAlchemy's)."""
    return Adk(spec["url"], spec.get("connections"))
