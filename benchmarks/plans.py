"""Explain each operation on each database, to show that none reads a whole table.

Run ``python -m benchmarks.plans`` in the project's directory; it writes ``docs/performance/plans.md``. The databases
have SESSIONS sessions and fresh statistics. ``tests/store/test_plans.py`` checks the plans.
"""

import contextlib
import dataclasses
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import event

from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import sessions
from app.store.engine import normalise_url
from app.store.migrations import upgrade_schema
from app.store.sessions import Cursor
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from benchmarks import databases

SESSIONS = 100_000
OUT = Path("docs/performance/plans.md")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of one statement.

    Attributes:
        steps: the lines of the plan that access a table, as the database prints them.
        scans: whether a whole table is read.
    """

    operation: str
    steps: tuple[str, ...]
    scans: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Executed:
    """A statement that was executed."""

    statement: str
    values: Any
    by_writer: bool


class _Recorder:
    """Wraps a driver's connection or cursor, and records executed statements."""

    def __init__(self, real: Any, executed: list[Executed], *, of_writer: bool) -> None:
        self._real = real
        self._executed = executed
        self._of_writer = of_writer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def cursor(self) -> "_Recorder":
        return _Recorder(self._real.cursor(), self._executed, of_writer=self._of_writer)

    def execute(self, statement: str, values: Any = (), **options: Any) -> Any:
        self._executed.append(Executed(statement, values, self._of_writer))
        return self._real.execute(statement, values, **options)

    def executemany(self, statement: str, rows: Sequence[Any]) -> Any:
        self._executed.append(Executed(statement, rows[0], self._of_writer))
        return self._real.executemany(statement, rows)


def operations(store: SessionStore) -> Mapping[str, Callable[[], object]]:
    """Return the operations of a filled store, by name."""
    key, middle = SessionKey("phq9", "user001501"), Cursor("user001501", "phq9")
    since = store.clock() - 3600 * 1_000_000
    changed = Cursor(event=(since, 1))
    new = SessionKey("phq9", "new")
    return {
        "load a session": lambda: store.queries.load(key),
        "begin a session": lambda: store.turns.submit(new, Begin(at=store.clock())),
        "answer": lambda: store.turns.submit(key, Answer(at=store.clock(), message_id="m", step="Q1", value=1)),
        "answer, resent": lambda: store.turns.submit(key, Answer(at=store.clock(), message_id="m", step="Q1", value=1)),
        "a participant's only session": lambda: store.queries.resolve_key("user001501", None),
        "list, first page": lambda: store.queries.list(limit=100),
        "list, next page": lambda: store.queries.list(limit=100, after=middle),
        "list by status, survey and step": lambda: store.queries.list(
            limit=100, after=middle, filters={"status": "completed", "survey_id": "phq9", "current_step": "Q3"}
        ),
        "list changes since": lambda: store.queries.list(limit=100, updated_since=since),
        "list changes since, next page": lambda: store.queries.list(limit=100, updated_since=since, after=changed),
        "history, a page": lambda: store.queries.history(key, after_version=1, limit=100),
        "history, newest first": lambda: store.queries.history(key, limit=100, newest_first=True),
        "state at a version": lambda: store.queries.at_version(key, 1),
        "erase": lambda: store.erasure.delete(key),
    }


def plans(store: SessionStore, setup: Sequence[str] = ()) -> list[Plan]:
    """Return the plan of each statement of each operation.

    Args:
        setup: statements executed before explaining a reader's statement; the writer's statements are explained on a
            connection like the writer's.
    """
    found = []
    for operation, run in operations(store).items():
        with recorded(store) as executed:
            run()
        for statement in _distinct(executed):
            steps = explain(store, statement, setup)
            found.append(Plan(operation=operation, steps=steps, scans=any(map(is_scan, steps))))
    return found


def fill(store: SessionStore, count: int) -> None:
    """Begin ``count`` sessions, a third of them with an answer, and refresh the statistics."""
    keys = [SessionKey("phq9", f"user{number:06d}") for number in range(count)]
    at = store.clock() - 86_400 * 1_000_000
    store.turns.submit_many([(key, Begin(at=at + n * 1000)) for n, key in enumerate(keys)])
    store.turns.submit_many(
        [
            (key, Answer(at=at + n * 1000 + 1, message_id=f"m{n}", step="Q1", value=1))
            for n, key in enumerate(keys)
            if n % 3 == 0
        ]
    )
    analyze = "ANALYZE TABLE" if store.queries.database_facts()["database"] in {"mysql", "mariadb"} else "ANALYZE"
    for table in ("sessions", "session_history"):
        store._writer.run(lambda connection, table=table: connection.exec_driver_sql(f"{analyze} {table}").close())


@contextlib.contextmanager
def recorded(store: SessionStore) -> Iterator[list[Executed]]:
    """Record the statements that the store executes."""
    executed: list[Executed] = []
    writer, loader = store._connection, store.queries._loader
    original = loader._make_statements
    engines = (store.queries.engine, store._write_engine)

    def recorder(*, of_writer: bool) -> Callable[..., None]:
        def record(_c: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
            executed.append(Executed(statement, values, of_writer))

        return record

    recorders = {engine: recorder(of_writer=engine is store._write_engine) for engine in engines}
    writer.close()
    writer._make_statements = lambda driver: original(_Recorder(driver, executed, of_writer=True))
    loader._make_statements = lambda driver: original(_Recorder(driver, executed, of_writer=False))
    for engine, record in recorders.items():
        event.listen(engine, "before_cursor_execute", record)
    try:
        yield executed
    finally:
        for engine, record in recorders.items():
            event.remove(engine, "before_cursor_execute", record)
        writer.close()
        writer._make_statements = loader._make_statements = original


def _distinct(executed: Sequence[Executed]) -> list[Executed]:
    on_sessions = re.compile(r"\s*(SELECT|UPDATE|DELETE|INSERT)\b.*\bsession", re.DOTALL)
    return list({query.statement: query for query in executed if on_sessions.match(query.statement)}.values())


def explain(store: SessionStore, query: Executed, setup: Sequence[str]) -> tuple[str, ...]:
    """Return the lines of a statement's plan that access a table."""
    kind = store.queries.database_facts()["database"]
    engine = store._write_engine if query.by_writer else store.queries.engine
    with contextlib.closing(engine.raw_connection()) as pooled:
        driver: Any = pooled.driver_connection
        cursor = driver.cursor()
        for statement in () if query.by_writer else setup:
            cursor.execute(statement)
        if kind == "sqlite":
            rows = cursor.execute(f"EXPLAIN QUERY PLAN {query.statement}", query.values).fetchall()
            return tuple(row[3] for row in rows if row[3].startswith(("SCAN", "SEARCH")))
        if kind == "postgresql":
            cursor.execute(f"EXPLAIN (FORMAT JSON) {query.statement}", query.values)
            return tuple(_nodes(cursor.fetchone()[0][0]["Plan"]))
        if query.statement.startswith("INSERT"):
            return ()  # its plan is empty: one key lookup per row
        cursor.execute(f"EXPLAIN FORMAT=JSON {query.statement}", query.values)
        return tuple(_accesses(json.loads(cursor.fetchone()[0])))


def _nodes(node: Mapping[str, Any]) -> Iterator[str]:
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        index = f" using {node['Index Name']}" if "Index Name" in node else ""
        yield f"{node['Node Type']} on {node['Relation Name']}{index}"
    elif "Index Name" in node:
        yield f"{node['Node Type']} using {node['Index Name']}"
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _accesses(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "table_name" in node and not node["table_name"].startswith("<"):
            yield f"{node.get('access_type', 'a row')} on {node['table_name']} using {node.get('key', 'no index')}"
        for child in node.values():
            yield from _accesses(child)
    elif isinstance(node, list):
        for child in node:
            yield from _accesses(child)


def is_scan(step: str) -> bool:
    """Return whether the whole table is read; a bounded read along an index, as of lists, is no scan."""
    if step.startswith(("SCAN", "SEARCH")):  # SQLite
        return step.startswith("SCAN ") and "INDEX" not in step and not step.startswith(("SCAN (", "SCAN anon"))
    if step.startswith("ALL "):  # MariaDB
        return True
    return step.startswith("Seq Scan on")


def main() -> None:
    """Write the page for all available databases."""
    parts = [
        "# Query plans",
        (
            f"Made by `python -m benchmarks.plans`, with {SESSIONS:,} sessions. No operation reads a whole table. "
            f"Lists read an index from their cursor, at most {sessions.SCAN_LIMIT:,} sessions."
        ),
    ]
    for kind in databases.available():
        with tempfile.TemporaryDirectory() as folder, databases.fresh(kind, "plans", Path(folder)) as url:
            upgrade_schema(normalise_url(url))
            store = open_store(Settings(database_url=url, surveys_dir=Path("surveys")))
            fill(store, SESSIONS)
            all_plans = plans(store)
            facts = store.queries.database_facts()
            store.close()
        scanning = [plan for plan in all_plans if plan.scans]
        assert not scanning, scanning
        rows = [f"| {plan.operation} | {'<br>'.join(plan.steps)} |" for plan in all_plans if plan.steps]
        parts += [
            f"## {facts['database']} {facts['version']}",
            "\n".join(["| Operation | Plan |", "| --- | --- |", *rows]),
        ]
        print(f"{kind}: {len(rows)} statements, no scan")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
