"""Stepkeep itself: ``store.turns.submit`` from many callers, ``store.turns.submit_many`` with groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.core.message_ids import new_message_id
from app.sessions import SessionStore, now_us, open_store
from app.settings import Settings
from app.store import engine as engines
from app.store import migrations
from app.survey.commands import Answer, AnyCommand, Begin, Restart
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed, Rejected
from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.workload import END, NOT_BEGUN, STEPS, SURVEY_ID, answer_to

SESSIONS = 2048
"""Sessions, begun before the clock starts and divided among the callers."""

SESSIONS_PER_CALLER = 16

Work = tuple[SessionKey, AnyCommand]


def store_on(url: str) -> SessionStore:
    """Return a store on an empty database, with the newest schema."""
    normal = engines.normalise_url(url)
    if normal.get_backend_name() != "sqlite":  # open_store upgrades SQLite
        migrations.upgrade_schema(normal)
    return open_store(Settings(database_url=url, surveys_dir=Path("surveys")))


def begin_many(store: SessionStore, keys: Sequence[SessionKey]) -> None:
    """Begin these sessions."""
    for start in range(0, len(keys), 500):
        results = store.turns.submit_many([(key, Begin(at=now_us())) for key in keys[start : start + 500]])
        for result in results:
            accepted(result)


def accepted(result: Committed | Rejected | Exception) -> Committed:
    """Return the committed result of a command, which must be accepted."""
    if isinstance(result, Exception):
        raise result
    if isinstance(result, Rejected):
        raise TypeError(f"rejected: {result.rejection.code}")
    return result


def answer(step: str) -> AnyCommand:
    """Return the participant's command at a step: an answer, or a restart at the end."""
    at, message_id = now_us(), new_message_id()
    if step == NOT_BEGUN:
        return Begin(at=at, message_id=message_id)
    if step == END:
        return Restart(at=at, message_id=message_id)
    return Answer(at=at, message_id=message_id, step=step, value=answer_to(step))


class Walker:
    """A caller that walks through its sessions one after another, repeatedly.

    Args:
        keys: its sessions.
        steps: current step of each session; shared, so that a later measurement continues from there.
    """

    def __init__(self, keys: Sequence[SessionKey], steps: dict[SessionKey, str]) -> None:
        self._keys = keys
        self._steps = steps
        self._at = 0

    def next_command(self) -> Work:
        """Return the next command."""
        key = self._keys[self._at]
        return key, answer(self._steps[key])

    def advance(self, result: Committed | Rejected | Exception) -> None:
        """Update the session's step from the result of its command."""
        step = accepted(result).snapshot.state.current_step
        self._steps[self._keys[self._at]] = step
        if step == END:
            self._at = (self._at + 1) % len(self._keys)


def advance_all(store: SessionStore, walkers: Sequence[Walker]) -> int:
    """Submit the next command of each as one group; return their number."""
    results = store.turns.submit_many([walker.next_command() for walker in walkers])
    for walker, result in zip(walkers, results, strict=True):
        walker.advance(result)
    return len(results)


class OnStore(Contestant):
    """A contestant that uses a store on the database."""

    def __init__(self, url: str) -> None:
        self.store = store_on(url)

    def facts(self) -> Mapping[str, str]:
        """Return the database."""
        return self.store.queries.database_facts()

    def close(self) -> None:
        """Close the store."""
        self.store.close()


class Stepkeep(OnStore):
    """Stepkeep as a contestant."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        keys = [SessionKey(SURVEY_ID, f"participant-{number:06d}") for number in range(SESSIONS)]
        begin_many(self.store, keys)
        self._keys = keys
        self._steps = dict.fromkeys(keys, STEPS[0])

    def walkers(self, callers: int) -> list[Walker]:
        """Return this many callers with separate sessions."""
        return [Walker(self._keys[number::callers][:SESSIONS_PER_CALLER], self._steps) for number in range(callers)]

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure ``turns`` (a thread or greenlet per caller) or ``groups`` of ``callers`` turns."""
        walkers = self.walkers(callers)
        if what == "groups":
            return crowd.in_groups(lambda: advance_all(self.store, walkers), seconds)
        return crowd.in_threads([lambda walker=walker: self._turn(walker) for walker in walkers], seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the database and its durability."""
        facts = super().facts()
        return {**facts, "durability": DURABILITY[facts["database"]]}

    def _turn(self, walker: Walker) -> None:
        walker.advance(self.store.turns.submit(*walker.next_command()))


DURABILITY = {
    "sqlite": "WAL, synchronous=FULL",
    "postgresql": "synchronous_commit=on",
    "mariadb": "innodb_flush_log_at_trx_commit=1",
    "mysql": "innodb_flush_log_at_trx_commit=1",
}


def enter(spec: Mapping[str, Any]) -> Stepkeep:
    """Return the contestant on the database of the spec."""
    return Stepkeep(spec["url"])
