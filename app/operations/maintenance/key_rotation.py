"""Re-encrypt stored answers with the first key of STEPKEEP_ANSWERS_KEYS, or decrypt them.

A second run may be needed: a server restarted late may have used the old key.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, bindparam, case, func, not_, or_, select, update

from ...core.progress import Progress, no_progress
from ...errors import ConfigurationError, MissingKey
from ...sessions import SessionStore
from ...store import Cipher, DecryptionError, encryption, keyset, sessions, tables

BATCH_SIZE = 500  # rows per transaction: some 20 ms, for which turns wait
BATCH_CHARACTERS = 1024 * 1024  # a row can have 1 MiB of answers
SAMPLE_SIZE = 1000  # further undecryptable rows are only counted


@dataclass(frozen=True, slots=True, kw_only=True)
class UndecryptableRow:
    """A row left as it is; damaged, unless a key is missing."""

    survey_id: str  # ``webhooks`` if the user id is that of a webhook
    user_id: str
    version: int | None
    missing_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationResult:
    """Numbers of changed, locked and damaged rows."""

    sessions: int
    events: int
    locked: int
    damaged: int
    undecryptable: tuple[UndecryptableRow, ...]
    webhooks: int = 0

    @property
    def is_complete(self) -> bool:
        return self.sessions == self.events == self.webhooks == self.locked == 0


def rotate_keys(store: SessionStore, *, progress: Progress = no_progress, to_plain: bool = False) -> RotationResult:
    """Encrypt every decryptable value with the first key, or raise ConfigurationError without one. Idempotent."""
    if not store.cipher.has_keys:
        raise ConfigurationError("STEPKEEP_ANSWERS_KEYS is empty: no key to encrypt or decrypt with")
    return _Rotation(store, is_to_plain=to_plain or not store.cipher.is_on).run(progress)


class _EncryptedTable(NamedTuple):
    table: Table
    encrypted: tuple[str, ...]
    location: tuple[str, ...]

    @property
    def key(self) -> list[Column[Any]]:
        return list(self.table.primary_key)

    def columns(self, names: Iterable[str]) -> list[Column[Any]]:
        return [self.table.c[name] for name in names]


_SESSIONS = _EncryptedTable(tables.sessions, ("answers", "drafts", "session_data", "context"), ("survey_id", "user_id"))
_WEBHOOKS = _EncryptedTable(tables.webhooks, ("secret",), ("id",))
_HISTORY = _EncryptedTable(tables.session_history, ("answer", "data"), ("survey_id", "user_id", "version"))

_Key = tuple[Any, ...]  # empty before the first row, and after the last


class _Rotation:
    def __init__(self, store: SessionStore, *, is_to_plain: bool) -> None:
        self._store = store
        self._target = _Target(store.cipher, is_to_plain=is_to_plain)
        self._undecryptable: list[UndecryptableRow] = []
        self._locked = self._damaged = 0

    def run(self, progress: Progress) -> RotationResult:
        # Counting millions of events takes too long: the last id stands for their number.
        newest = select(func.coalesce(func.max(tables.session_history.c.id), 0))
        session_count = self._store.run_read(sessions.count_sessions)
        last_id = self._store.run_read(lambda connection: connection.execute(newest).scalar_one())
        total = session_count + last_id
        done = changed_sessions = changed_events = 0
        for _, rows, changed in self._batches(_SESSIONS, ()):
            done += rows
            changed_sessions += changed
            progress(min(done, session_count), total)
        changed_webhooks = sum(changed for _, _, changed in self._batches(_WEBHOOKS, ()))
        # Servers encrypt later events themselves; with them, the run would never end.
        for (event_id,), _, changed in self._batches(_HISTORY, (last_id,)):
            changed_events += changed
            progress(session_count + event_id, total)
        return RotationResult(
            sessions=changed_sessions,
            events=changed_events,
            locked=self._locked,
            damaged=self._damaged,
            undecryptable=tuple(self._undecryptable),
            webhooks=changed_webhooks,
        )

    def _batches(self, kind: _EncryptedTable, last: _Key) -> Iterator[tuple[_Key, int, int]]:
        after: _Key | None = ()
        while after is not None:
            # Without a lock: rows that need no change are skipped while others write.
            end, count, has_work = self._store.run_read(partial(self._find, kind, after, last))
            rows = _between(kind, after, end or last)
            yield end or last, count, self._rewrite(kind, rows) if has_work else 0
            after = end

    def _find(
        self, kind: _EncryptedTable, after: _Key, last: _Key, connection: Connection
    ) -> tuple[_Key | None, int, bool]:
        """Return the last key (None if no rows follow), the rows, and whether one needs a change."""
        query = select(*kind.key, self._target.work(kind)).where(_between(kind, after, last))
        rows = connection.execute(query.order_by(*kind.key).limit(BATCH_SIZE)).all()
        length = 0
        for number, (*key, work) in enumerate(rows, start=1):
            length += work
            if number == BATCH_SIZE or length >= BATCH_CHARACTERS:
                return tuple(key), number, length > 0
        return None, len(rows), length > 0

    def _rewrite(self, kind: _EncryptedTable, rows: ColumnElement[bool]) -> int:
        changed, undecryptable = self._store.run_transaction(partial(_rewrite_rows, kind, rows, self._target))
        locked = sum(row.missing_key is not None for row in undecryptable)
        self._locked += locked
        self._damaged += len(undecryptable) - locked
        self._undecryptable += undecryptable[: SAMPLE_SIZE - len(self._undecryptable)]
        return changed


class _Target(NamedTuple):
    cipher: Cipher
    is_to_plain: bool

    def needs_change(self, kind: _EncryptedTable) -> ColumnElement[bool]:
        return or_(*(self._has_other_form(column) for column in kind.columns(kind.encrypted)))

    def work(self, kind: _EncryptedTable) -> ColumnElement[int]:
        lengths = [func.coalesce(func.length(column), 0) for column in kind.columns(kind.encrypted)]
        return case((self.needs_change(kind), sum(lengths[1:], lengths[0])), else_=0)

    def convert(self, value: str | None, location: encryption.ValueLocation) -> str | None:
        absent = encryption.ABSENT.get(str(location[0]))
        if self.is_to_plain:
            text = None if value is None else self.cipher.decrypt(value, location)
            return None if text == absent and text != value else text
        is_current = value is not None and value.startswith(self.cipher.prefix) and len(value) in self._lengths()
        if is_current or value == "":
            return value
        text = absent if value is None else self.cipher.decrypt(value, location)
        return None if text is None else self.cipher.encrypt(text, location)

    def _has_other_form(self, column: Column[str]) -> ColumnElement[bool]:
        prefix = encryption.ENCRYPTED_PREFIX if self.is_to_plain else self.cipher.prefix
        beginning = func.substr(column, 1, len(prefix))
        if self.is_to_plain:
            return beginning == prefix
        is_padded = and_(beginning == prefix, func.length(column).in_(self._lengths()))
        has_other_text = and_(column != "", not_(is_padded))  # '' in some old rows: no data
        is_null_encrypted = f"{column.table.name}.{column.name}" in encryption.ABSENT
        return or_(column.is_(None), has_other_text) if is_null_encrypted else has_other_text

    def _lengths(self) -> list[int]:
        return [self.cipher.encrypted_length(size) for size in encryption.SIZE_CLASSES]


def _rewrite_rows(
    kind: _EncryptedTable, condition: ColumnElement[bool], target: _Target, connection: Connection
) -> tuple[int, list[UndecryptableRow]]:
    columns = dict.fromkeys((*kind.key, *kind.columns(kind.location), *kind.columns(kind.encrypted)))
    query = select(*columns).where(condition, target.needs_change(kind))
    rows = connection.execute(query.order_by(*kind.key).with_for_update()).all()
    changes: list[dict[str, Any]] = []
    undecryptable: list[UndecryptableRow] = []
    for row in rows:
        values = row._asdict()
        converted, problem = _convert(kind, values, target)
        if problem is not None:
            undecryptable.append(problem)
        if converted != {name: values[name] for name in kind.encrypted}:
            keys = {f"key_{column.name}": values[column.name] for column in kind.key}
            changes.append(keys | {f"new_{name}": value for name, value in converted.items()})
    if changes:
        has_key = (column == bindparam(f"key_{column.name}") for column in kind.key)
        new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in kind.encrypted}
        connection.execute(update(kind.table).where(*has_key).values(new), changes)
    return len(changes), undecryptable


def _convert(
    kind: _EncryptedTable, row: Mapping[str, Any], target: _Target
) -> tuple[dict[str, str | None], UndecryptableRow | None]:
    converted: dict[str, str | None] = {}
    problem: UndecryptableRow | None = None
    for name in kind.encrypted:
        converted[name] = value = row[name]
        location = (f"{kind.table.name}.{name}", *(row[part] for part in kind.location))
        try:
            converted[name] = target.convert(value, location)
        except (MissingKey, DecryptionError) as error:
            missing_key = error.key_id if isinstance(error, MissingKey) else None
            if problem is None or problem.missing_key is None:
                problem = UndecryptableRow(
                    survey_id=row.get("survey_id", kind.table.name),
                    user_id=row["user_id"] if "user_id" in row else row["id"],
                    version=row.get("version"),
                    missing_key=missing_key,
                )
    return converted, problem


def _between(kind: _EncryptedTable, after: _Key, last: _Key) -> ColumnElement[bool]:
    return and_(keyset.after(kind.key, after), keyset.up_to(kind.key, last))
