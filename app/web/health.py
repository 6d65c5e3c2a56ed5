"""Health checks and gauges of the server's parts."""

import logging
import shutil
import sys
import threading
from collections.abc import Mapping
from typing import Literal, NamedTuple

from ..core.deadline import DeadlineThreads
from ..core.fork_hooks import ForkAware, register
from ..errors import DatabaseUnavailable, MissingKey, SchemaMismatch, StepkeepError
from ..observability import metrics
from ..sessions import SessionStore
from .rate_limits import ConnectionLimits

log = logging.getLogger("stepkeep.readiness")

MIN_DISK_BYTES = 16 * 2**20  # below this the check fails: the write-ahead log may grow by it
DATABASE_S = 1.5  # longest wait for the database: a load balancer gives up after some seconds
DATABASE_CALLS = 8  # that may hang at once; further checks wait as long for a place
REFRESH_S = 1.0  # between refreshes of the gauges; each scrape refreshes them too
CLOSING_S = 5.0

SHOWN_ERRORS = 3  # errors of survey files that a check names

Status = Literal["ok", "warning", "failing"]


class Check(NamedTuple):
    """The health of one part."""

    name: str
    status: Status = "ok"
    hint: str | None = None  # what is wrong and what to do
    code: str = "unavailable"

    def to_dict(self) -> dict[str, str | None]:
        return {"name": self.name, "status": self.status, "hint": self.hint}


class Health(NamedTuple):
    """All checks, and facts about the database."""

    checks: list[Check]
    facts: Mapping[str, str]
    is_database_hanging: bool  # further calls would hang too

    @property
    def failing(self) -> Check | None:
        return next((check for check in self.checks if check.status == "failing"), None)


class HealthChecks:
    """Runs the checks. Safe from any thread."""

    def __init__(self, store: SessionStore, connections: ConnectionLimits) -> None:
        self._store = store
        self._connections = connections
        self._mutex = threading.Lock()
        self._database_calls = DeadlineThreads(DATABASE_CALLS)
        store.add_close_callback(self._database_calls.close)
        self._failing: frozenset[str] = frozenset()

    def run(self) -> Health:
        """Run all checks, within DATABASE_S; log only changes, since load balancers ask every few seconds."""
        is_hanging = False
        try:
            database, facts = self._database_calls.run(DATABASE_S, self._database)
        except DatabaseUnavailable:  # raised by no check
            hint = f"The database did not respond within {DATABASE_S} s. Check whether it runs, and what it waits for."
            database, facts, is_hanging = [Check("database", "failing", hint)], {}, True
        checks = [*database, self._writer(), *self._disk(), self._surveys(), self._server()]
        self._log_changes(checks)
        return Health(checks, facts, is_hanging)

    def _database(self) -> tuple[list[Check], Mapping[str, str]]:
        try:
            if (problem := self._store.file_problem()) is not None:
                return [Check("database", "failing", problem)], {}
            facts = self._store.queries.database_facts()
        except SchemaMismatch as error:
            return [Check("database"), Check("schema", "failing", error.message, error.code)], {}
        except StepkeepError as error:
            return [Check("database", "failing", error.message, error.code)], {}
        return [Check("database"), Check("schema"), self._answers_key()], facts

    def _answers_key(self) -> Check:
        try:
            missing = self._store.queries.missing_key()
        except StepkeepError as error:
            return Check("answers_key", "failing", error.message, error.code)
        if missing is None:
            return Check("answers_key")
        return Check("answers_key", "failing", str(MissingKey(missing)), MissingKey.code)

    def _writer(self) -> Check:
        backlog = self._store.backlog()
        if backlog.is_unavailable:
            hint = f"The database accepts no writes; {backlog.pending} turns are in memory. Check its log and disk."
            return Check("writer", "failing", hint)
        if backlog.queued >= self._store.settings.queue_limit:
            hint = f"{backlog.queued} turns are queued: the database is too slow for the load."
            return Check("writer", "warning", hint)
        return Check("writer")

    def is_storage_low(self) -> bool:
        try:
            return self._free_bytes() < self._store.settings.low_disk_mib * 2**20
        except OSError:
            return False  # the next write says what is wrong

    def _free_bytes(self) -> int:
        return min((shutil.disk_usage(folder).free for folder in self._store.local_folders), default=sys.maxsize)

    def _disk(self) -> list[Check]:
        if not self._store.local_folders:
            return []
        try:
            free_bytes = self._free_bytes()
        except OSError as error:
            problem = f"The folder of the database or the erasure journal cannot be read ({type(error).__name__})."
            return [Check("disk", "failing", problem)]
        if free_bytes >= self._store.settings.low_disk_mib * 2**20 and free_bytes >= MIN_DISK_BYTES:
            return [Check("disk")]
        hint = (
            f"Only {free_bytes // 2**20} MiB are free on the disk of the database or the erasure journal: public "
            "surveys admit no new participants. Free some space."
        )
        return [Check("disk", "failing" if free_bytes < MIN_DISK_BYTES else "warning", hint)]

    def _surveys(self) -> Check:
        errors = self._store.catalogue.errors
        if errors:
            more = f", and {len(errors) - SHOWN_ERRORS} more errors" if len(errors) > SHOWN_ERRORS else ""
            shown = "; ".join(map(str, errors[:SHOWN_ERRORS]))
            return Check("surveys", "warning", f"Files were not taken; their surveys are as before: {shown}{more}")
        if self._store.catalogue.surveys:
            return Check("surveys")
        return Check("surveys", "warning", "No surveys loaded. Add survey files to STEPKEEP_SURVEYS_DIR and reload.")

    def _server(self) -> Check:
        if self._connections.stopping:
            return Check("server", "failing", "The server is shutting down.")
        return Check("server")

    def _log_changes(self, checks: list[Check]) -> None:
        failing = frozenset(check.name for check in checks if check.status == "failing")
        with self._mutex:
            before, self._failing = self._failing, failing
        for check in checks:
            if check.name in failing - before:
                log.warning("not ready: %s: %s", check.name, check.hint)
        if before and not failing:
            log.warning("ready again")


class Gauges(ForkAware):
    """Refreshes the gauges of queues and connections.

    Set at each turn, they would slow turns; set by the writer, they would freeze with it.
    """

    def __init__(self, store: SessionStore, connections: ConnectionLimits) -> None:
        self._store = store
        self._connections = connections
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        store.add_close_callback(self.close)
        register(self)

    def start(self) -> None:
        with self._mutex:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="stepkeep-gauges", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSING_S)

    def after_fork_in_child(self) -> None:
        self._mutex, self._closing = threading.Lock(), threading.Event()
        self._thread = None

    def refresh(self) -> None:
        self._store.file_problem()  # saves turns if a SQLite file was deleted or replaced
        backlog = self._store.backlog()
        metrics.QUEUE_TURNS.set(backlog.queued)
        metrics.PENDING_TURNS.set(backlog.pending)
        metrics.DATABASE_UNAVAILABLE.set(backlog.is_unavailable)
        metrics.CONNECTIONS.set(self._connections.open)

    def _run(self) -> None:
        while not self._closing.wait(REFRESH_S):
            self.refresh()
