"""Measure a survey's analytics over a million rows of history; writes docs/performance/analytics.md.

    python -m benchmarks.analytics [rows]

Sessions of demo data (`flask demo fill`, the survey intake) are multiplied until there are that many rows, inserted in
the order of their times. The analytics are then computed once to warm up, and ROUNDS times.
"""

import gc
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from sqlalchemy import Connection, String, Table, cast, func, insert, literal, select

from app.core.timestamps import format_timestamp
from app.operations.analytics import Filters, summarize
from app.operations.analytics.collect import SESSIONS_A_PART
from app.operations.demo import DemoPlan, fill_demo
from app.sessions.queries import now_us
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import statistics
from app.store.engine import migration_engine, normalise_url
from app.store.migrations import upgrade_schema
from app.store.tables import session_history, sessions
from benchmarks import databases
from benchmarks.worker import GARBAGE_THRESHOLDS

ROWS = 1_000_000
ROUNDS = 5
PATTERN = 4000
"""Number of demo sessions, over DAYS."""

DAYS = 60
SURVEY_ID = "intake"
REPORT = Path("docs/performance/analytics.md")

HEAD = """# Analytics over a million rows of history

`GET /api/surveys/{id}/analytics`, `flask report` and the dashboard compute a survey's analytics in one pass over its
sessions, on two connections: the database aggregates the events of some sessions into a few long texts, and arrays do
the rest. No table and no index was added for this, so turns are not slowed down. Concurrent requests share a result,
and get it again for four times as long as computing it took, so that turns have the rest of the machine.

Measured by `python -m benchmarks.analytics` on 2 cores: median of ROUNDS runs after a first one, in seconds. One
process, every row read anew each time; garbage is collected as rarely as gunicorn.conf.py configures.

| | Sessions | Rows | Analytics | CPU in this process | Reading only | Sessions of the last week only |
|---|--:|--:|--:|--:|--:|--:|"""

DAY_US = 86_400 * 1_000_000


class Measurement(NamedTuple):
    """The size of one database, and the durations measured on it."""

    kind: str
    sessions: int
    rows: int
    whole_s: float
    cpu_s: float
    read_s: float
    week_s: float


def grow(store: SessionStore, url: str, rows: int) -> tuple[int, int]:
    """Fill the database; return the number of sessions and of rows of history."""
    fill_demo(store, DemoPlan(sessions=PATTERN, days=DAYS, surveys=(SURVEY_ID,), until=now_us()))
    pattern_rows = store.run_read(lambda connection: _count(connection, session_history))
    copies = max(0, math.ceil(rows / pattern_rows) - 1)
    engine = migration_engine(normalise_url(url))  # without a limit on the duration of statements
    for table in (sessions, session_history):
        with engine.begin() as connection:
            _multiply(connection, table, copies)
    engine.dispose()
    return store.run_read(lambda connection: (_count(connection, sessions), _count(connection, session_history)))


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar() or 0)


def _multiply(connection: Connection, table: Table, copies: int) -> None:
    """Copy each row under other user ids; rows of history in the order of their times."""
    names = [column.name for column in table.c if column.name not in {"user_id", "id"}]
    numbers = select(literal(1).label("number")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < copies))
    user_id = table.c.user_id + "-" + cast(numbers.c.number, String(8))
    query = select(user_id, *(table.c[name] for name in names)).select_from(table).join(numbers, literal(1) == 1)
    if table is session_history:
        query = query.order_by(table.c.timestamp)
    connection.execute(insert(table).from_select(["user_id", *names], query))


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the medians over ROUNDS calls, after a first one, of seconds and of this process's CPU seconds."""
    call()
    walls, cpus = [], []
    for _ in range(ROUNDS):
        began, used = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - used)
    return median(walls), median(cpus)


def measure(kind: str, folder: Path, rows: int) -> Measurement:
    """Measure the analytics on one database."""
    with databases.fresh(kind, "analytics", folder) as url:
        upgrade_schema(normalise_url(url))
        store = open_store(Settings(database_url=url, environment="development"))
        try:
            count, history_rows = grow(store, url, rows)
            databases.refresh_statistics(url)
            whole_s, cpu_s = timed(lambda: summarize(store, SURVEY_ID))
            read_s, _ = timed(lambda: _read_events(store))
            week = Filters(since=format_timestamp(now_us() - 7 * DAY_US))
            week_s, _ = timed(lambda: summarize(store, SURVEY_ID, week))
        finally:
            store.close()
    return Measurement(kind, count, history_rows, whole_s, cpu_s, read_s, week_s)


def _read_events(store: SessionStore) -> None:
    """Only read the events, on one connection: the database's part of the time."""
    after: str | None = None
    while True:
        rows = store.run_read(partial(_sessions_after, after))
        if not rows:
            return
        after = rows[-1].user_id
        store.run_read(partial(_walks_between, rows[0].user_id, after))


def _sessions_after(after: str | None, connection: Connection) -> list[statistics.SessionRow]:
    return statistics.read_sessions(connection, SURVEY_ID, now_us(), after, SESSIONS_A_PART)


def _walks_between(first: str, last: str, connection: Connection) -> statistics.EventColumns:
    return statistics.read_event_columns(connection, SURVEY_ID, first, last)


def report(measurements: list[Measurement]) -> str:
    """Return the page."""
    lines = [HEAD.replace("ROUNDS", str(ROUNDS))]
    lines += [
        f"| {row.kind} | {row.sessions:,} | {row.rows:,} | {row.whole_s:.2f} | {row.cpu_s:.2f} | {row.read_s:.2f} "
        f"| {row.week_s:.2f} |"
        for row in measurements
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    lines += ["", f"Peak memory of the measuring process, filling included: {peak} MB.", ""]
    return "\n".join(lines)


def main() -> None:
    """Measure on each available database; print and write the page."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    gc.freeze()  # as app/serve/gunicorn_config.py does
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    measurements = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in databases.available():
            measurements.append(measure(kind, Path(folder), rows))
            print(measurements[-1], flush=True)
    text = report(measurements)
    print(text)
    if rows == ROWS:
        REPORT.write_text(text)


if __name__ == "__main__":
    main()
