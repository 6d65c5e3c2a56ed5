"""Is this server ready to be sent participants? One check a part, each with what to do where it fails.

Asked by load balancers every few seconds, so what changes is logged, once: the answer itself tells strangers nothing.
"""

import logging
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, cast

import flask

from ..errors import MissingKey, SchemaMismatch, StepkeepError
from ..sessions.service import SessionStore
from ..store import history
from ..store.engine import normalise_url
from .ws.connection_limits import Connections

log = logging.getLogger("stepkeep.readiness")

FEW_FREE_BYTES = 256 * 2**20
"""Of the disk with a SQLite file: from here on it is worth a warning."""

TOO_FEW_FREE_BYTES = 16 * 2**20
"""Less than the write-ahead log may grow to between two checkpoints."""

Status = Literal["ok", "warning", "failing"]


class Check(NamedTuple):
    """How one part is.

    Attributes:
        name: database, schema, answers_key, writer, disk, surveys, server.
        hint: what is wrong and what to do; None where nothing is.
        code: that the problem has where it fails.
    """

    name: str
    status: Status = "ok"
    hint: str | None = None
    code: str = "unavailable"

    def shown(self) -> dict[str, str | None]:
        """Return it as REST shows it."""
        return {"name": self.name, "status": self.status, "hint": self.hint}


class Health(NamedTuple):
    """How all parts are, and what is known of the database."""

    checks: list[Check]
    facts: Mapping[str, str]

    @property
    def failing(self) -> Check | None:
        """The first check that fails: while there is one, the server is not ready."""
        return next((check for check in self.checks if check.status == "failing"), None)


class Readiness:
    """The application's extension ``stepkeep_readiness``. Safe from any thread."""

    def __init__(self, store: SessionStore, connections: Connections) -> None:
        self._store = store
        self._connections = connections
        self._mutex = threading.Lock()
        self._told: frozenset[str] = frozenset()

    def look(self) -> Health:
        """Return how all is now, and log what began or ended to fail."""
        of_database, facts = self._database()
        checks = [*of_database, self._writer(), *self._disk(), self._surveys(), self._server()]
        self._tell(checks)
        return Health(checks, facts)

    def _database(self) -> tuple[list[Check], Mapping[str, str]]:
        try:
            facts = self._store.queries.database_facts()
        except SchemaMismatch as error:
            if error.is_newer:  # it was right at the start, and a newer release's schema keeps this one going
                hint = "a newer release has changed the schema: replace this server by one of that release"
                return [Check("database"), Check("schema", "warning", hint), self._answers_key()], {}
            return [Check("database"), Check("schema", "failing", error.message, error.code)], {}
        except StepkeepError as error:
            return [Check("database", "failing", error.message, error.code)], {}
        return [Check("database"), Check("schema"), self._answers_key()], facts

    def _answers_key(self) -> Check:
        try:
            missing = self._store.run_read(lambda connection: history.find_missing_key(connection, self._store.cipher))
        except StepkeepError as error:
            return Check("answers_key", "failing", error.message, error.code)
        if missing is None:
            return Check("answers_key")
        return Check("answers_key", "failing", str(MissingKey(missing)), MissingKey.code)

    def _writer(self) -> Check:
        backlog = self._store.backlog()
        if backlog.is_unavailable:
            kept = f"{backlog.pending} turns are kept in memory"
            return Check("writer", "failing", f"the database takes no turns: {kept}; see what holds or fills it")
        if backlog.queued >= self._store.settings.queue_limit:
            return Check("writer", "warning", f"{backlog.queued} turns wait: the database is slower than what comes")
        return Check("writer")

    def _disk(self) -> list[Check]:
        """Return how much room a SQLite file has; other databases have disks of their own."""
        url = normalise_url(self._store.settings.database_url)
        if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
            return []
        try:
            free = shutil.disk_usage(Path(url.database).resolve().parent).free
        except OSError as error:
            return [Check("disk", "failing", f"the database's folder can't be looked at ({type(error).__name__})")]
        if free >= FEW_FREE_BYTES:
            return [Check("disk")]
        hint = f"{free // 2**20} MiB are free on the database's disk: make room"
        return [Check("disk", "failing" if free < TOO_FEW_FREE_BYTES else "warning", hint)]

    def _surveys(self) -> Check:
        if self._store.catalogue.surveys:
            return Check("surveys")
        return Check("surveys", "warning", "there are none: put survey files into STEPKEEP_SURVEYS_DIR and start anew")

    def _server(self) -> Check:
        return Check("server", "failing", "it stops") if self._connections.stopping else Check("server")

    def _tell(self, checks: list[Check]) -> None:
        failing = frozenset(check.name for check in checks if check.status == "failing")
        with self._mutex:
            before, self._told = self._told, failing
        for check in checks:
            if check.name in failing - before:
                log.warning("not ready: %s: %s", check.name, check.hint)
        if before and not failing:
            log.warning("ready again")


def readiness() -> Readiness:
    """Return the running application's."""
    return cast("Readiness", flask.current_app.extensions["stepkeep_readiness"])
