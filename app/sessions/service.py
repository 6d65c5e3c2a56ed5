"""The store: the service's parts, and their life cycle."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ..catalogue import Catalogue, read_catalogue
from ..core.clock import ForwardClock
from ..core.deadline import DeadlineThreads
from ..core.fork_hooks import ForkAware, register
from ..core.installation import COMMAND
from ..core.languages import use_directory
from ..errors import ConfigurationError, DatabaseFileLost, MissingKey, ReadOnlyDatabase, Unavailable
from ..notifications import ChangeNotifier
from ..settings import Settings
from ..store import (
    Action,
    AuditEntry,
    Page,
    RecordedEntry,
    SchemaGuard,
    audit,
    audit_chain,
    callers_engine,
    check_connections,
    check_requirements,
    check_schema,
    check_tables,
    cipher_from_keys,
    database_file,
    database_url,
    definitions,
    head_revision,
    history,
    keyset,
    leases,
    needs_upgrade,
    open_journal,
    startup_errors,
    translate_error,
    turn_statements,
    upgrade_schema,
    writer_engine,
)
from ..store.drivers import CallersTransactions, WriterConnection
from ..survey import SessionKey
from ..writer import Backlog, TransactionTurns, Writer
from .erasure import SessionEraser
from .key_filter import SessionKeyFilter
from .queries import SessionQueries, now_us
from .subscribers import Subscribers
from .survey_reload import SurveyReloader
from .turns import SessionTurns

log = logging.getLogger("stepkeep.store")

BLOCKING_CALLS = 8  # of callers that must not wait, at once: the connections that the readers' pool keeps open


class AuditLog:
    """Who read, exported or erased what. Safe from any thread."""

    def __init__(self, run_read: keyset.Run, run_transaction: keyset.Run, clock: Callable[[], int]) -> None:
        self._run_read = run_read
        self._run_transaction = run_transaction
        self._clock = clock

    def record(
        self,
        actor: str,
        action: Action,
        key: SessionKey | None = None,
        detail: audit.Detail | None = None,
        *,
        survey_id: str | None = None,
        user_id: str | None = None,
    ) -> None:
        """Commit an entry; raise Unavailable if it was not recorded, or the outcome is unknown."""
        entry = AuditEntry(
            at=self._clock(),
            actor=actor,
            action=action,
            survey_id=survey_id if key is None else key.survey_id,
            user_id=user_id if key is None else key.user_id,
            detail=detail or {},
        )
        self._run_transaction(lambda connection: audit.record(connection, entry))

    def page(
        self, after_id: int | None = None, limit: int = 100, filters: Mapping[str, str] | None = None
    ) -> Page[RecordedEntry, int]:
        return self._run_read(lambda connection: audit.read_page(connection, after_id, limit, filters or {}))


class SessionStore(ForkAware):
    """Durable survey sessions. Safe from any thread.

    Transactions of ``engine`` are shared with a program (``SessionTurns.submit_in``). On SQLite each begins as BEGIN
    IMMEDIATE: it waits for the writer, and others wait for it.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, clock: Callable[[], int] = now_us) -> None:
        self._url = url = database_url(settings)
        self.settings = settings
        self.backend = url.get_backend_name()
        self.sqlite_path = Path(url.database) if self.backend == "sqlite" and url.database else None
        self.catalogue = catalogue
        self.clock = ForwardClock(clock)
        self.schema_revision = head_revision()
        self._is_read_only = False
        self._close_callbacks: list[Callable[[], None]] = []
        self._open()
        register(self)

    def _open(self) -> None:
        settings, url, clock = self.settings, self._url, self.clock
        self.threads = DeadlineThreads(BLOCKING_CALLS)
        self.cipher = cipher_from_keys(settings.answers_keys.get_secret_value())
        check_schema = SchemaGuard().check
        self.queries = SessionQueries(settings, self.catalogue, url, self.cipher, clock, check_schema)
        self.run_read = self.queries.run
        self._write_engine: Engine = writer_engine(url)
        audit_chain.set_keys(self._write_engine, audit_chain.AuditKeys.derive(settings.secret_keys))
        self._connection = WriterConnection(self._write_engine, turn_statements(url), self.cipher, check_schema)
        revisions = self.queries.revisions
        self._writer = Writer(self._connection, settings, revisions.cached, revisions.load)
        self.run_transaction = self._writer.run
        self.engine: Engine = callers_engine(url)
        transactions = CallersTransactions(
            self.queries.engine,
            turn_statements(url),
            self.cipher,
            check_schema,
            outbox_callback=lambda: self._connection.outbox_callback(),  # noqa: PLW0108 - set later
        )
        self._key_filter = SessionKeyFilter(self.run_read)
        self._notifier = ChangeNotifier(
            settings,
            url,
            self.queries.versions,
            on_change=lambda key, version: self.turns.receive(key, version),  # noqa: PLW0108 - created below
            on_key=self._key_filter.add,
            own_writes=lambda: (self._connection.commits, self._connection.foreign_writes),
            read_changes=self.queries.changes,
        )
        # Without a broadcast, this process misses sessions that another one begins.
        self._key_filter.is_complete = self._notifier.is_broadcast or settings.web_concurrency == 1
        self.subscribers = Subscribers(self._notifier)
        self.surveys = SurveyReloader(
            settings, self.catalogue, self.queries, self.run_transaction, is_alone=self.backend == "sqlite"
        )
        journal = open_journal(settings.erasures_file, url)
        self.erasure = SessionEraser(self.queries, self.run_transaction, self.subscribers, journal)
        self.turns = SessionTurns(
            settings,
            self._writer,
            self.queries,
            self.erasure,
            self.subscribers,
            self._key_filter,
            transaction_turns=TransactionTurns(self._writer, transactions),
        )
        self.audit_log = AuditLog(self.run_read, self.run_transaction, clock)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit at the end, or roll back. Raise Unavailable, also if the commit's outcome is unknown."""
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self.engine.connect())
                connection.begin()
            except SQLAlchemyError as error:
                raise translate_error(error) from error
            yield connection
            try:
                connection.commit()
            except SQLAlchemyError as error:
                raise translate_error(error) from error

    def initialise(self, *, accepts_read_only: bool = False) -> None:
        """Check the database, store definitions, and replay the erasure journal."""
        try:
            self.check()
        except ReadOnlyDatabase as error:
            if not accepts_read_only:
                raise
            with startup_errors(self._url):
                check_schema(self._write_engine)
            self._check_content()
            log.warning("%s", error)
            self._is_read_only = True
            return
        with startup_errors(self._url):
            self._store_definitions()
            self.erasure.reconcile()

    def check(self) -> None:
        """Raise ConfigurationError unless a server can start; write nothing."""
        with startup_errors(self._url):
            check_requirements(self._write_engine)
            check_connections(self._write_engine, self.queries.engine)
            check_schema(self._write_engine)
            self.run_transaction(check_tables)
        self._check_content()

    def _check_content(self) -> None:
        with startup_errors(self._url):
            if self.run_read(lambda connection: leases.read_holder(connection, leases.MIGRATION)) is not None:
                raise ConfigurationError(
                    f"A move into this database is unfinished. Run `{COMMAND} backup move` on the old database again "
                    "to resume."
                )
            key_id = self.queries.missing_key()
        if key_id is not None:
            raise ConfigurationError(str(MissingKey(key_id)))
        if self.erasure.journal is not None:
            self.erasure.journal.check()

    def _store_definitions(self) -> None:
        newest = self.run_read(history.newest_time)
        if newest is not None:
            self.clock.start_at(newest)
        surveys, at = self.catalogue.surveys.values(), self.clock()
        self.run_transaction(lambda connection: definitions.add_definitions(connection, surveys, at))

    def start_background(self) -> None:
        if self._notifier.is_broadcast and not self._is_read_only:  # a standby refuses LISTEN
            self._notifier.start()  # first: sessions that others begin meanwhile are received, or read
        self.surveys.start()
        threading.Thread(target=self._key_filter.fill, name="stepkeep-keys", daemon=True).start()

    @property
    def local_folders(self) -> frozenset[Path]:
        journal = self.erasure.journal
        paths = (self.sqlite_path, None if journal is None else journal.path)
        return frozenset(path.resolve().parent for path in paths if path is not None)

    def file_problem(self) -> str | None:
        file = database_file(self._write_engine)
        if file is None:
            return None
        try:
            file.check()
        except DatabaseFileLost:
            with suppress(Unavailable):
                self.run_transaction(lambda _: None)  # saves what a deleted write-ahead log holds
        return file.problem

    def backlog(self) -> Backlog:
        pending = self.turns.pending
        return Backlog(self._writer.waiting_turns, pending.turns, is_unavailable=pending.is_unavailable)

    def drain(self, timeout_s: float) -> bool:
        """Wait until pending turns are committed; return False on timeout."""
        return self.turns.pending.wait_until_empty(timeout_s)

    def close(self) -> None:
        """Commit the submitted turns; clients resend those pending in memory."""
        for callback in self._close_callbacks:
            callback()
        self.surveys.close()
        self.threads.close()
        self.turns.close()
        self._key_filter.close()
        try:
            self._writer.close()
        finally:
            self._notifier.close()
            self._write_engine.dispose()
            self.engine.dispose()
            self.queries.close()

    def set_outbox_callback(self, callback: Callable[[], None]) -> None:
        """Call it, from any thread, after commits that queued a webhook delivery."""
        self._connection.outbox_callback = callback

    def add_close_callback(self, callback: Callable[[], None]) -> None:
        self._close_callbacks.append(callback)

    def before_fork(self) -> None:
        """Wait for the running transaction."""
        self._connection.before_fork()

    def after_fork_in_parent(self) -> None:
        self._connection.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        outbox_callback = self._connection.outbox_callback
        _PARENTS.append(vars(self).copy())
        self._open()
        self._connection.outbox_callback = outbox_callback


_PARENTS: list[object] = []  # what a child must not collect: that would close the parent's connections


def open_store(
    settings: Settings, clock: Callable[[], int] = now_us, *, accepts_read_only: bool = False
) -> SessionStore:
    """Return the store, or raise ConfigurationError; SQLite is upgraded, others must have the newest schema."""
    use_directory(settings.languages_dir)
    catalogue = read_catalogue(settings)
    url = database_url(settings)
    if url.get_backend_name() == "sqlite":
        upgrade_schema(url, catalogue.default_id)
    store = SessionStore(settings, catalogue, clock)
    try:
        store.initialise(accepts_read_only=accepts_read_only)
    except BaseException:
        store.close()
        raise
    return store


def check_store(settings: Settings) -> None:
    """Raise as :func:`open_store` would, without writing."""
    use_directory(settings.languages_dir)
    catalogue = read_catalogue(settings)
    url = database_url(settings)
    if url.get_backend_name() == "sqlite" and needs_upgrade(url):
        return
    store = SessionStore(settings, catalogue)
    try:
        store.check()
    finally:
        store.close()
