"""The hash chain of the audit log: nobody without the key can change, remove or reorder entries unnoticed.

A link is HMAC-SHA256 over the entry's number, the previous link, its fields, and SHA-256 of a random salt and the user
id. An erasure removes id and salt, so the links stay valid, and no guess can be checked. ``audit_head`` authenticates
the number of entries, so removed newest ones are noticed. A forged erasure is not: a user id replaced by ``erased:``,
and its salt removed. Anyone can make links without a key: these only count before the first one with a key.
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

UNKEYED = "unkeyed"  # the key's id if no SECRET_KEY is set, as in development
ERASED = "erased:"  # begins the user ids that replace those of erased participants
# The action of an entry whose detail says where the chain begins since older entries were removed.
PURGED: Literal["audit_purged"] = "audit_purged"

HEAD_ID = 1
SALT_BYTES = 16
KEY_ID_LENGTH = 16
_OPTION = "audit_keys"
_FIELDS = ("at", "actor", "action", "survey_id", "commitment", "detail")


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """The keys of links by id."""

    current: str  # the id of the newest, which makes links
    by_id: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def derive(cls, secret_keys: Sequence[str]) -> "AuditKeys":
        derived = [hmac.digest(secret.encode(), b"stepkeep audit log", "sha256") for secret in secret_keys if secret]
        by_id = {hashlib.sha256(key).hexdigest()[:KEY_ID_LENGTH]: key for key in derived}
        return cls(next(iter(by_id), UNKEYED), {**by_id, UNKEYED: b""})

    def digest(self, key_id: str, *values: object) -> str:
        return hmac.new(self.by_id[key_id], orjson.dumps(values), "sha256").hexdigest()


def set_keys(engine: Engine, keys: AuditKeys) -> None:
    engine.update_execution_options(**{_OPTION: keys})


def append(connection: Connection, entry: Mapping[str, Any]) -> None:
    """Add an entry; other writers wait for its commit. Raise ConfigurationError if it loses the key of earlier ones."""
    keys: AuditKeys = connection.get_execution_options().get(_OPTION) or AuditKeys.derive(())
    head = read_head(connection, locked=True)
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


def read_head(connection: Connection, *, locked: bool = False) -> Row[Any] | None:
    query = select(audit_head).where(audit_head.c.id == HEAD_ID)
    return connection.execute(query.with_for_update() if locked else query).first()


class BrokenChain(Exception):
    """The log was changed by someone without the key."""


class Start(NamedTuple):
    """The number and the link of the entry before the first."""

    number: int = 0
    link: str = ""


class ChainVerifier:
    """Checks entries in order; raises BrokenChain."""

    def __init__(self, keys: AuditKeys, start: Start) -> None:
        self._keys = keys
        self.number, self.link = start
        self.unchained = self.erased = self.unkeyed = 0  # from before the chain; without user id; without a key
        self._is_keyed = False

    def check(self, row: Row[Any]) -> None:
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

    def finish(self, head: Row[Any] | None) -> None:
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
    query = select(*untyped_times(audit_log.c)).where(audit_log.c.id > after_id)
    return connection.execute(query.order_by(audit_log.c.id).limit(limit)).all()


def read_start(connection: Connection, after_id: int, known: Start) -> Start:
    """Return where the newest purge left the beginning, else ``known``."""
    column = audit_log.c
    query = select(column.detail).where(_is_purge, column.id > after_id)
    return _parse_start(connection.execute(query.order_by(column.id.desc()).limit(1)).scalar()) or known


def find_start(connection: Connection, before_id: int | None, limit: int) -> tuple[Start | None, int | None]:
    """Return where the newest purge in the next entries left the beginning, and the last id, None at the end."""
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
    try:
        values = orjson.loads(detail or "{}")
        return Start(int(values["number"]), str(values["link"]))
    except (ValueError, TypeError, KeyError):
        return None


def _link(keys: AuditKeys, number: int, previous: str, row: Mapping[str, Any]) -> str:
    return keys.digest(row["key_id"], number, previous, *(row[name] for name in _FIELDS))


def _commitment(salt: str | None, user_id: str | None) -> str | None:
    return None if salt is None or user_id is None else hashlib.sha256(f"{salt}{user_id}".encode()).hexdigest()
