"""Verify the audit log's hash chain."""

from dataclasses import dataclass
from functools import partial

from ...core.progress import Progress, no_progress
from ...sessions import SessionStore
from ...store import audit, audit_chain

ENTRIES_A_PAGE = 1000

FIRST_ID = -(2**62)  # below those that a database gives: inserted rows may have any


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """The result of a check; ``unkeyed`` entries, made without SECRET_KEY, could be anyone's."""

    entries: int  # in the chain, up to the first problem, purged ones included
    purged: int
    unchained: int  # from before the chain began
    erased: int  # without their user id
    unkeyed: int
    newest: str  # ``number:link``, to compare with later; empty without entries
    problem: str | None


def verify_audit_log(
    store: SessionStore, *, expected: str | None = None, progress: Progress = no_progress
) -> AuditCheck:
    """Check each entry, and that the chain still contains ``expected``, an earlier ``newest``."""
    start = _find_start(store)
    verifier = audit_chain.ChainVerifier(audit_chain.AuditKeys.derive(store.settings.secret_keys), start)
    problem: str | None = None
    try:
        is_found = _check_all(store, verifier, expected, progress)
        if expected is not None and not is_found:
            problem = f"the chain no longer contains {expected}: entries were removed, or a backup was restored"
    except audit_chain.BrokenChain as error:
        if _find_start(store) != start:  # a purge has just removed the first
            return verify_audit_log(store, expected=expected, progress=progress)
        problem = str(error)
    return AuditCheck(
        entries=verifier.number,
        purged=start.number,
        unchained=verifier.unchained,
        erased=verifier.erased,
        unkeyed=verifier.unkeyed,
        newest=_point(verifier),
        problem=problem,
    )


def _find_start(store: SessionStore) -> audit_chain.Start:
    before_id: int | None = None
    while True:
        find = partial(audit_chain.find_start, before_id=before_id, limit=audit.SCAN_LIMIT)
        start, before_id = store.run_read(find)
        if start is not None or before_id is None:
            return start or audit_chain.Start()


def _check_all(
    store: SessionStore, verifier: audit_chain.ChainVerifier, expected: str | None, progress: Progress
) -> bool:
    after_id, is_found, is_last = FIRST_ID, False, False
    while True:
        page = store.run_read(partial(audit_chain.read_rows, after_id=after_id, limit=ENTRIES_A_PAGE))
        for row in page:
            verifier.check(row)
            is_found = is_found or _point(verifier) == expected
            after_id = row.id
        done = verifier.number + verifier.unchained
        progress(done, done + ENTRIES_A_PAGE)
        if page:
            is_last = False
            continue
        # After the entries: a head that is behind them was set back. One that is ahead may have new ones: read again.
        head = store.run_read(audit_chain.read_head)
        if is_last or head is None or head.entries <= verifier.number:
            verifier.finish(head)
            return is_found
        is_last = True


def _point(verifier: audit_chain.ChainVerifier) -> str:
    return f"{verifier.number}:{verifier.link}" if verifier.number else ""
