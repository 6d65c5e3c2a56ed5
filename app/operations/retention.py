"""Retention: sessions are erased when they have not changed for as long as their survey says (``retention: 365d``).

Only surveys of the catalogue that name a retention are looked at; sessions of all others stay. Safe beside a server
and beside another purge, and it can be stopped and run again at any time.
"""

from collections.abc import Callable, Mapping

from app.service import SessionStore
from app.store import history
from app.store.aging import Cutoffs, Purge, examine
from app.store.rows import SessionKey

TOGETHER = 100
"""Sessions that are erased in one transaction, at most: turns wait for it."""

EXAMINED = 5000
"""Sessions that are looked at together."""

Progress = Callable[[int, int], None]
"""Told how many sessions were looked at, and of how many."""


def purge(
    store: SessionStore,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
    actor: str = "operator",
) -> Mapping[str, int]:
    """Erase the sessions that are too old; return how many, by survey with a retention.

    Each part is committed with a row of ``erasures`` and an entry of the audit log (``sessions_purged``), which say
    how many they were and not whose. Tokens of the erased stay as they are: one that still holds begins anew.

    Args:
        dry_run: only count.
        actor: who asks for it, for the audit log.

    Raises:
        Unavailable: the database is away; what was erased by then is.
    """
    cutoffs = _cutoffs(store)
    counts = dict.fromkeys(cutoffs, 0)
    total = store.read(history.count_sessions) if cutoffs else 0
    after, done = None, 0
    while cutoffs:
        start: SessionKey | None = after
        part = store.read(lambda connection: examine(connection, start, cutoffs, EXAMINED))  # noqa: B023 - called at once
        for key in part.old if dry_run else _erased(store, part.old, cutoffs, actor):
            counts[key.survey_id] += 1
        after, done = part.last, done + part.size
        progress(done, max(done, total))
        if part.size < EXAMINED:
            break
    if any(counts.values()) and not dry_run:
        store.leave_no_trace()
    return counts


def _cutoffs(store: SessionStore) -> Cutoffs:
    at = store.clock()
    return {
        survey.id: at - survey.retention_us
        for survey in store.catalogue.surveys.values()
        if survey.retention_us is not None
    }


def _erased(store: SessionStore, old: list[SessionKey], cutoffs: Cutoffs, actor: str) -> list[SessionKey]:
    """Erase those that are still too old, a few at a time; return them."""
    erased: list[SessionKey] = []
    for start in range(0, len(old), TOGETHER):
        keys = store.write(Purge(old[start : start + TOGETHER], cutoffs, at=store.clock(), actor=actor))
        store.tell_erased(keys)
        erased += keys
    return erased
