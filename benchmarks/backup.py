"""Measure backup, restore and move of a million history rows; writes docs/performance/backup.md.

    python -m benchmarks.backup [rows]

Each operation runs in a separate process, whose wall time and peak memory (``ru_maxrss``) are measured. The rows are
turns submitted to the store, in sessions of TURNS turns.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.operations.backup.files import create_backup, verify_backup
from app.operations.backup.migrate import move_database
from app.operations.backup.restore import restore_backup
from app.store.encryption import PLAIN
from app.survey.snapshot import SessionKey
from benchmarks import databases
from benchmarks.stepkeep import accepted, answer, store_on
from benchmarks.workload import NOT_BEGUN, SURVEY_ID, after

ROWS = 1_000_000
TURNS = 20
BATCH = 1000
REPORT = Path("docs/performance/backup.md")

HEAD = """# Backup, restore and move

`python -m benchmarks.backup` measures this page. {rows:,} rows of history in {sessions:,} sessions; each operation
in its own process, on {cores} cores, with all databases on the same machine. Peak memory is that of the process,
of which the program itself takes about 90 MiB; the database servers are not included.

| Operation | Seconds | Peak MiB |
|---|--:|--:|
"""

FOOT = """
A restore processes the rows three times: it validates them, inserts them, and reads them back to compare them. A
move copies them, then reads both databases to compare them.
"""


def fill(url: str, rows: int) -> None:
    """Submit this many turns."""
    store = store_on(url)
    for start in range(0, rows // TURNS, BATCH):
        keys = [SessionKey(SURVEY_ID, f"participant-{number:07d}") for number in range(start, start + BATCH)]
        step = NOT_BEGUN
        for _ in range(TURNS):
            for result in store.turns.submit_many([(key, answer(step)) for key in keys[: rows // TURNS - start]]):
                accepted(result)
            step = after(step)
    store.close()


def measure(operation: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds and the peak MiB of an operation in a child process."""
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        operation()
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    assert status == 0, "the operation failed"
    return time.perf_counter() - began, used.ru_maxrss / 1024


def in_store(url: str, operation: Callable[..., object], *arguments: object) -> None:
    """Call an operation with a store on the database."""
    store = store_on(url)
    operation(store, *arguments)
    store.close()


def main(rows: int) -> None:
    """Measure and write the page."""
    lines = [HEAD.format(rows=rows, sessions=rows // TURNS, cores=os.cpu_count())]

    def add_line(name: str, operation: Callable[[], object]) -> None:
        seconds, mib = measure(operation)
        lines.append(f"| {name} | {seconds:.1f} | {mib:.0f} |\n")
        print(lines[-1], end="", flush=True)

    with (
        tempfile.TemporaryDirectory() as name,
        databases.fresh("sqlite", "first", Path(name)) as first,
        databases.fresh("postgresql", "second", Path(name)) as second,
        databases.fresh("mariadb", "third", Path(name)) as third,
        databases.fresh("sqlite", "fourth", Path(name)) as fourth,
    ):
        file, restore = Path(name) / "portable", partial(restore_backup, replace=True)
        add_line("(filling SQLite)", lambda: fill(first, rows))
        for url in (second, third, fourth):
            store_on(url).close()
        add_line("create, SQLite", lambda: in_store(first, create_backup, file))
        add_line("verify", lambda: verify_backup(file, PLAIN))
        add_line("restore --replace, SQLite", lambda: in_store(first, restore, file))
        add_line("move, SQLite to PostgreSQL", lambda: move_database(first, second))
        add_line("move, PostgreSQL to MariaDB", lambda: move_database(second, third))
        add_line("move, MariaDB to SQLite", lambda: move_database(third, fourth))
        for kind, url in (("PostgreSQL", second), ("MariaDB", third)):
            add_line(f"restore --replace, {kind}", partial(in_store, url, restore, file))
        add_line("create, MariaDB", lambda: in_store(third, create_backup, Path(name) / "mariadb"))
    REPORT.write_text("".join(lines) + FOOT)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(int(sys.argv[1]) if sys.argv[1:] else ROWS)
