"""Stepkeep itself: ``store.submit`` from many callers, ``store.submit_many`` with groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.core.message_ids import new_message_id
from app.sessions.service import SessionStore, now_us, open_store
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
"""Begun before the clock starts, and dealt out to the callers."""

SESSIONS_A_CALLER = 16

Work = tuple[SessionKey, AnyCommand]


def store_on(url: str) -> SessionStore:
    """Return a store on an empty database, with the newest schema."""
    normal = engines.normalise_url(url)
    if normal.get_backend_name() != "sqlite":  # open_store brings SQLite up by itself
        migrations.upgrade_schema(normal)
    return open_store(Settings(database_url=url, surveys_dir=Path("surveys")))


def begin_many(store: SessionStore, keys: Sequence[SessionKey]) -> None:
    """Begin these sessions."""
    for start in range(0, len(keys), 500):
        done = store.turns.submit_many([(key, Begin(at=now_us())) for key in keys[start : start + 500]])
        for result in done:
            accepted(result)


def accepted(result: Committed | Rejected | Exception) -> Committed:
    """Return the outcome of a command that must be accepted."""
    if isinstance(result, Exception):
        raise result
    if isinstance(result, Rejected):
        raise TypeError(f"refused: {result.rejection.code}")
    return result


def answer(step: str) -> AnyCommand:
    """Return the command of a participant at this step; one at the end begins a new walk."""
    at, message_id = now_us(), new_message_id()
    if step == NOT_BEGUN:
        return Begin(at=at, message_id=message_id)
    if step == END:
        return Restart(at=at, message_id=message_id)
    return Answer(at=at, message_id=message_id, step=step, value=answer_to(step))


class Walker:
    """One caller: walks its first session to the end, then the next, and so on around.

    Args:
        keys: its own sessions.
        steps: where each session is; shared, so that a later measurement goes on from there.
    """

    def __init__(self, keys: Sequence[SessionKey], steps: dict[SessionKey, str]) -> None:
        self._keys = keys
        self._steps = steps
        self._at = 0

    def ask(self) -> Work:
        """Return the next command."""
        key = self._keys[self._at]
        return key, answer(self._steps[key])

    def hear(self, result: Committed | Rejected | Exception) -> None:
        """Take note of what came of it."""
        step = accepted(result).state.current_step
        self._steps[self._keys[self._at]] = step
        if step == END:
            self._at = (self._at + 1) % len(self._keys)


class Ours(Contestant):
    """The contestant."""

    def __init__(self, url: str) -> None:
        self.store = store_on(url)
        keys = [SessionKey(SURVEY_ID, f"participant-{number:06d}") for number in range(SESSIONS)]
        begin_many(self.store, keys)
        self._keys = keys
        self._steps = dict.fromkeys(keys, STEPS[0])

    def walkers(self, callers: int) -> list[Walker]:
        """Return so many callers, each with sessions of its own."""
        return [Walker(self._keys[number::callers][:SESSIONS_A_CALLER], self._steps) for number in range(callers)]

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure ``turns`` (each caller its own thread or greenlet) or ``groups`` of ``callers`` turns."""
        walkers = self.walkers(callers)
        if what == "groups":
            return crowd.in_groups(lambda: self._group(walkers), seconds)
        return crowd.in_threads([lambda walker=walker: self._turn(walker) for walker in walkers], seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the database and its durability."""
        return {
            **self.store.queries.database_facts(),
            "durability": DURABILITY[self.store.queries.database_facts()["database"]],
        }

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _turn(self, walker: Walker) -> None:
        walker.hear(self.store.turns.submit(*walker.ask()))

    def _group(self, walkers: Sequence[Walker]) -> int:
        results = self.store.turns.submit_many([walker.ask() for walker in walkers])
        for walker, result in zip(walkers, results, strict=True):
            walker.hear(result)
        return len(results)


DURABILITY = {
    "sqlite": "WAL, synchronous=FULL",
    "postgresql": "synchronous_commit=on",
    "mariadb": "innodb_flush_log_at_trx_commit=1",
    "mysql": "innodb_flush_log_at_trx_commit=1",
}


def enter(spec: Mapping[str, Any]) -> Ours:
    """Return the contestant on the database of the spec."""
    return Ours(spec["url"])
