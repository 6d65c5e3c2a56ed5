"""Erasing again what an older backup brought back.

The list outside of the database (``erasure_list.py``) is newer than a database that was restored: what it has and the
database's own list lacks is erased once more, and then the two agree. Sessions are looked through a page at a time: a
million take some seconds, and no more memory than a page.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from ..store import (
    ErasureJournal,
    ErasureRecord,
    ReplayOptions,
    ReplayResult,
    audit,
    erasure_journal,
    erasures,
    keyset,
    owner_of,
    sessions,
)
from ..survey import SessionKey

log = logging.getLogger("stepkeep.store")

T = TypeVar("T")

TOGETHER = 100
"""Participants who are erased in one transaction, at most: others wait for it no longer than for a batch of turns."""

ROWS_TOGETHER = 1000
"""Rows of the database's own list that are written in one transaction."""

A_PAGE = 10_000
"""Keys that are looked at together: some 10 ms."""


BY_ITSELF = "restored backup"
"""The actor in the audit log where a start erases what nobody asked for this time."""


class Run(Protocol):
    """Runs work on a connection and returns its result; it may be called several times."""

    def __call__(self, work: Callable[[Connection], T]) -> T: ...


@dataclass(frozen=True, slots=True)
class Access:
    """How the database is read and written, and the clock (microseconds since 1970 UTC)."""

    clock: Callable[[], int]
    read: Run
    write: Run


def reconcile(access: Access, listed: ErasureJournal) -> list[SessionKey]:
    """Erase what the list has and the database lacks; return the keys of the sessions that were erased.

    Then both have the same erasures. A session that changed after its erasure is left, and told in the log: only
    :func:`apply_lines`, by hand, erases it. Where both agree already, no session is looked at; to read the
    erasures takes some 10 ms a thousand.

    Raises:
        ErasureNotListed: the list can't be read or written.
        Unavailable: the database is away; what was erased by then is, and the rest will be when it is done again.
    """
    if {one.identity for one in listed.read()} == _known(access):
        return []
    with listed.lock():  # of several processes that start, one does it
        lines = list(listed.read())
        known = _known(access)  # after the list: an erasure is committed after its line was written
        lacking = [one for one in lines if one.identity not in known]
        done = apply_lines(access, lacking, actor=BY_ITSELF, keeps_changed=True)
        _complete(access, listed)
    if lacking:
        _tell(done, len(lacking), listed)
    return done.erased


def apply_lines(
    access: Access, lines: Sequence[ErasureRecord], *, actor: str, keeps_changed: bool = False
) -> ReplayResult:
    """Erase the sessions of these participants that began before their erasures.

    The erasures are in the database's own list afterwards. Again is harmless.

    Args:
        actor, keeps_changed: as in ``erasures.ReplayOptions``.
    """
    lines = list({one.identity: one for one in lines}.values())
    if not lines:
        return ReplayResult([], [])
    how = ReplayOptions(at=access.clock(), actor=actor, keeps_changed=keeps_changed)
    keys: list[SessionKey] = []
    left: set[SessionKey] = set()
    for matches in _batches(_matches(access, _Wanted(lines))):
        done = access.write(lambda connection: _erase_again(connection, matches, how))  # noqa: B023 - called at once
        keys += done.erased
        left.update(done.left)
    for start in range(0, len(lines), ROWS_TOGETHER):
        part = lines[start : start + ROWS_TOGETHER]
        access.write(lambda connection: erasures.add_missing(connection, part))  # noqa: B023 - called at once
    return ReplayResult(keys, sorted(left))


def read_all(read: Run) -> Iterator[ErasureRecord]:
    """Yield the erasures of participants in the database's own list, the oldest first."""
    for page in keyset.pages(
        read,
        lambda connection, after: erasures.read_after(connection, after, A_PAGE),
        0,
        lambda row: row[0],
        A_PAGE,
    ):
        for _, record in page:
            yield record


class _Wanted:
    """Whom to look for. A participant's hash is told apart by its beginning, the salt and the survey, made once."""

    def __init__(self, lines: Iterable[ErasureRecord]) -> None:
        self.by_survey: dict[str, dict[str, dict[bytes, ErasureRecord]]] = {}
        for line in lines:
            by_hash = self.by_survey.setdefault(line.survey_id, {}).setdefault(line.salt, {})
            digest = bytes.fromhex(line.user_hash)
            if digest not in by_hash or by_hash[digest].erased_at < line.erased_at:
                by_hash[digest] = line
        self._beginnings = {
            survey_id: [(_beginning(salt, survey_id), by_hash) for salt, by_hash in by_salt.items()]
            for survey_id, by_salt in self.by_survey.items()
        }

    def find(self, survey_id: str, user_id: str) -> Iterator[ErasureRecord]:
        """Yield the newest erasure of this participant in this survey, by each salt."""
        for beginning, by_hash in self._beginnings.get(survey_id, ()):
            whole = beginning.copy()
            whole.update(user_id.encode())
            if (found := by_hash.get(whole.digest())) is not None:
                yield found


def _beginning(salt: str, survey_id: str) -> Any:  # noqa: ANN401 - hashlib has no name for it
    return hashlib.blake2b(f"{survey_id}\0".encode(), digest_size=erasure_journal.HASH_BYTES, salt=bytes.fromhex(salt))


def _matches(access: Access, wanted: _Wanted) -> Iterator[tuple[str, ErasureRecord]]:
    """Yield participants who are to be erased again: those with sessions, then those whom the audit log names."""
    for keys in _all_keys(access):
        for survey_id, user_id in keys:
            participant = owner_of(user_id)
            for erased in wanted.find(survey_id, participant):
                yield participant, erased
    for user_ids in _audited(access):
        for participant in dict.fromkeys(map(owner_of, user_ids)):
            for survey_id in wanted.by_survey:
                for erased in wanted.find(survey_id, participant):
                    yield participant, erased


def _all_keys(access: Access) -> Iterator[Sequence[SessionKey]]:
    start: SessionKey | None = None
    return keyset.pages(
        access.read,
        lambda connection, after: sessions.read_keys(connection, after, A_PAGE),
        start,
        lambda key: key,
        A_PAGE,
    )


def _audited(access: Access) -> Iterator[Sequence[str]]:
    return keyset.pages(
        access.read,
        lambda connection, after: audit.read_user_ids_after(connection, after, A_PAGE),
        "",
        lambda user_id: user_id,
        A_PAGE,
    )


def _batches(matches: Iterable[T]) -> Iterator[list[T]]:
    batch: list[T] = []
    for match in matches:
        batch.append(match)
        if len(batch) == TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


def _erase_again(
    connection: Connection, matches: Iterable[tuple[str, ErasureRecord]], how: ReplayOptions
) -> ReplayResult:
    done = [erasures.replay_erasure(connection, user_id, erased, how) for user_id, erased in matches]
    return ReplayResult([key for one in done for key in one.erased], [key for one in done for key in one.left])


def _tell(done: ReplayResult, lacking: int, listed: ErasureJournal) -> None:
    if done.erased or not done.left:
        log.warning(
            "%d sessions were erased: the list %s has %d erasures that the database lacked, as after a backup was "
            "restored, or after an erasure that was cut off before its commit",
            len(done.erased),
            listed.path,
            lacking,
        )
    if done.left:
        log.warning(
            "%d sessions of the list %s have changed since their erasure and were left: it may have failed and not "
            "been asked for again; if they are to go, run `flask erasures apply %s`",
            len(done.left),
            listed.path,
            listed.path,
        )


def _known(access: Access) -> set[erasure_journal.Identity]:
    return {erased.identity for erased in read_all(access.read)}


def _complete(access: Access, listed: ErasureJournal) -> None:
    """Add to the list what only the database has: erasures before the list was kept, or from another list."""
    # The database first: of all that is committed by then, the list has a line, or never gets one by itself.
    kept = list(read_all(access.read))
    there = {erased.identity for erased in listed.read()}
    listed.append(erased for erased in kept if erased.identity not in there)
