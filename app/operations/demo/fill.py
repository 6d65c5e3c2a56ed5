"""Demo data: sessions of the catalogue's surveys, as people would have left them in the last weeks.

They go through the real flow and the store's own writer (``SessionStore.submit_many``) with times that lie in the
past; so they are sessions like any other, and what is built on sessions can be shown and measured on them. Whose they
are says the user id, ``demo-<seed>-<number>``: :func:`clear` erases those and no others. The same seed, surveys, days
and end give the same sessions.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, Connection, and_, not_, select

from ...errors import InvalidInput
from ...sessions import SessionStore
from ...store import history, keyset, owner_of, tables
from ...survey import AnyCommand, SessionKey, Survey
from ...writer import Turn
from .arrivals import arrivals
from .simulate import walk

_DEMO_ID = re.compile(r"demo-[0-9]+-[0-9]{7,}")
_RANGE = ("demo-", "demo.")

TURNS_TOGETHER = 5000
"""Turns that are handed to the store together, about; the store commits them STEPKEEP_BATCH_LIMIT at a time."""

ERASED_TOGETHER = 500
"""Sessions that are erased in one transaction: turns wait for it."""

Progress = Callable[[int, int], None]
"""Told how many sessions are done, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What demo data there is to be.

    Attributes:
        sessions: how many.
        days: how long before ``until`` the first participants come.
        surveys: their ids; the first one has the most sessions. None: all that are offered.
        seed: what chance begins with.
        until: the end, microseconds since 1970 UTC.
    """

    sessions: int
    days: int
    until: int
    surveys: tuple[str, ...] | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Filled:
    """How much was made."""

    sessions: int
    turns: int


def fill(
    store: SessionStore, plan: Plan, *, is_shared: bool = False, progress: Progress = lambda _done, _total: None
) -> Filled:
    """Return how much demo data was made: all of the plan is in the database, committed.

    Args:
        is_shared: whether there may be sessions of people in the database.

    Raises:
        InvalidInput: there are sessions of people, or of this seed already; or a survey is not offered, or none is.
        Unavailable: the database is away; what was made until then stays, and :func:`clear` erases it.
    """
    surveys = _chosen(store, plan)
    _check_room(store, plan, is_shared=is_shared)
    turns: list[Turn] = []
    done = made = 0
    for done, (key, commands) in enumerate(_sessions(plan, surveys), 1):
        turns += [(key, command) for command in commands]
        if len(turns) >= TURNS_TOGETHER or done == plan.sessions:
            made += _submit(store, turns)
            turns = []
            progress(done, plan.sessions)
    return Filled(done, made)


def clear(store: SessionStore, *, progress: Progress = lambda _done, _total: None) -> int:
    """Erase all demo data, of every seed; return how many sessions there were. It can be stopped and run again.

    Nobody's sessions are on no list of erasures: an older backup brings demo data back.
    """
    total = count(store)
    erased = 0
    for keys in _pages(store):
        demo = [key for key in keys if is_demo(key.user_id)]
        erased += store.run_transaction(partial(_erase, keys=demo))
        store.subscribers.drop(demo)
        progress(erased, total)
    if erased:
        store.erasure.truncate_wal()
    return erased


def count(store: SessionStore) -> int:
    """Return how many sessions of demo data there are."""
    return sum(is_demo(key.user_id) for keys in _pages(store) for key in keys)


def demo_user_id(seed: int, number: int) -> str:
    """Return the user id of a simulated participant; ids of one seed sort by number."""
    return f"demo-{seed}-{number:07}"


def is_demo(user_id: str) -> bool:
    """Return whether a session, set aside or not, is demo data."""
    return _DEMO_ID.fullmatch(owner_of(user_id)) is not None


def _pages(store: SessionStore) -> Iterator[Sequence[SessionKey]]:
    start: SessionKey | None = None
    return keyset.pages(store.run_read, _read_demo_keys, start, lambda key: key, ERASED_TOGETHER)


def _read_demo_keys(connection: Connection, after: SessionKey | None) -> list[SessionKey]:
    column = tables.sessions.c
    query = select(column.survey_id, column.user_id).where(_in_range())
    if after is not None:
        query = query.where(keyset.after_key(tables.sessions, after))
    rows = connection.execute(query.order_by(column.user_id, column.survey_id).limit(ERASED_TOGETHER))
    return [SessionKey(*row) for row in rows]


def _find_real_session(connection: Connection) -> SessionKey | None:
    column = tables.sessions.c
    row = connection.execute(select(column.survey_id, column.user_id).where(not_(_in_range())).limit(1)).first()
    return None if row is None else SessionKey(*row)


def _erase(connection: Connection, keys: Iterable[SessionKey]) -> int:
    return sum(history.erase(connection, key) for key in keys)


def _in_range() -> ColumnElement[bool]:
    # A range that the primary key serves; is_demo then decides.
    return and_(tables.sessions.c.user_id >= _RANGE[0], tables.sessions.c.user_id < _RANGE[1])


def _chosen(store: SessionStore, plan: Plan) -> Sequence[Survey]:
    offered = store.catalogue.surveys
    unknown = [survey for survey in plan.surveys or () if survey not in offered]
    if unknown or not offered:
        named = repr(unknown[0]) if unknown else "at all"
        raise InvalidInput(
            f"there is no survey {named} in STEPKEEP_SURVEYS_DIR, which has {', '.join(offered) or 'none'}"
        )
    return [offered[survey] for survey in plan.surveys or offered]


def _check_room(store: SessionStore, plan: Plan, *, is_shared: bool) -> None:
    if not is_shared and store.run_read(_find_real_session) is not None:
        raise InvalidInput(
            "the database has sessions of people: demo data would stand among theirs in every figure; "
            "take another DATABASE_URL, or say --yes"
        )
    first = SessionKey("", demo_user_id(plan.seed, 0))
    keys = store.run_read(partial(_read_demo_keys, after=first))
    if keys and keys[0].user_id.startswith(f"demo-{plan.seed}-"):
        raise InvalidInput(
            f"there is demo data of the seed {plan.seed} already: run `flask demo clear`, or take another --seed"
        )


def _sessions(plan: Plan, surveys: Sequence[Survey]) -> Iterator[tuple[SessionKey, Sequence[AnyCommand]]]:
    weights = [2 / (2 + place) for place in range(len(surveys))]
    for number, at in enumerate(arrivals(plan.sessions, plan.days, plan.until, plan.seed)):
        chance = random.Random(f"{plan.seed}-{number}")  # noqa: S311 - as it says: to be made again
        survey = chance.choices(surveys, weights)[0]
        yield SessionKey(survey.id, demo_user_id(plan.seed, number)), walk(survey, at, plan.until, chance)


def _submit(store: SessionStore, turns: Sequence[Turn]) -> int:
    results = store.turns.submit_many(turns)
    failed = next((result for result in results if isinstance(result, Exception)), None)
    if failed is not None:
        raise failed
    return len(results)
