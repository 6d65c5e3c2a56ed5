"""LangGraph's SqliteSaver and PostgresSaver: put of one checkpoint per turn, by threads or greenlets.

A checkpoint has the state, and its metadata the event. With ``writes`` the event is stored by put_writes, as a graph
does with the output of a node; a turn of a graph has at least one of each.
"""

import importlib.metadata
import itertools
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.peers.engines import SQLITE_SET, is_sqlite
from benchmarks.workload import Walked, endless

CONNECTIONS = 16

DEFAULT = {
    "sqlite": "WAL with SQLite's default synchronous=FULL; one connection behind a lock",
    "postgresql": "the server's defaults",
}


class Langgraph(Contestant):
    """Each caller has its own thread (LangGraph's term for a session) and puts one checkpoint per turn."""

    def __init__(self, saver: BaseCheckpointSaver[Any], url: str, *, writes: bool) -> None:
        self._saver = saver
        self._url = url
        self._database = "sqlite" if is_sqlite(url) else "postgresql"
        self._writes = writes

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure this many threads."""
        assert what == "turns"
        if isinstance(self._saver, PostgresSaver):
            self._saver.conn.open(wait=True)  # idempotent
        threads = [_Thread(self._saver, number, writes=self._writes) for number in range(callers)]
        return crowd.in_threads([thread.turn for thread in threads], seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the version, and the configured durability."""
        return {
            "version": importlib.metadata.version(f"langgraph-checkpoint-{self._database.removesuffix('ql')}"),
            "durability": SQLITE_SET if self._database == "sqlite" else "the server's defaults",
            "durability by default": DEFAULT[self._database],
        }

    def rest(self) -> None:
        """Close the idle connections."""
        if isinstance(self._saver, PostgresSaver):
            self._saver.conn.close()
            self._saver.conn = _pool(self._url, is_open=False)


class _Thread:
    def __init__(self, saver: BaseCheckpointSaver[Any], number: int, *, writes: bool) -> None:
        self._saver = saver
        self._writes = writes
        self._walk: Iterator[Walked] = itertools.islice(endless(), number % 10, None)
        self._config: Any = {"configurable": {"thread_id": f"participant-{number:06d}", "checkpoint_ns": ""}}
        self._step = 0

    def turn(self) -> None:
        state, event = next(self._walk)
        self._step += 1
        versions = {"session": f"{self._step:032}.{event['message_id'][:16]}"}
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"session": state}
        checkpoint["channel_versions"] = versions
        metadata: Any = {"source": "loop", "step": self._step, "parents": {}}
        if not self._writes:
            metadata["event"] = event
        self._config = self._saver.put(self._config, checkpoint, metadata, versions)
        if self._writes:
            self._saver.put_writes(self._config, [("event", event)], event["message_id"])


def _pool(url: str, *, is_open: bool) -> ConnectionPool[Any]:
    """Return a pool as in LangGraph's documentation."""
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    return ConnectionPool(url, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options, open=is_open)


def enter(spec: Mapping[str, Any]) -> Langgraph:
    """Return the contestant on the database of the spec."""
    url, writes = spec["url"], bool(spec.get("writes"))
    if is_sqlite(url):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), check_same_thread=False)
        connection.execute("PRAGMA synchronous=FULL")
        return Langgraph(SqliteSaver(connection), url, writes=writes)
    saver = PostgresSaver(_pool(url, is_open=True))
    saver.setup()
    return Langgraph(saver, url, writes=writes)
