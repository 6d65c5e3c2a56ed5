"""SessionStore, the session store service: the doors' only way in.

Validates what every door is given, hands commands to the writer, reads sessions, and tells the other
connections of a session what changed. Safe from any thread.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine

from ..catalogue import Catalogue, read_catalogue
from ..core.deadline import within
from ..core.fork_hooks import tell_of_forks
from ..core.message_ids import new_message_id
from ..errors import (
    AnswersLocked,
    ConfigurationError,
    DatabaseUnavailable,
    NoSuchSession,
    SessionUnreadable,
    Unavailable,
    VersionConflict,
)
from ..notifications.notifier import open_news
from ..settings import Settings
from ..store import engine as engines
from ..store import history, moving
from ..store.drivers.connection import HeldConnection, leave_to_parent
from ..store.migrations import check_schema, upgrade_schema
from ..survey.commands import AnyCommand, Begin, Draft, Expire
from ..survey.definition import Survey
from ..survey.events import Answered
from ..survey.snapshot import SessionKey, Snapshot
from ..survey.state import SessionState
from ..writer.batch import Outcome, Refused, Result, Turn
from ..writer.group_commit import Writer
from ..writer.pending import Accepted, Backlog, PendingTurns, Verdict
from .condition_warnings import ConditionLog
from .erasure import RemovingStore
from .key_filter import KnownKeys
from .queries import now_us
from .subscribers import Listener, Listeners
from .validation import check_command, problem_of

log = logging.getLogger("stepkeep.service")

T = TypeVar("T")


class SessionStore(RemovingStore):
    """Durable survey sessions.

    Args:
        settings: as read at start.
        catalogue: the surveys that are offered.
        clock: gives microseconds since 1970 UTC.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, clock: Callable[[], int] = now_us) -> None:
        url = engines.normalise_url(settings.database_url)
        super().__init__(settings, catalogue, url, clock)
        self._writing: Engine = engines.writer_engine(url)
        gateway_of = engines.gateway_of(url)
        self._held = HeldConnection(self._writing, gateway_of, self.sealing)
        known = self._revisions.known
        self._writer = Writer(self._held, settings, known, self._revisions.find)
        self._pending = PendingTurns(settings, self._writer.submit_many, known)
        self._known_keys = KnownKeys(self._all_keys, lambda: self.read(history.count_sessions))
        self._news = open_news(settings, url, self._read_versions, self._heard, self._known_keys.add)
        # Else others may begin sessions that this process never hears of.
        self._hears_of_all = self._news.hears_of_all or settings.web_concurrency == 1
        self._conditions = ConditionLog()
        self._is_read_again_at = 0.0
        self._at_close: list[Callable[[], None]] = []
        tell_of_forks(self)

    def prepare(self) -> None:
        """Check the schema and keep the definitions of all surveys, so that sessions can pin them.

        What an older backup brought back of the erased is erased again (``reerasure.bring_together``).

        Raises:
            ConfigurationError: the database can't be opened, has another schema, or its newest answers are sealed
                with a key that is not given; or the list of erasures can't be kept.
        """
        engines.connect_or_explain(self._writing)
        check_schema(self._writing)
        if self.read(moving.source_of) is not None:
            raise ConfigurationError(
                "the move into this database has not ended: run `flask backup move` on the old one again, to go on"
            )
        missing = self.read(lambda connection: history.find_missing_key(connection, self.sealing))
        if missing is not None:
            raise ConfigurationError(str(AnswersLocked(missing)))
        at = self.clock()

        def keep(connection: Connection) -> None:
            for survey in self.catalogue.surveys.values():
                history.keep_definition(connection, survey.id, survey.revision, survey.definition, at)

        self._writer.run(keep)
        if self._erasure_list is not None:
            self._erasure_list.check()
            self._bring_together()

    def serve(self) -> None:
        """Find out which sessions there are, beside all else: so that new participants can begin at any time."""
        if self._news.hears_of_all:
            self._news.start()  # first: what others begin meanwhile is heard, or read
        threading.Thread(target=self._known_keys.fill, name="stepkeep-keys", daemon=True).start()

    def backlog(self) -> Backlog:
        """Return what waits to be saved in this process; never waits itself."""
        return Backlog(self._writer.waiting_turns, self._pending.turns, is_away=self._pending.is_away)

    def settle(self, timeout_s: float) -> bool:
        """Return whether all that waits for the database was committed in time."""
        return self._pending.wait_until_settled(timeout_s)

    def close(self) -> None:
        """Commit what waits and give the connections back; what is submitted later is refused."""
        for call in self._at_close:
            call()
        self._pending.close()
        self._known_keys.close()
        try:
            self._writer.close()
        finally:
            self._news.close()
            self._writing.dispose()
            self._reading.dispose()

    def on_outbox(self, call: Callable[[], None]) -> None:
        """Let ``call`` be called, from any thread, when this process has committed something for webhooks."""
        self._held.on_outbox = call

    def at_close(self, call: Callable[[], None]) -> None:
        """Let ``call`` be called when the store is closed, by what reads it in a thread of its own."""
        self._at_close.append(call)

    def before_fork(self) -> None:
        """Let the running transaction end. This and the next two are called by themselves, at each fork."""
        self._held.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._held.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        """Begin anew: connections, locks and what waits are the parent's."""
        self._conditions = ConditionLog()
        self._listeners = Listeners()
        self._writer.after_fork()
        self._pending.after_fork()
        self._known_keys.after_fork()
        self._news.after_fork()
        leave_to_parent(self._writing)
        leave_to_parent(self._reading)

    def begin(self, key: SessionKey, *, is_audio_mode: bool) -> tuple[Snapshot, bool]:
        """Return the session, begun if there was none, and whether it was there already.

        A stored session that can't be read is set aside, and a new one begins.

        Raises:
            NoSuchSurvey: there is no session and no such survey to begin.
        """
        try:
            found = self._load_with_survey(key)
        except SessionUnreadable as error:
            self._set_aside(key, error)
            found = None
        if found is not None:
            return found, True
        self.catalogue.survey(key.survey_id)
        result = self._writer.submit(key, Begin(at=self.clock(), is_audio_mode=is_audio_mode))
        self._known_keys.add(key)
        if result.state is None:  # pragma: no cover - Begin is accepted, or there is a session
            raise NoSuchSession(key.survey_id, key.user_id)
        return Snapshot(key=key, state=result.state, survey=result.survey), isinstance(result, Refused)

    def enter(
        self, key: SessionKey, *, is_audio_mode: bool, listener: Listener | None, verdict: Verdict
    ) -> tuple[Snapshot, int, bool]:
        """Return the session of a participant who comes, its stored version, and whether it was there already.

        As :meth:`begin`; but while the database is away, he is shown what this process knows of his session, and
        who is surely new begins one that is stored later (its version is 0 until then).

        Args:
            listener: the connection, which isn't told of such a beginning,
            verdict: but gets what came of it.

        Raises:
            NoSuchSurvey: there is no session and no such survey to begin.
            Unavailable: the database is away, and nothing is known of him: there may be a session.
        """
        foreseen = self._pending.foreseen(key)
        if foreseen is None:
            try:
                found = self._begin_at_once(key, is_audio_mode=is_audio_mode)
            except AnswersLocked:  # the database is there
                raise
            except Unavailable:
                stored = self._listeners.stored(key)
                if stored is not None:
                    return stored, stored.state.version, True
                if not (self._hears_of_all and self._known_keys.is_surely_new(key)):
                    raise
                found = None
            if found is not None:
                snapshot, resumed = found
                return snapshot, snapshot.state.version, resumed
            begin = Begin(at=self.clock(), is_audio_mode=is_audio_mode)
            foreseen = self._begin_pending(key, begin, self._told_of(key, listener, verdict))
        snapshot = Snapshot(key=key, state=foreseen.state, survey=foreseen.survey)
        return snapshot, foreseen.version, foreseen.version > 0 or len(foreseen.state.answers) > 0

    def _begin_at_once(self, key: SessionKey, *, is_audio_mode: bool) -> tuple[Snapshot, bool] | None:
        """Begin, without waiting long for a database that doesn't answer, or at all where it just did not.

        None where the database says that there is no session, and takes none now.
        """
        if time.monotonic() < self._is_read_again_at:
            raise DatabaseUnavailable("away")
        try:
            return within(ENTER_WITHIN_S, partial(self._load_or_begin, key, is_audio_mode=is_audio_mode))
        except DatabaseUnavailable:
            self._is_read_again_at = time.monotonic() + READ_AGAIN_S
            raise

    def _load_or_begin(self, key: SessionKey, *, is_audio_mode: bool) -> tuple[Snapshot, bool] | None:
        with suppress(SessionUnreadable):
            found = self._load_with_survey(key)
            if found is not None:
                self._known_keys.add(key)
                return found, True
            if self._pending.is_away:
                return None
        return self.begin(key, is_audio_mode=is_audio_mode)

    def _begin_pending(self, key: SessionKey, begin: Begin, verdict: Verdict) -> Accepted:
        survey = self.catalogue.survey(key.survey_id)
        accepted = self._pending.accept(key, begin, lambda: (None, survey), verdict)
        if isinstance(accepted, Refused):  # pragma: no cover - of a beginning nothing is checked
            raise DatabaseUnavailable("away")
        return accepted

    def submit(self, key: SessionKey, command: AnyCommand) -> Result:
        """Return what came of the command, committed; the connections of the session are told.

        Raises:
            Unavailable, MessageIdReused, SessionUnreadable: see ``Writer.submit``.
            InvalidInput: a state that can't be saved.
        """
        check_command(command)
        result = self._writer.submit(key, _identified(command))
        if isinstance(result, Outcome):
            self._follow_up(key, result, None)
        return result

    def submit_or_accept(
        self, key: SessionKey, command: AnyCommand, listener: Listener, verdict: Verdict
    ) -> Result | Accepted:
        """Return what came of a participant's command, committed; or accept it to be committed later.

        Nobody waits longer than STEPKEEP_PENDING_AFTER_S for a broken database. While it is away, and until all is
        committed that was accepted meanwhile, commands are decided in memory and wait in their order.

        Args:
            listener: the connection that sends it, which isn't told of the change.
            verdict: gets what came of the command, where it was accepted; from another thread.

        Raises:
            Overloaded: no more is kept in memory; nothing was done.
            AnswersLocked, MessageIdReused, SessionUnreadable, InvalidInput: as :meth:`submit`.
        """
        check_command(command)
        if not self._pending.is_away and not self._pending.holds(key):
            try:
                result = self._writer.submit_within(key, command, self.settings.pending_after_s)
            except AnswersLocked:  # waiting gives no key
                raise
            except Unavailable:
                pass
            else:
                if isinstance(result, Outcome):
                    self._follow_up(key, result, listener)
                return result
        return self._pending.accept(key, command, partial(self._stored, key), self._told_of(key, listener, verdict))

    def submit_many(self, turns: Sequence[Turn]) -> list[Result | Exception]:
        """Return what came of each command, in order, committed; one that fails doesn't fail the others.

        The way in for many turns at once (imports, tests, simulations): no hand-over, one transaction for
        ``batch_limit`` of them. What :meth:`submit` would raise for a turn stands in its place.
        """
        problems = {number: problem for number, turn in enumerate(turns) if (problem := problem_of(turn[1]))}
        sound = [(key, _identified(command)) for n, (key, command) in enumerate(turns) if n not in problems]
        results = iter(self._writer.submit_many(sound))
        answers = [problems[number] if number in problems else next(results) for number in range(len(turns))]
        for (key, _), result in zip(turns, answers, strict=True):
            if isinstance(result, Outcome):
                self._follow_up(key, result, None)
        return answers

    def submit_or_raise(self, key: SessionKey, command: AnyCommand) -> Outcome:
        """Return the outcome of an integrator's command.

        Raises:
            NoSuchSession: there is none.
            VersionConflict: it has changed since ``expected_version``.
        """
        result = self.submit(key, command)
        if isinstance(result, Outcome):
            return result
        if result.rejection.code == "version_conflict":
            found = result.state.version if result.state is not None else 0
            raise VersionConflict(command.expected_version or 0, found)
        raise NoSuchSession(key.survey_id, key.user_id)

    def write(self, work: Callable[[Connection], T]) -> T:
        return self._writer.run(work)

    def listen(self, key: SessionKey, listener: Listener) -> None:
        """Announce to ``listener`` each new state that others make, in whatever process."""
        if self._listeners.add(key, listener):
            self._news.follow(key, self._listeners.newest_version(key))

    def unlisten(self, key: SessionKey, listener: Listener) -> None:
        """End what :meth:`listen` began."""
        if self._listeners.remove(key, listener):
            self._news.unfollow(key)

    def _follow_up(self, key: SessionKey, result: Outcome, sender: Listener | None) -> None:
        # Also of a duplicate: the store's own retry finds as one what was committed when its reply was lost.
        if isinstance(result.event, Answered) and result.event.failed_conditions:
            self._conditions.warn(key, result.version, result.event.failed_conditions)
        self._news.announce(key, result.state.version)
        if result.version == 1:
            self._known_keys.add(key)
        if self._pending.holds(key):
            self._pending.rebase(key, result.state, result.survey)
        if key in self._listeners:
            self._listeners.tell(Snapshot(key=key, state=result.state, survey=result.survey), sender)

    def _told_of(self, key: SessionKey, sender: Listener | None, verdict: Verdict) -> Verdict:
        def tell(result: Result | Exception) -> None:
            if isinstance(result, Outcome):
                self._follow_up(key, result, sender)
            verdict(result)

        return tell

    def _stored(self, key: SessionKey) -> tuple[SessionState | None, Survey | None]:
        stored = self._listeners.stored(key)
        return (None, None) if stored is None else (stored.state, stored.survey)

    def _heard(self, key: SessionKey, version: int) -> None:
        """Tell those who show a session that another process changed it."""
        if version <= self._listeners.newest_version(key):
            return
        with suppress(SessionUnreadable):
            snapshot = self.load(key)
            if snapshot is None or snapshot.state.version <= self._listeners.newest_version(key):
                return  # known by now: this process's own, whose news are slower than its answer
            if self._pending.holds(key):
                # Some of what waits here may be in it, committed by a try that seemed to fail: its sender gets acks.
                self._pending.rebase(key, snapshot.state, snapshot.survey)
            else:
                self._listeners.tell(snapshot, None)


ENTER_WITHIN_S = 3.0
"""Seconds that a participant who comes may wait for his session."""

READ_AGAIN_S = 1.0
"""Seconds for which nobody waits for a database that has just failed to answer somebody else's reading."""


def open_store(settings: Settings, clock: Callable[[], int] = now_us) -> SessionStore:
    """Return the store that the settings describe, ready for use.

    The embedded SQLite database is brought to the newest schema; another database must be there
    already (``alembic upgrade head``).

    Raises:
        ConfigurationError: a survey file, the database or its schema can't be used.
    """
    catalogue = read_catalogue(settings)
    url = engines.normalise_url(settings.database_url)
    if url.get_backend_name() == "sqlite":
        upgrade_schema(url)
    store = SessionStore(settings, catalogue, clock)
    try:
        store.prepare()
    except BaseException:
        store.close()
        raise
    return store


def _identified(command: AnyCommand) -> AnyCommand:
    """Return the command with a message id: a commit whose outcome is unknown is tried again, and must count once.

    What names no id and changes nothing when it is done twice goes without: to begin, a draft, to expire.
    """
    if command.message_id is not None or isinstance(command, Begin | Draft | Expire):
        return command
    return replace(command, message_id=new_message_id())
