"""Demo sessions, with the user ids ``demo-<seed>-<number>``."""

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, and_, not_, select

from ...core.installation import COMMAND
from ...core.progress import Progress, no_progress
from ...errors import InvalidInput
from ...sessions import SessionStore
from ...store import history, keyset, owner_of, tables
from ...survey import AnyCommand, SessionKey, Survey
from ...writer import Turn
from .simulate import arrivals, simulate

TURNS_A_CALL = 5000  # the store commits them STEPKEEP_BATCH_LIMIT at a time
ERASE_BATCH = 500  # sessions per transaction: turns wait for it
_DEMO_ID = re.compile(r"demo-[0-9]+-[0-9]{7,}")
_IN_RANGE = and_(tables.sessions.c.user_id >= "demo-", tables.sessions.c.user_id < "demo.")
"""Contains all demo ids, and possibly others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """Reproducible demo data, until an instant in us since 1970 UTC."""

    sessions: int
    days: int
    until: int
    surveys: tuple[str, ...] | None = None
    seed: int = 1


def fill_demo(store: SessionStore, plan: DemoPlan, *, is_shared: bool = False, progress: Progress = no_progress) -> int:
    """Create the demo sessions of a plan, and return the number of turns.

    Raises InvalidInput if there are sessions of participants, or of this seed.
    """
    surveys = _surveys(store, plan)
    _require_room(store, plan, is_shared=is_shared)
    turns: list[Turn] = []
    submitted = 0
    for done, (key, commands) in enumerate(_sessions(plan, surveys), 1):
        turns += [(key, command) for command in commands]
        if len(turns) >= TURNS_A_CALL or done == plan.sessions:
            results = store.turns.submit_many(turns)
            if failed := next((result for result in results if isinstance(result, Exception)), None):
                raise failed
            submitted += len(results)
            turns = []
            progress(done, plan.sessions)
    return submitted


def clear_demo(store: SessionStore, *, progress: Progress = no_progress) -> int:
    """Erase all demo sessions, and return their number."""
    total = count_demo(store)
    erased = 0
    for demo in _pages(store):
        erased += store.run_transaction(partial(_erase, keys=demo))
        store.subscribers.drop(demo)
        progress(erased, total)
    if erased:
        store.erasure.truncate_wal()
    return erased


def count_demo(store: SessionStore) -> int:
    """Return the number of demo sessions."""
    return sum(map(len, _pages(store)))


def _pages(store: SessionStore) -> Iterator[Sequence[SessionKey]]:
    start: SessionKey | None = None
    for keys in keyset.pages(store.run_read, _read_keys, start, lambda key: key, ERASE_BATCH):
        yield [key for key in keys if _DEMO_ID.fullmatch(owner_of(key.user_id))]


def _surveys(store: SessionStore, plan: DemoPlan) -> Sequence[Survey]:
    offered = store.catalogue.surveys
    unknown = [survey for survey in plan.surveys or () if survey not in offered]
    if unknown or not offered:
        name = f"survey {unknown[0]!r}" if unknown else "survey"
        raise InvalidInput(f"there is no {name} in STEPKEEP_SURVEYS_DIR, which has {', '.join(offered) or 'none'}")
    return [offered[survey] for survey in plan.surveys or offered]


def _require_room(store: SessionStore, plan: DemoPlan, *, is_shared: bool) -> None:
    others = select(tables.sessions.c.user_id).where(not_(_IN_RANGE)).limit(1)
    if not is_shared and store.run_read(lambda connection: connection.execute(others).first()):
        raise InvalidInput(
            "the database has sessions of participants, whose analytics would include the demo data; "
            "use another DATABASE_URL, or --yes"
        )
    first = SessionKey("", _user_id(plan.seed, 0))
    keys = store.run_read(partial(_read_keys, after=first))
    if keys and keys[0].user_id.startswith(f"demo-{plan.seed}-"):
        raise InvalidInput(
            f"there is demo data of seed {plan.seed} already: run `{COMMAND} demo clear`, or use another --seed"
        )


def _sessions(plan: DemoPlan, surveys: Sequence[Survey]) -> Iterator[tuple[SessionKey, Sequence[AnyCommand]]]:
    weights = [2 / (2 + place) for place in range(len(surveys))]
    for number, at in enumerate(arrivals(plan.sessions, plan.days, plan.until, plan.seed)):
        chance = random.Random(f"{plan.seed}-{number}")  # noqa: S311 - reproducible from the seed
        survey = chance.choices(surveys, weights)[0]
        yield SessionKey(survey.id, _user_id(plan.seed, number)), simulate(survey, at, plan.until, chance)


def _user_id(seed: int, number: int) -> str:
    return f"demo-{seed}-{number:07}"


def _read_keys(connection: Connection, after: SessionKey | None) -> list[SessionKey]:
    column = tables.sessions.c
    query = keyset.next_sessions(select(column.survey_id, column.user_id).where(_IN_RANGE), after, ERASE_BATCH)
    return [SessionKey(*row) for row in connection.execute(query)]


def _erase(connection: Connection, keys: Iterable[SessionKey]) -> int:
    return sum(history.erase(connection, key) for key in keys)
