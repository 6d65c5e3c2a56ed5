"""Moving house: all rows from one database to another, any kind to any kind, in parts that a killed move goes on from.

Rows go in the order of their keys, a commit every ROWS_A_COMMIT of them; so the last key in a table of the target says
how far it is, and nothing else need be kept but whose move it is (``store/leases.py``): until both databases were
compared, row by row, and hold the same, no server starts on the target.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from sqlalchemy import URL, Engine, Table

from ...errors import BackupBroken, ConfigurationError, InvalidInput, SchemaMismatch
from ...store import leases
from ...store.engine import normalise_url, server_lock
from ...store.migrations import upgrade_schema
from .bulk import OpenDatabase
from .databases import snapshot, transaction, writing
from .row_format import TABLES, Counter, Progress, Summed, no_progress

ROWS_A_COMMIT = 20_000
"""Rows of a commit: a killed move has at most these to do again."""

PASSES = 2
"""How often all rows are gone through: moved, and compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A move that is done.

    Attributes:
        rows: by table, in both databases.
        continued: whether an earlier move that did not end was gone on with.
    """

    rows: dict[str, int]
    continued: bool


def move_database(source_url: str, target_url: str, *, afresh: bool = False, progress: Progress = no_progress) -> Moved:
    """Return what both databases hold: the same.

    The source must not change meanwhile: stop its servers. For SQLite that is looked for; elsewhere a change is found
    at the end, when both are compared, and the move is not done.

    Args:
        afresh: what an unfinished move of this source wrote is taken away first; else it is gone on with.

    Raises:
        ConfigurationError: a database can't be opened, has another schema, or is served; or both are the same.
        InvalidInput: the target is not empty; or it does not hold the same in the end.
        Unavailable, DatabaseRefused: a database failed; move again to go on.
    """
    source, target = normalise_url(source_url), normalise_url(target_url)
    if _identity(source) == _identity(target):
        raise ConfigurationError("the database to move to is the one to move from")
    with ExitStack() as stack:
        for url in (source, target):
            lock = server_lock(url)
            if lock is not None:
                stack.callback(lock.release)
        if target.get_backend_name() == "sqlite":
            upgrade_schema(target)
        with _named(source), writing(source):
            pass  # it is there, with this program's schema
        with _named(target):
            engine = stack.enter_context(writing(target))
        continued = _begin(engine, _identity(source), afresh=afresh)
        rows = _moved(source, target, engine, progress)
    return Moved(rows=rows, continued=continued)


def _moved(source: URL, target: URL, engine: Engine, progress: Progress) -> dict[str, int]:
    try:
        _copy(source, engine, _part(progress, 0))
        rows = _compare(source, target, _part(progress, 1))
    except BackupBroken as error:
        raise InvalidInput(f"the database can't be moved: {error.problem}") from error
    with transaction(engine) as database:
        database.follow_numbers()
        leases.unmark_migration(database.connection)
    return rows


def _begin(engine: Engine, source: str, *, afresh: bool) -> bool:
    """Take the target for this move; return whether it goes on with one that did not end."""
    with transaction(engine) as database:
        found = leases.migration_source(database.connection)
        occupied = database.occupied()
        if found not in {None, source}:
            raise InvalidInput("another database was being moved into the one to move to: name an empty one")
        if found is None and occupied:
            raise InvalidInput(
                f"the database to move to is not empty (there are rows in {', '.join(occupied)}): name an empty one"
            )
        if found is None or afresh:
            for table in reversed(TABLES):
                database.clear(table)
        if found is None:
            leases.mark_migration(database.connection, source)
        return found is not None and not afresh


def _copy(source: URL, engine: Engine, progress: Progress) -> None:
    with snapshot(source) as found:
        counter = Counter(progress, found.count_all())
        for table in TABLES:
            with transaction(engine) as database:
                last = database.last_key(table) or ()
                counter.add(database.count(table))
            rows = Summed(table, counter.one).passing(found.rows(table, last))
            for first in rows:
                with transaction(engine) as database:
                    database.insert(table, chain([first], islice(rows, ROWS_A_COMMIT - 1)))
        counter.end()


def _compare(source: URL, target: URL, progress: Progress) -> dict[str, int]:
    with snapshot(source) as here, snapshot(target) as there:
        counter = Counter(progress, 2 * here.count_all())
        sums = {table.name: (_sum(here, table, counter), _sum(there, table, counter)) for table in TABLES}
        counter.end()
    differing = [name for name, (one, other) in sums.items() if one != other]
    if differing:
        raise InvalidInput(
            f"the databases differ in {', '.join(differing)}: the one to move from has changed since the move began, "
            "or somebody has written into the other; stop all servers and move again with --afresh"
        )
    return {name: rows for name, ((rows, _), _) in sums.items()}


def _sum(database: OpenDatabase, table: Table, counter: Counter) -> tuple[int, str]:
    summed = Summed(table, counter.one)
    for _ in summed.passing(database.rows(table)):
        pass
    return summed.rows, summed.sha256


def _identity(url: URL) -> str:
    """Return the hash of what names a database, whoever opens it: without user and password."""
    if url.get_backend_name() == "sqlite":
        named = str(Path(url.database or "").resolve())
    else:
        family = "postgresql" if url.get_backend_name() == "postgresql" else "mysql"
        named = f"{family}://{url.host or ''}:{url.port or ''}/{url.database}"
    return hashlib.sha256(named.encode()).hexdigest()


@contextmanager
def _named(url: URL) -> Iterator[None]:
    """Say of which of the two databases the schema is another."""
    try:
        yield
    except SchemaMismatch as error:
        shown = url.render_as_string(hide_password=True)
        raise ConfigurationError(f"{shown}: {error.message}, which is {shown}") from error


def _part(progress: Progress, number: int) -> Progress:
    return lambda done, total: progress(number * total + done, PASSES * total)
