"""Erasing again what an older backup brought back.

The list outside of the database (``erasure_list.py``) is newer than a database that was restored: what it has and the
database's own list lacks is erased once more, and then the two agree. Sessions are looked through a page at a time: a
million take some seconds, and no more memory than a page.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from app.store import audit, erasure_rows, erasures, history
from app.store.erasure_list import HASH_BYTES, Erased, ErasureList, Identity
from app.store.participants import participant_of
from app.store.rows import SessionKey

log = logging.getLogger("stepkeep.store")

T = TypeVar("T")

TOGETHER = 100
"""Participants who are erased in one transaction, at most: others wait for it no longer than for a batch of turns."""

ROWS_TOGETHER = 1000
"""Rows of the database's own list that are written in one transaction."""

A_PAGE = 10_000
"""Keys that are looked at together: some 10 ms."""


class Access(Protocol):
    """What a session store offers to read and write by."""

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns, which only reads."""
        ...

    def write(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns, committed; it may be tried several times."""
        ...


def bring_together(access: Access, listed: ErasureList) -> list[SessionKey]:
    """Erase what the list has and the database lacks; return the keys of the sessions that were erased.

    Then both have the same erasures. Costs next to nothing where they had already.

    Raises:
        ErasureNotListed: the list can't be read or written.
        Unavailable: the database is away; what was erased by then is, and the rest will be when it is done again.
    """
    if _agree(access, listed):
        return []
    with listed.lock():  # of several processes that start, one does it
        known = _known(access)
        lacking = [one for one in listed.read() if one.identity not in known]
        keys = apply_lines(access, lacking)
        _complete(access, listed)
    if lacking:
        log.warning(
            "%d sessions were erased again: the database lacked %d erasures of the list %s, as a restored backup does",
            len(keys),
            len(lacking),
            listed.path,
        )
    return keys


def apply_lines(access: Access, lines: Sequence[Erased]) -> list[SessionKey]:
    """Erase the sessions of these participants that began before their erasures; return their keys.

    The erasures are in the database's own list afterwards. Again is harmless.
    """
    lines = list({one.identity: one for one in lines}.values())
    if not lines:
        return []
    wanted = _Wanted(lines)
    keys: list[SessionKey] = []
    for matches in _batches(_matches(access, wanted)):
        keys += access.write(lambda connection: _erase_again(connection, matches))  # noqa: B023 - called at once
    for start in range(0, len(lines), ROWS_TOGETHER):
        part = lines[start : start + ROWS_TOGETHER]
        access.write(lambda connection: erasure_rows.add_lacking(connection, part))  # noqa: B023 - called at once
    return keys


def read_all(access: Access) -> Iterator[Erased]:
    """Yield the erasures of participants in the database's own list, the oldest first."""
    after: int | None = 0
    while after is not None:
        start = after
        page, after = access.read(lambda connection: erasure_rows.read_after(connection, start))  # noqa: B023 - called at once
        yield from page


class _Wanted:
    """Whom to look for. A participant's hash is told apart by its beginning, the salt and the survey, made once."""

    def __init__(self, lines: Iterable[Erased]) -> None:
        self.by_survey: dict[str, dict[str, dict[bytes, Erased]]] = {}
        for line in lines:
            by_hash = self.by_survey.setdefault(line.survey_id, {}).setdefault(line.salt, {})
            digest = bytes.fromhex(line.user_hash)
            if digest not in by_hash or by_hash[digest].erased_at < line.erased_at:
                by_hash[digest] = line
        self._beginnings = {
            survey_id: [(_beginning(salt, survey_id), by_hash) for salt, by_hash in by_salt.items()]
            for survey_id, by_salt in self.by_survey.items()
        }

    def find(self, survey_id: str, user_id: str) -> Iterator[Erased]:
        """Yield the newest erasure of this participant in this survey, by each salt."""
        for beginning, by_hash in self._beginnings.get(survey_id, ()):
            whole = beginning.copy()
            whole.update(user_id.encode())
            if (found := by_hash.get(whole.digest())) is not None:
                yield found


def _beginning(salt: str, survey_id: str) -> Any:  # noqa: ANN401 - hashlib has no name for it
    return hashlib.blake2b(f"{survey_id}\0".encode(), digest_size=HASH_BYTES, salt=bytes.fromhex(salt))


def _matches(access: Access, wanted: _Wanted) -> Iterator[tuple[str, Erased]]:
    """Yield participants who are to be erased again: those with sessions, then those whom the audit log names."""
    for keys in _all_keys(access):
        for survey_id, user_id in keys:
            participant = participant_of(user_id)
            for erased in wanted.find(survey_id, participant):
                yield participant, erased
    for user_ids in _audited(access):
        for participant in dict.fromkeys(map(participant_of, user_ids)):
            for survey_id in wanted.by_survey:
                for erased in wanted.find(survey_id, participant):
                    yield participant, erased


def _all_keys(access: Access) -> Iterator[list[SessionKey]]:
    after: SessionKey | None = None
    while page := access.read(lambda connection: history.read_keys_after(connection, after, A_PAGE)):  # noqa: B023 - called at once
        yield page
        after = page[-1]


def _audited(access: Access) -> Iterator[list[str]]:
    after = ""
    while page := access.read(lambda connection: audit.read_user_ids_after(connection, after, A_PAGE)):  # noqa: B023 - called at once
        yield page
        after = page[-1]


def _batches(matches: Iterable[T]) -> Iterator[list[T]]:
    batch: list[T] = []
    for match in matches:
        batch.append(match)
        if len(batch) == TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


def _erase_again(connection: Connection, matches: Iterable[tuple[str, Erased]]) -> list[SessionKey]:
    return [key for user_id, erased in matches for key in erasures.erase_again(connection, user_id, erased)]


def _agree(access: Access, listed: ErasureList) -> bool:
    """Return whether the list and the database have as many erasures, and the newest of the list is in both."""
    if listed.count() != access.read(erasure_rows.count):
        return False
    newest = listed.newest()
    return newest is None or access.read(lambda connection: erasure_rows.is_known(connection, newest))


def _known(access: Access) -> set[Identity]:
    return {erased.identity for erased in read_all(access)}


def _complete(access: Access, listed: ErasureList) -> None:
    """Add to the list what only the database has: erasures before the list was kept, or from another list."""
    there = {erased.identity for erased in listed.read()}
    listed.append(erased for erased in read_all(access) if erased.identity not in there)
