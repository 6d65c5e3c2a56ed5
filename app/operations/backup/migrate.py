"""Move all rows to another database, in key order: the target's last key is where to resume.

A marker in the target keeps servers from starting on it before the comparison.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from sqlalchemy import URL, Engine

from ...core.progress import Progress, no_progress
from ...errors import BackupBroken, ConfigurationError, InvalidInput, SchemaMismatch
from ...store import check_requirements, leases, normalise_url, server_lock, upgrade_schema
from .bulk import snapshot, transaction, write_engine
from .row_format import TABLES, ChecksummedRows, RowCounter

ROWS_A_COMMIT = 20_000  # an interrupted move repeats at most this many rows


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveResult:
    """A completed move; ``rows`` are by table."""

    rows: dict[str, int]
    resumed: bool


def move_database(
    source_url: str, target_url: str, *, restart: bool = False, progress: Progress = no_progress
) -> MoveResult:
    """Copy the source, whose servers must be stopped, into the target and compare them.

    Raises:
        ConfigurationError: a database can't be opened or is in use, or both are the same.
        InvalidInput: the target is not empty, or they differ.
        Unavailable, DatabaseRefused: call again to resume.
    """
    source, target = normalise_url(source_url), normalise_url(target_url)
    if _identity(source) == _identity(target):
        raise ConfigurationError("source and target are the same database")
    with ExitStack() as stack:
        for url in (source, target):
            lock = server_lock(url)
            if lock is not None:
                stack.callback(lock.release)
        if target.get_backend_name() == "sqlite":
            upgrade_schema(target)
        with _schema_errors_name(source), write_engine(source):
            pass  # it exists and has this release's schema
        with _schema_errors_name(target):
            engine = stack.enter_context(write_engine(target))
            check_requirements(engine)
        resumed = _begin(engine, _identity(source), restart=restart)
        rows = _move(source, target, engine, progress)
    return MoveResult(rows=rows, resumed=resumed)


def _move(source: URL, target: URL, engine: Engine, progress: Progress) -> dict[str, int]:
    try:
        counter = _copy(source, engine, progress)
        rows = _compare(source, target, counter)
    except BackupBroken as error:
        raise InvalidInput(f"the database can't be moved: {error.problem}") from error
    with transaction(engine) as database:
        database.reset_sequences()
        leases.release(database.connection, leases.MIGRATION, _identity(source))
    return rows


def _begin(engine: Engine, source: str, *, restart: bool) -> bool:
    """Return whether a move is resumed."""
    with transaction(engine) as database:
        marked = leases.read_holder(database.connection, leases.MIGRATION)
        occupied = database.occupied()
        if marked not in {None, source}:
            raise InvalidInput("the target has an unfinished move from another database; choose an empty one")
        if marked is None and occupied:
            raise InvalidInput(
                f"the target database is not empty (it has rows in {', '.join(occupied)}); choose an empty one"
            )
        if marked is None or restart:
            for table in reversed(TABLES):
                database.clear(table)
        if marked is None:
            leases.mark_migration(database.connection, source)
        return marked is not None and not restart


def _copy(source: URL, engine: Engine, progress: Progress) -> RowCounter:
    with snapshot(source) as original:
        counter = RowCounter(progress, 3 * original.count_all())  # copied, then compared on both sides
        for table in TABLES:
            with transaction(engine) as database:
                last = database.last_key(table)
                counter.add(database.count(table))
            rows = ChecksummedRows(table, counter.increment).pass_through(original.rows(table, last))
            for first in rows:
                with transaction(engine) as database:
                    database.insert(table, chain([first], islice(rows, ROWS_A_COMMIT - 1)))
    return counter


def _compare(source: URL, target: URL, counter: RowCounter) -> dict[str, int]:
    with snapshot(source) as original, snapshot(target) as copy:
        sums = {table.name: [side.checksum(table, counter.increment) for side in (original, copy)] for table in TABLES}
        counter.finish()
    differing = [name for name, (expected, actual) in sums.items() if expected != actual]
    if differing:
        raise InvalidInput(
            f"the databases differ in {', '.join(differing)}: one of them has changed since the move began; "
            "stop all servers and run the move again with --restart"
        )
    return {name: digest.rows for name, (digest, _) in sums.items()}


def _identity(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        name = str(Path(url.database or "").resolve())
    else:
        family = "postgresql" if url.get_backend_name() == "postgresql" else "mysql"
        name = f"{family}://{url.host or ''}:{url.port or ''}/{url.database}"
        if "schema" in url.query:
            name += f"?schema={url.query['schema']}"
    return hashlib.sha256(name.encode()).hexdigest()


@contextmanager
def _schema_errors_name(url: URL) -> Iterator[None]:
    try:
        yield
    except SchemaMismatch as error:
        shown = url.render_as_string(hide_password=True)
        raise ConfigurationError(f"{shown}: {error.message}, which is {shown}") from error
