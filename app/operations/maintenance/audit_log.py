"""Remove the oldest entries of the audit log, in transactions so short that turns do not wait for them."""

from functools import partial

from ...sessions import SessionStore
from ...store import audit
from .sweep import TransactionPacer


def purge_audit_log(store: SessionStore, before: int, *, actor: str = "operator") -> int:
    """Remove the entries up to the first that is as recent as ``before``; return how many.

    Safe to run together with servers, to interrupt and to repeat: each transaction leaves a valid chain, and an entry.

    Args:
        before: microseconds since 1970 UTC; later than now is now.

    Raises:
        Unavailable: entries removed before stay removed.
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

    The number of entries may differ from that of the last purge, if some were removed by other means: then a purge of
    what is before the gap makes the chain valid again.
    """
    last_id, number = store.run_read(audit.read_newest)
    after_id: int | None = None
    while True:
        count, after_id = store.run_read(partial(audit.count_chained, after_id=after_id, last_id=last_id))
        if after_id is None:
            return last_id, number
        number -= count
