"""The hash chain of the audit log: nobody without the key can change, remove or reorder entries unnoticed.

An entry's link is HMAC-SHA256 over its number, the previous link, its fields, and a commitment to the user id: SHA-256
of a random salt and the id. Erasing a participant removes the id and the salt; the links stay valid, and the commitment
can't be checked against a guess. ``audit_head`` has the number of entries and the last link, authenticated too: without
it, removed newest entries would not be missed.

Not noticed: an erasure that never happened. Someone who replaces a user id by ``erased:`` and any text, and removes the
salt, hides whose entry it is; only the number of erased entries hints at it.

Anyone can make links without a key, so these only count before the first link with one, which includes them. A log of
such links alone is not intact once there is a key, as it may be a forgery; the next entry with the key accepts it, a
warning in the log says so, and the number of unkeyed entries remains. An entry without a key is refused once the head
was made with one. This prevents mistakes, not forgeries: who can write to the database can replace the head as well.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson
from sqlalchemy import Connection, Engine, Row, and_, case, func, insert, select, update

from ..core.timestamps import from_datetime
from ..errors import ConfigurationError
from .tables import audit_head, audit_log, untyped_times

log = logging.getLogger("stepkeep.audit")

UNKEYED = "unkeyed"
"""The key's id if no SECRET_KEY is set, as in development."""

ERASED = "erased:"
"""Begins the user ids that replace those of erased participants."""

PURGED: Literal["audit_purged"] = "audit_purged"
"""The action of an entry whose detail says where the chain begins since older entries were removed."""

HEAD_ID = 1
SALT_BYTES = 16
KEY_ID_LENGTH = 16

_OPTION = "audit_keys"
_FIELDS = ("at", "actor", "action", "survey_id", "commitment", "detail")


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """The keys of links by id, derived from the secret keys.

    Attributes:
        current: the id of the one that makes links.
    """

    current: str
    by_id: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def derive(cls, secret_keys: Sequence[str]) -> "AuditKeys":
        """Return the keys of these secret keys, the newest first."""
        derived = [hmac.digest(secret.encode(), b"stepkeep audit log", "sha256") for secret in secret_keys if secret]
        by_id = {hashlib.sha256(key).hexdigest()[:KEY_ID_LENGTH]: key for key in derived}
        return cls(next(iter(by_id), UNKEYED), {**by_id, UNKEYED: b""})

    def digest(self, key_id: str, *values: object) -> str:
        return hmac.new(self.by_id[key_id], orjson.dumps(values), "sha256").hexdigest()


def set_keys(engine: Engine, keys: AuditKeys) -> None:
    """Set the keys with which the engine's transactions make links."""
    engine.update_execution_options(**{_OPTION: keys})


def append(connection: Connection, entry: Mapping[str, Any]) -> None:
    """Add an entry, the values of its columns; other writers wait until the transaction ends.

    Raises:
        ConfigurationError: it would be without a key after entries with one, which makes the log not intact.
    """
    keys: AuditKeys = connection.get_execution_options().get(_OPTION) or AuditKeys.derive(())
    head = lock_head(connection)
    if head is not None:
        _check_continuity(head, keys)
    number, previous = (1, "") if head is None else (head.entries + 1, head.link)
    salt = None if entry["user_id"] is None else secrets.token_hex(SALT_BYTES)
    row = {**entry, "salt": salt, "commitment": _commitment(salt, entry["user_id"]), "key_id": keys.current}
    row["link"] = _link(keys, number, previous, row)
    connection.execute(insert(audit_log).values(row))
    values = {"entries": number, "link": row["link"], "key_id": keys.current}
    values["mac"] = keys.digest(keys.current, number, row["link"])
    if head is None:  # the first entry; if another process adds one, this fails and is retried
        connection.execute(insert(audit_head).values(id=HEAD_ID, **values))
    else:
        connection.execute(update(audit_head).where(audit_head.c.id == HEAD_ID).values(values))


def _check_continuity(head: Row[Any], keys: AuditKeys) -> None:
    """Raise ConfigurationError for the first entry without a key, and log the first one with a key."""
    is_keyed, was_keyed = keys.current != UNKEYED, head.key_id != UNKEYED
    if was_keyed and not is_keyed:
        raise ConfigurationError(
            "SECRET_KEY is not set, but the audit log was made with it, and this action would be recorded there: set "
            "SECRET_KEY as for the server"
        )
    if is_keyed and not was_keyed:
        log.warning(
            "the %d entries of the audit log up to now were made without SECRET_KEY: unless it is set for the first "
            "time, someone who can write to the database has replaced them",
            head.entries,
        )


def lock_head(connection: Connection) -> Row[Any] | None:
    """Return the head's row, locked until the transaction ends; None before the first entry."""
    return connection.execute(select(audit_head).where(audit_head.c.id == HEAD_ID).with_for_update()).first()


class Head(NamedTuple):
    """The chain's number of entries, its last link, and their authentication."""

    entries: int
    link: str
    key_id: str
    mac: str


class BrokenChain(Exception):
    """The log was changed by someone without the key; the message says where."""


class Start(NamedTuple):
    """The number and the link of the entry before the first."""

    number: int = 0
    link: str = ""


class ChainVerifier:
    """Checks entries in order.

    Attributes:
        number: of the last entry in the chain.
        link: its link.
        unchained: entries from before the chain began.
        erased: entries about erased participants.
        unkeyed: entries whose links anyone could have made.
    """

    def __init__(self, keys: AuditKeys, start: Start) -> None:
        self._keys = keys
        self.number, self.link = start
        self.unchained = self.erased = self.unkeyed = 0
        self._is_keyed = False

    def check(self, row: Row[Any]) -> None:
        """Check the next entry.

        Raises:
            BrokenChain: it was changed, or one before it was removed or moved.
        """
        place = f"entry {row.id}"
        if row.link is None:
            if self.number:
                raise BrokenChain(f"{place} is not in the chain, but earlier entries are: it was inserted or changed")
            self.unchained += 1
            return
        key_id = self._require_key(row.key_id, place)
        values = row._asdict()
        with suppress(ValueError, TypeError):  # edited by hand: the link differs
            values["at"] = from_datetime(row.at)
        if not hmac.compare_digest(row.link, _link(self._keys, self.number + 1, self.link, values)):
            raise BrokenChain(f"{place} was changed, or entries before it were removed or moved")
        if key_id == UNKEYED and self._is_keyed:
            raise BrokenChain(f"{place} was made without SECRET_KEY, unlike earlier entries: anyone could have made it")
        if row.commitment is not None:
            self._check_user(row, place)
        elif row.user_id is not None:
            raise BrokenChain(f"{place} has a user id that was added")
        self.number += 1
        self.link = row.link
        self.unkeyed += key_id == UNKEYED
        self._is_keyed = key_id != UNKEYED

    def finish(self, head: Head | None) -> None:
        """Check that the last entry is the chain's last.

        Raises:
            BrokenChain: newer entries were removed, or the head was changed.
        """
        if head is None:
            if self.number:
                raise BrokenChain("the row of audit_head was removed: newer entries may be missing")
            return
        key_id = self._require_key(head.key_id, "the row of audit_head")
        if not hmac.compare_digest(head.mac, self._keys.digest(key_id, head.entries, head.link)):
            raise BrokenChain("the row of audit_head was changed")
        if head.entries > self.number:
            raise BrokenChain(f"the newest {head.entries - self.number} entries were removed")
        if key_id == UNKEYED and self._keys.current != UNKEYED:
            raise BrokenChain(
                "the row of audit_head was made without SECRET_KEY, which is set now: anyone could have made it, and "
                "changed the newest entries"
            )
        if (head.entries, head.link) != (self.number, self.link):
            raise BrokenChain("audit_head was set back to an earlier entry")

    def _check_user(self, row: Row[Any], place: str) -> None:
        if row.salt is None:
            if not (row.user_id or "").startswith(ERASED):
                raise BrokenChain(f"{place} has another user id, without an erasure")
            self.erased += 1
        elif row.user_id is None or _commitment(row.salt, row.user_id) != row.commitment:
            raise BrokenChain(f"{place} has another user id")

    def _require_key(self, key_id: str | None, place: str) -> str:
        if key_id is None or key_id not in self._keys.by_id:
            raise BrokenChain(
                f"{place} was made with the key {key_id}, of an earlier SECRET_KEY: add that to "
                "STEPKEEP_SECRET_KEY_FALLBACKS for this command"
            )
        return key_id


def read_rows(connection: Connection, after_id: int, limit: int) -> Sequence[Row[Any]]:
    """Return the next entries, oldest first."""
    query = select(*untyped_times(audit_log.c)).where(audit_log.c.id > after_id)
    return connection.execute(query.order_by(audit_log.c.id).limit(limit)).all()


def read_start(connection: Connection, after_id: int, known: Start) -> Start:
    """Return where the newest purge after an entry left the beginning; ``known`` if there was none."""
    column = audit_log.c
    query = select(column.detail).where(_is_purge, column.id > after_id)
    return _parse_start(connection.execute(query.order_by(column.id.desc()).limit(1)).scalar()) or known


def find_start(connection: Connection, before_id: int | None, limit: int) -> tuple[Start | None, int | None]:
    """Search the next ``limit`` entries, newest first, for where the newest purge left the beginning.

    It is right if the purge's own entry is in the chain.

    Args:
        before_id: the last entry of the previous search; None for the first.

    Returns:
        Where it began, None if it is not in these entries; the last entry, None at the end of the log.
    """
    column = audit_log.c
    entries = select(column.id, case((_is_purge, column.id)).label("purge_id"))
    if before_id is not None:
        entries = entries.where(column.id < before_id)
    page = entries.order_by(column.id.desc()).limit(limit).subquery()
    last_id, purge_id = connection.execute(select(func.min(page.c.id), func.max(page.c.purge_id))).one()
    if purge_id is None:
        return None, last_id
    return _parse_start(connection.execute(select(column.detail).where(column.id == purge_id)).scalar()), last_id


_is_purge = and_(audit_log.c.action == PURGED, audit_log.c.link.is_not(None))


def _parse_start(detail: str | None) -> Start | None:
    """Return the beginning that a purge recorded; None if the entry was changed."""
    try:
        values = orjson.loads(detail or "{}")
        return Start(int(values["number"]), str(values["link"]))
    except (ValueError, TypeError, KeyError):
        return None


def read_head(connection: Connection) -> Head | None:
    """Return the head; None before the first entry."""
    column = audit_head.c
    row = connection.execute(select(column.entries, column.link, column.key_id, column.mac)).first()
    return None if row is None else Head(*row)


def _link(keys: AuditKeys, number: int, previous: str, row: Mapping[str, Any]) -> str:
    return keys.digest(row["key_id"], number, previous, *(row[name] for name in _FIELDS))


def _commitment(salt: str | None, user_id: str | None) -> str | None:
    return None if salt is None or user_id is None else hashlib.sha256(f"{salt}{user_id}".encode()).hexdigest()
