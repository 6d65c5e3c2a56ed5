"""Re-encrypt stored answers with the first key of STEPKEEP_ANSWERS_KEYS, or decrypt them.

The server may go on meanwhile. A key is changed so:

1. Put the new key first in STEPKEEP_ANSWERS_KEYS, before the old one, wherever the store is opened, and restart each
   server. With several servers do it in two rounds, or those that restart late meet values that they can't open yet
   (MissingKey): first the new key last, everywhere; then first, everywhere.
2. Rotate, again until a run finds nothing to do (``Rotated.is_complete``): a server that restarted late may have
   sealed with the old key behind the first run.
3. Take the old key out of STEPKEEP_ANSWERS_KEYS. Backups from before need it still.

Back to plain text: ``plain`` first, before the key, everywhere; rotate; then take the key out.

A run that was ended, however it was, is just run again: what is done is passed over. Versions and times of sessions
stay as they are: nobody's answers have changed. The plain text that was there before lies on in logs and backups,
and in pages that the database freed, until it overwrites them: SQLite does at once, but for what was freed before it
was told to (``secure_delete``; ``VACUUM`` ends that).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    Update,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    true,
    update,
)

from ...errors import ConfigurationError, MissingKey
from ...sessions import SessionStore
from ...store import Cipher, DecryptionError, encryption, sessions, tables

BATCH = 500
"""Rows that are looked at together, and at most that many sealed anew in one transaction: some 20 ms, for which the
turns of a live server wait."""

BATCH_LENGTH = 1024 * 1024
"""Length of the texts that are sealed anew in one transaction: it ends with the row that reaches it, be it with fewer
rows. A row can have 1 MiB of answers, and all of a batch is in memory while turns wait."""

NAMED = 1000
"""Rows that can't be opened and are named; further ones are only counted."""

Progress = Callable[[int, int], None]
"""Gets how many rows are done and about how many there are, after each batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unopened:
    """A row with a value that could not be opened, and stays as it is.

    Attributes:
        survey_id, user_id: of a webhook ``webhooks`` and its id.
        version: of the event in history; None for the session's own row.
        missing_key: the id of the key that STEPKEEP_ANSWERS_KEYS lacks; None where the value is broken.
    """

    survey_id: str
    user_id: str
    version: int | None
    missing_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What a run did.

    Attributes:
        sessions: rows of sessions in which something was sealed anew, or made plain.
        entries: such rows of history.
        webhooks: such rows of webhooks, with their secrets.
        locked: rows that need a key that is not there.
        broken: rows with a value that no key opens.
        unopened: the first NAMED of those two.
    """

    sessions: int
    entries: int
    locked: int
    broken: int
    unopened: tuple[Unopened, ...]
    webhooks: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left to do before this run: the first key opens all that any key opens."""
        return self.sessions == self.entries == self.webhooks == self.locked == 0


def rotate(
    store: SessionStore, *, progress: Progress = lambda _done, _all: None, to_plain: bool = False, batch: int = BATCH
) -> Rotated:
    """Return what was done: every stored value is sealed with the first key, but for those that can't be opened.

    Rows are read again under their lock before they are changed, in short transactions among the writer's. Idempotent.

    Args:
        to_plain: every value is made plain instead; as it is where STEPKEEP_ANSWERS_KEYS begins with ``plain``. A
            server whose first key seals goes on to seal.
        batch: rows that one transaction holds, at most.

    Raises:
        ConfigurationError: there is no key.
        Unavailable: the database does not answer; what was committed until then stays.
    """
    if not store.cipher.has_keys:
        raise ConfigurationError("STEPKEEP_ANSWERS_KEYS is empty: there is no key to seal with, and none to open with")
    return _Run(store, batch, is_to_plain=to_plain or not store.cipher.is_on).run(progress)


class _Kind(NamedTuple):
    """A table, the columns of its order, its sealed ones, and those to whose values the sealed ones are bound."""

    table: Table
    order: tuple[str, ...]
    sealed: tuple[str, ...]
    place: tuple[str, ...]

    def columns(self, names: Iterable[str]) -> list[Column[Any]]:
        """Return its columns of these names."""
        return [self.table.c[name] for name in names]


_SESSIONS = _Kind(
    tables.sessions, ("user_id", "survey_id"), ("answers", "drafts", "session_data"), ("survey_id", "user_id")
)
_WEBHOOKS = _Kind(tables.webhooks, ("id",), ("secret",), ("id",))
_HISTORY = _Kind(tables.session_history, ("id",), ("answer", "data"), ("survey_id", "user_id", "version"))

_Key = tuple[Any, ...]
"""Values of a kind's order; empty before the first row, and after the last."""


class _Run:
    """One run over the tables."""

    def __init__(self, store: SessionStore, batch: int, *, is_to_plain: bool) -> None:
        self._store = store
        self._batch = batch
        self._target = _Target(store.cipher, is_to_plain=is_to_plain)
        self._unopened: list[Unopened] = []
        self._locked = self._broken = 0

    def run(self, progress: Progress) -> Rotated:
        """Do it, the sessions first."""
        # The last id stands for the number of rows: counting millions takes longer than the database may.
        sessions_there, last_id = self._store.run_read(lambda one: (sessions.count_sessions(one), _last_id(one)))
        total = sessions_there + last_id
        looked_at = changed_sessions = changed_entries = 0
        for _, rows, changed in self._batches(_SESSIONS, ()):
            looked_at += rows
            changed_sessions += changed
            progress(min(looked_at, sessions_there), total)
        changed_webhooks = sum(changed for _, _, changed in self._batches(_WEBHOOKS, ()))
        # What servers append meanwhile is sealed by them, and would lead on for ever.
        for (at,), _, changed in self._batches(_HISTORY, (last_id,)):
            changed_entries += changed
            progress(sessions_there + at, total)
        return Rotated(
            sessions=changed_sessions,
            entries=changed_entries,
            locked=self._locked,
            broken=self._broken,
            unopened=tuple(self._unopened),
            webhooks=changed_webhooks,
        )

    def _batches(self, kind: _Kind, last: _Key) -> Iterator[tuple[_Key, int, int]]:
        """Yield where each batch ends (``last`` in the end), and how many rows it has, and were changed."""
        after: _Key | None = ()
        while after is not None:
            # Looked for without a lock: what is done already is passed over beside the writer.
            found = self._store.run_read(partial(self._find, kind, after, last))
            part = _between(kind, after, found.end or last)
            yield found.end or last, found.rows, self._rewrite(kind, part) if found.has_work else 0
            after = found.end

    def _find(self, kind: _Kind, after: _Key, last: _Key, connection: Connection) -> "_Batch":
        order = kind.columns(kind.order)
        query = select(*order, self._target.work(kind)).where(_between(kind, after, last))
        rows = connection.execute(query.order_by(*order).limit(self._batch)).all()
        length = 0
        for number, (*key, work) in enumerate(rows, start=1):
            length += work
            if number == self._batch or length >= BATCH_LENGTH:
                return _Batch(tuple(key), number, has_work=length > 0)
        return _Batch(None, len(rows), has_work=length > 0)

    def _rewrite(self, kind: _Kind, part: ColumnElement[bool]) -> int:
        """Return how many rows of a part were changed, committed; take note of those that can't be opened."""
        changed, unopened = self._store.run_transaction(partial(_rewritten, kind, part, self._target))
        locked = sum(one.missing_key is not None for one in unopened)
        self._locked += locked
        self._broken += len(unopened) - locked
        self._unopened += unopened[: NAMED - len(self._unopened)]
        return changed


class _Batch(NamedTuple):
    """Where a batch ends, None where it is the last one; how many rows it has; whether there is work in it."""

    end: _Key | None
    rows: int
    has_work: bool


class _Target(NamedTuple):
    """What values are to become."""

    cipher: Cipher
    is_to_plain: bool

    def wants(self, kind: _Kind) -> ColumnElement[bool]:
        """Return the condition of rows in which a value is not so yet."""
        return or_(*(self._is_wanted(column) for column in kind.columns(kind.sealed)))

    def work(self, kind: _Kind) -> ColumnElement[int]:
        """Return the length of a row's texts where :meth:`wants` holds, and 0 elsewhere."""
        lengths = [func.coalesce(func.length(column), 0) for column in kind.columns(kind.sealed)]
        return case((self.wants(kind), sum(lengths[1:], lengths[0])), else_=0)

    def of(self, value: str, place: encryption.ValueLocation) -> str:
        """Return the value as it is to be; the same if it is so already.

        Raises:
            MissingKey, DecryptionError: it can't be opened.
        """
        if value == "" or (not self.is_to_plain and value.startswith(self.cipher.prefix)):
            return value
        text = self.cipher.decrypt(value, place)
        return text if self.is_to_plain else self.cipher.encrypt(text, place)

    def _is_wanted(self, column: Column[str]) -> ColumnElement[bool]:
        begins_with = encryption.ENCRYPTED_PREFIX if self.is_to_plain else self.cipher.prefix
        beginning = func.substr(column, 1, len(begins_with))
        if self.is_to_plain:
            return beginning == begins_with
        return and_(column != "", beginning != begins_with)  # '' in some old rows: no data


def _rewritten(
    kind: _Kind, part: ColumnElement[bool], target: _Target, connection: Connection
) -> tuple[int, list[Unopened]]:
    """Change the rows of a part, read under their locks; return how many, and those that can't be opened."""
    names = dict.fromkeys((*kind.order, *kind.place, *kind.sealed))
    query = select(*kind.columns(names)).where(part, target.wants(kind))
    rows = connection.execute(query.order_by(*kind.columns(kind.order)).with_for_update()).all()
    changes: list[dict[str, Any]] = []
    unopened: list[Unopened] = []
    for row in rows:
        given = row._asdict()
        made, problem = _made(kind, given, target)
        if problem is not None:
            unopened.append(problem)
        if made != {name: given[name] for name in kind.sealed}:
            keys = {f"of_{name}": given[name] for name in kind.order}
            changes.append(keys | {f"new_{name}": value for name, value in made.items()})
    if changes:
        connection.execute(_update(kind), changes)
    return len(changes), unopened


def _made(kind: _Kind, row: Mapping[str, Any], target: _Target) -> tuple[dict[str, str | None], Unopened | None]:
    """Return a row's values as they are to be, and what stays of them because it can't be opened."""
    made: dict[str, str | None] = {}
    problem: Unopened | None = None
    for name in kind.sealed:
        made[name] = value = row[name]
        if value is None:
            continue
        try:
            made[name] = target.of(value, (f"{kind.table.name}.{name}", *(row[part] for part in kind.place)))
        except (MissingKey, DecryptionError) as error:
            missing_key = error.key_id if isinstance(error, MissingKey) else None
            if problem is None or problem.missing_key is None:
                problem = Unopened(
                    survey_id=row.get("survey_id", kind.table.name),
                    user_id=row["user_id"] if "user_id" in row else row["id"],
                    version=row.get("version"),
                    missing_key=missing_key,
                )
    return made, problem


def _update(kind: _Kind) -> Update:
    is_it = (column == bindparam(f"of_{column.name}") for column in kind.columns(kind.order))
    return update(kind.table).where(*is_it).values({name: bindparam(f"new_{name}") for name in kind.sealed})


def _last_id(connection: Connection) -> int:
    return cast("int", connection.execute(select(func.coalesce(func.max(tables.session_history.c.id), 0))).scalar())


def _between(kind: _Kind, after: _Key, last: _Key) -> ColumnElement[bool]:
    """Return the condition of rows after one and up to another; written so that it is a range of the index."""
    first, *rest = kind.columns(kind.order)
    later: list[ColumnElement[bool]] = [true()]
    up_to: list[ColumnElement[bool]] = [true()]
    if after:
        later = [first >= after[0], or_(first > after[0], rest[0] > after[1])] if rest else [first > after[0]]
    if last:
        up_to = [first <= last[0], or_(first < last[0], rest[0] <= last[1])] if rest else [first <= last[0]]
    return and_(*later, *up_to)
