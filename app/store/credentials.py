"""API keys, sign-ins and revocations of tokens. Secrets and participants are hashed."""

import secrets
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from ..errors import Unauthorized
from ..survey import SessionKey
from .erasure_journal import SALT_BYTES, hash_user_id
from .tables import api_keys, erasures, sign_ins, token_revocations

CLOCK_SKEW_US = 5 * 60 * 1_000_000  # how far the servers' clocks may differ (as in Kerberos, RFC 4120, 8.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A stored API key."""

    id: str
    name: str
    scopes: tuple[str, ...]
    secret_hash: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None
    surveys: tuple[str, ...] | None = None  # the only ones that the scopes are for; None for all

    def is_valid(self, at: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A sign-in to the dashboard."""

    key: StoredKey
    signed_in_at: int
    seen_at: int


class TokenRevocation(NamedTuple):
    """Revokes a session's tokens issued until ``revoked_at``."""

    survey_id: str
    user_id: str  # hash_user_id if there is a salt, because the participant may have been erased
    revoked_at: int
    salt: str | None


def add_key(connection: Connection, key: StoredKey) -> None:
    surveys = None if key.surveys is None else " ".join(key.surveys)
    connection.execute(insert(api_keys).values({**asdict(key), "scopes": " ".join(key.scopes), "surveys": surveys}))


def read_key(connection: Connection, key_id: str) -> StoredKey | None:
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).first()
    return None if row is None else _stored(row._asdict())


def read_keys(connection: Connection) -> list[StoredKey]:
    rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id))
    return [_stored(row._asdict()) for row in rows]


def revoke_key(connection: Connection, key_id: str, at: int) -> bool:
    change = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    is_changed = connection.execute(change.values(revoked_at=at)).rowcount > 0
    connection.execute(delete(sign_ins).where(sign_ins.c.key_id == key_id))
    return is_changed


def record_key_use(connection: Connection, key_id: str, at: int) -> None:
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=at))


def read_revoked_keys(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(api_keys.c.id).where(api_keys.c.revoked_at.is_not(None))).scalars())


def add_sign_in(connection: Connection, cookie_hash: str, key_id: str, at: int, old_before: int) -> None:
    connection.execute(delete(sign_ins).where(sign_ins.c.signed_in_at < old_before))
    connection.execute(insert(sign_ins).values(cookie_hash=cookie_hash, key_id=key_id, signed_in_at=at, seen_at=at))


def read_sign_in(connection: Connection, cookie_hash: str) -> SignIn | None:
    query = select(api_keys, sign_ins.c.signed_in_at, sign_ins.c.seen_at).join(sign_ins)
    row = connection.execute(query.where(sign_ins.c.cookie_hash == cookie_hash)).first()
    if row is None:
        return None
    values = row._asdict()
    times = {name: values.pop(name) for name in ("signed_in_at", "seen_at")}
    return SignIn(key=_stored(values), **times)


def record_sign_in_use(connection: Connection, cookie_hash: str, at: int) -> None:
    connection.execute(update(sign_ins).where(sign_ins.c.cookie_hash == cookie_hash).values(seen_at=at))


def end_sign_in(connection: Connection, cookie_hash: str) -> None:
    connection.execute(delete(sign_ins).where(sign_ins.c.cookie_hash == cookie_hash))


def revoke_tokens(
    connection: Connection, key: SessionKey, at: int, granted_at: int | None = None, *, salt: str | None = None
) -> None:
    """Revoke a session's tokens; raise Unauthorized if access granted at ``granted_at`` has been revoked."""
    column = token_revocations.c
    salt = connection.execute(select(func.min(column.salt))).scalar() or salt or newest_salt(connection)
    name = hash_user_id(salt, *key)
    where = (column.survey_id == key.survey_id, column.user_id.in_([name, key.user_id]))
    earlier = connection.execute(select(column.revoked_at).where(*where).with_for_update()).scalars().all()
    if granted_at is not None and granted_at <= max(earlier, default=-1):
        raise Unauthorized
    connection.execute(delete(token_revocations).where(*where))
    newest = max([at, *earlier])  # another server's clock may be ahead
    row = TokenRevocation(key.survey_id, name, newest, salt)
    connection.execute(insert(token_revocations).values(row._asdict()))


def hash_revocations(connection: Connection, limit: int = 1000) -> int:
    """Hash the participants of some rows from before revision 0018."""
    column = token_revocations.c
    query = select(column.survey_id, column.user_id, column.revoked_at).where(column.salt.is_(None)).limit(limit)
    rows = connection.execute(query).all()
    for survey_id, user_id, revoked_at in rows:
        revoke_tokens(connection, SessionKey(survey_id, user_id), revoked_at)
    return len(rows)


def newest_salt(connection: Connection, new: str | None = None) -> str:
    """Return the newest erasure's salt, else a revocation's, so that a database has few."""
    of_erasures = select(erasures.c.salt).where(erasures.c.salt.is_not(None)).order_by(erasures.c.id.desc()).limit(1)
    of_revocations = select(func.min(token_revocations.c.salt))
    found = connection.execute(of_erasures).scalar() or connection.execute(of_revocations).scalar()
    return found or new or secrets.token_hex(SALT_BYTES)


def read_revocations(connection: Connection, since: int) -> list[TokenRevocation]:
    query = select(token_revocations).where(token_revocations.c.revoked_at >= since)
    return [TokenRevocation(*row) for row in connection.execute(query)]


def read_participant_revocations(connection: Connection, user_id: str, survey_id: str | None) -> dict[str, int]:
    column = token_revocations.c
    names = [user_id, *user_hashes(connection, token_revocations, user_id, survey_id)]
    query = select(column.survey_id, func.max(column.revoked_at).label("revoked_at")).where(column.user_id.in_(names))
    if survey_id is not None:
        query = query.where(column.survey_id == survey_id)
    rows = connection.execute(query.group_by(column.survey_id).order_by(column.survey_id))
    return {row.survey_id: row.revoked_at for row in rows}


def user_hashes(connection: Connection, table: Table, user_id: str, survey_id: str | None) -> list[str]:
    """Return the hashes that may stand for a participant in a table."""
    column = table.c
    pairs = select(column.survey_id, column.salt).where(column.salt.is_not(None)).distinct()
    if survey_id is not None:
        pairs = pairs.where(column.survey_id == survey_id)
    return [hash_user_id(salt, survey, user_id) for survey, salt in connection.execute(pairs)]


def has_revocations(connection: Connection, before: int) -> bool:
    query = select(token_revocations.c.user_id).where(token_revocations.c.revoked_at < before).limit(1)
    return connection.execute(query).first() is not None


def remove_revocations(connection: Connection, before: int) -> int:
    return connection.execute(delete(token_revocations).where(token_revocations.c.revoked_at < before)).rowcount


def _stored(values: dict[str, Any]) -> StoredKey:
    surveys = None if values["surveys"] is None else tuple(values["surveys"].split())
    return StoredKey(**{**values, "scopes": tuple(values["scopes"].split()), "surveys": surveys})
