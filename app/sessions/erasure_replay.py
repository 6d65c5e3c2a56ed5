"""Replays the erasure journal, which is newer than a restored backup."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from ..core.installation import COMMAND
from ..store import ErasureJournal, ErasureRecord, audit, erasure_journal, erasures, keyset, owner_of
from ..survey import SessionKey
from .queries import all_keys

log = logging.getLogger("stepkeep.store")

PARTICIPANTS_PER_TRANSACTION = 100  # so that turns need not wait long

RECORDS_PER_TRANSACTION = 1000

PAGE_SIZE = 10_000  # rows read at a time, in some 10 ms
AUTOMATIC_ACTOR = "restored backup"  # in the audit log, unless someone requested the replay


@dataclass(frozen=True, slots=True)
class Database:
    """The clock returns microseconds since 1970 UTC."""

    clock: Callable[[], int]
    read: keyset.Run
    write: keyset.Run


def reconcile(database: Database, journal: ErasureJournal) -> list[SessionKey]:
    """Replay the erasures that only the journal has. Idempotent.

    A session that changed after its erasure is kept; only :func:`replay` erases it.
    """
    if {record.identity for record in journal.read()} == _stored_identities(database):
        return []
    with journal.lock():  # one of several starting processes does it
        records = list(journal.read())
        stored = _stored_identities(database)  # after the journal: its line is written before the commit
        missing = [record for record in records if record.identity not in stored]
        result = replay(database, missing, actor=AUTOMATIC_ACTOR, keeps_changed=True)
        _complete(database, journal)
    if missing:
        _log_result(result, len(missing), journal)
    return result.erased


def replay(
    database: Database, records: Sequence[ErasureRecord], *, actor: str, keeps_changed: bool = False
) -> erasures.ReplayResult:
    """Erase sessions that began before these erasures. Idempotent."""
    records = list({record.identity: record for record in records}.values())
    if not records:
        return erasures.ReplayResult([], [])
    erase = partial(erasures.replay_erasure, at=database.clock(), actor=actor, keeps_changed=keeps_changed)
    keys: list[SessionKey] = []
    left: set[SessionKey] = set()
    matches = _matches(database, _RecordIndex(records))
    while batch := list(islice(matches, PARTICIPANTS_PER_TRANSACTION)):
        for result in database.write(partial(_replay_batch, batch, erase)):
            keys += result.erased
            left.update(result.left)
    for start in range(0, len(records), RECORDS_PER_TRANSACTION):
        database.write(partial(erasures.add_missing, records=records[start : start + RECORDS_PER_TRANSACTION]))
    return erasures.ReplayResult(keys, sorted(left))


def read_all(read: keyset.Run) -> Iterator[ErasureRecord]:
    """Yield the oldest first."""
    for page in keyset.pages(read, partial(erasures.read_after, limit=PAGE_SIZE), 0, lambda row: row[0], PAGE_SIZE):
        for _, record in page:
            yield record


class _RecordIndex:
    def __init__(self, records: Iterable[ErasureRecord]) -> None:
        self.by_survey: dict[str, dict[str, dict[bytes, ErasureRecord]]] = {}
        for record in records:
            by_hash = self.by_survey.setdefault(record.survey_id, {}).setdefault(record.salt, {})
            digest = bytes.fromhex(record.user_hash)
            if digest not in by_hash or by_hash[digest].erased_at < record.erased_at:
                by_hash[digest] = record
        self._prefixes = {
            survey_id: [(_hash_prefix(salt, survey_id), by_hash) for salt, by_hash in by_salt.items()]
            for survey_id, by_salt in self.by_survey.items()
        }

    def find(self, survey_id: str, user_id: str) -> Iterator[tuple[str, ErasureRecord]]:
        for prefix, by_hash in self._prefixes.get(survey_id, ()):
            user_hash = prefix.copy()
            user_hash.update(user_id.encode())
            if (record := by_hash.get(user_hash.digest())) is not None:
                yield user_id, record


def _hash_prefix(salt: str, survey_id: str) -> Any:  # noqa: ANN401 - hashlib exports no type for it
    return hashlib.blake2b(f"{survey_id}\0".encode(), digest_size=erasure_journal.HASH_BYTES, salt=bytes.fromhex(salt))


def _matches(database: Database, index: _RecordIndex) -> Iterator[tuple[str, ErasureRecord]]:
    for keys in all_keys(database.read):
        for survey_id, user_id in keys:
            yield from index.find(survey_id, owner_of(user_id))
    read_user_ids = partial(audit.read_user_ids_after, limit=PAGE_SIZE)
    for user_ids in keyset.pages(database.read, read_user_ids, "", lambda user_id: user_id, PAGE_SIZE):
        for participant in dict.fromkeys(map(owner_of, user_ids)):
            for survey_id in index.by_survey:
                yield from index.find(survey_id, participant)


def _replay_batch(
    matches: Iterable[tuple[str, ErasureRecord]], erase: Callable[..., erasures.ReplayResult], connection: Connection
) -> list[erasures.ReplayResult]:
    return [erase(connection, user_id, record) for user_id, record in matches]


def _log_result(result: erasures.ReplayResult, missing: int, journal: ErasureJournal) -> None:
    if result.erased or not result.left:
        log.warning(
            "%d sessions were erased: the erasure journal %s has %d erasures that the database lacked, because a "
            "backup was restored or an erasure failed before its commit.",
            len(result.erased),
            journal.path,
            missing,
        )
    if result.left:
        log.warning(
            "%d sessions in the erasure journal %s changed after their erasure, which may have failed, and were kept. "
            "To erase them, run `%s erasures apply %s`.",
            len(result.left),
            journal.path,
            COMMAND,
            journal.path,
        )


def _stored_identities(database: Database) -> set[erasure_journal.Identity]:
    return {record.identity for record in read_all(database.read)}


def _complete(database: Database, journal: ErasureJournal) -> None:
    # The database first: a committed erasure already has its journal line.
    stored = list(read_all(database.read))
    listed = {record.identity for record in journal.read()}
    journal.append(record for record in stored if record.identity not in listed)
