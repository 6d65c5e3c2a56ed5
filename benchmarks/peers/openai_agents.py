"""openai-agents' SQLiteSession and SQLAlchemySession: add_items once per turn, by asyncio tasks.

An item has the event and the state. These sessions store a list of items and no separate state.
"""

import asyncio
import importlib.metadata
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agents import SQLiteSession
from agents.extensions.memory import SQLAlchemySession
from agents.memory import Session
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.peers.engines import SQLITE_SET, async_engine, is_sqlite
from benchmarks.workload import Walked, endless

DEFAULT = {
    "SQLiteSession": "in memory; with a file WAL and SQLite's default synchronous=FULL; "
    "one lock per file, one connection per session and thread",
    "SQLAlchemySession": "on SQLite WAL, synchronous=FULL, a busy time-out of 5 s and up to 5 retries "
    "when the database is locked; on a server its defaults",
}


class OpenaiAgents(Contestant):
    """Each task has its own session and adds one item per turn."""

    def __init__(self, make: Callable[[str], Session], name: str, engine: AsyncEngine | None, durability: str) -> None:
        self._runner = asyncio.Runner()
        self._make = make
        self._name = name
        self._durability = durability
        self._engine = engine
        self._sessions: list[Session] = []

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure this many tasks."""
        assert what == "turns"
        return self._runner.run(self._measure(callers, seconds))

    def facts(self) -> Mapping[str, str]:
        """Return the version, and the configured durability."""
        version = importlib.metadata.version("openai-agents")
        return {"version": version, "durability": self._durability, "durability by default": DEFAULT[self._name]}

    def rest(self) -> None:
        """Close the idle connections."""
        if self._engine is not None:
            self._runner.run(self._engine.dispose())

    async def _measure(self, callers: int, seconds: float) -> Measured:
        while len(self._sessions) < callers:
            session = self._make(f"participant-{len(self._sessions):06d}")
            await session.add_items([{"role": "user", "content": "begun"}])
            self._sessions.append(session)
        walks = [itertools.islice(endless(), number % 10, None) for number in range(callers)]
        return await crowd.in_tasks(
            [lambda number=number: self._turn(number, walks[number]) for number in range(callers)], seconds
        )

    async def _turn(self, number: int, walk: Iterator[Walked]) -> None:
        state, event = next(walk)
        await self._sessions[number].add_items([{"role": "user", "content": json.dumps([event, state])}])


def enter(spec: Mapping[str, Any]) -> OpenaiAgents:
    """Return the contestant on the database of the spec; ``class`` names one of the two."""
    url, name = spec["url"], spec["class"]
    if name == "SQLiteSession":
        path = url.removeprefix("sqlite:///")
        return OpenaiAgents(lambda key: SQLiteSession(key, path), name, None, SQLITE_SET)
    engine = async_engine(url, spec.get("connections"))
    return OpenaiAgents(
        lambda key: SQLAlchemySession(key, engine=engine, create_tables=True),
        name,
        engine,
        SQLITE_SET if is_sqlite(url) else "the server's defaults",
    )
