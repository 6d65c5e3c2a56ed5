"""Remove the oldest entries of the audit log."""

from functools import partial

from ...sessions import SessionStore
from ...store import audit
from .sweep import TransactionPacer


def purge_audit_log(store: SessionStore, before: int, *, actor: str = "operator") -> int:
    """Remove the entries up to the first as recent as ``before`` (us since 1970 UTC); return how many.

    Each transaction leaves a valid chain, and an entry.
    """
    last_id, number = _read_start(store)
    # Not later than now: the purge would never reach the end of its own entries.
    purge = audit.Purge(before=min(before, store.clock()), actor=actor, last_id=last_id, number=number)
    pacer = TransactionPacer()
    total = 0
    while removed := pacer.run(store, partial(purge, at=store.clock(), limit=pacer.limit)):
        total += removed
    return total


def _read_start(store: SessionStore) -> tuple[int, int]:
    """Return the newest entry's id, and the number of the entry before the first.

    If entries were removed by other means, a purge of what is before the gap makes the chain valid again.
    """
    last_id, number = store.run_read(audit.read_newest)
    after_id: int | None = None
    while True:
        count, after_id = store.run_read(partial(audit.count_chained, after_id=after_id, last_id=last_id))
        if after_id is None:
            return last_id, number
        number -= count
