"""API keys, sign-ins and revocations of tokens. Secrets are stored as hashes only."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from ..survey import SessionKey
from .tables import api_keys, sign_ins, token_revocations


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A stored API key: its row."""

    id: str
    name: str
    scopes: tuple[str, ...]
    secret_hash: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None

    def is_valid(self, at: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A sign-in to the dashboard."""

    key: StoredKey
    signed_in_at: int
    seen_at: int


def add_key(connection: Connection, key: StoredKey) -> None:
    """Store a new key."""
    connection.execute(insert(api_keys).values({**asdict(key), "scopes": " ".join(key.scopes)}))


def read_key(connection: Connection, key_id: str) -> StoredKey | None:
    """Return the key."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).first()
    return None if row is None else _stored(row._asdict())


def read_keys(connection: Connection) -> list[StoredKey]:
    """Return all keys, newest first."""
    rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id))
    return [_stored(row._asdict()) for row in rows]


def revoke_key(connection: Connection, key_id: str, at: int) -> bool:
    """Revoke a key and end its sign-ins; return False if there was nothing to revoke."""
    change = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    is_changed = connection.execute(change.values(revoked_at=at)).rowcount > 0
    connection.execute(delete(sign_ins).where(sign_ins.c.key_id == key_id))
    return is_changed


def record_key_use(connection: Connection, key_id: str, at: int) -> None:
    """Record a key's use."""
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=at))


def read_revoked_keys(connection: Connection) -> frozenset[str]:
    """Return the ids of revoked keys."""
    return frozenset(connection.execute(select(api_keys.c.id).where(api_keys.c.revoked_at.is_not(None))).scalars())


def add_sign_in(connection: Connection, cookie_hash: str, key_id: str, at: int, old_before: int) -> None:
    """Store a sign-in; delete the expired ones, begun before ``old_before``."""
    connection.execute(delete(sign_ins).where(sign_ins.c.signed_in_at < old_before))
    row = {"cookie_hash": cookie_hash, "key_id": key_id, "signed_in_at": at, "seen_at": at}
    connection.execute(insert(sign_ins).values(row))


def read_sign_in(connection: Connection, cookie_hash: str) -> SignIn | None:
    """Return a cookie's sign-in."""
    query = select(api_keys, sign_ins.c.signed_in_at, sign_ins.c.seen_at).join(
        sign_ins, sign_ins.c.key_id == api_keys.c.id
    )
    row = connection.execute(query.where(sign_ins.c.cookie_hash == cookie_hash)).first()
    if row is None:
        return None
    values = row._asdict()
    times = {name: values.pop(name) for name in ("signed_in_at", "seen_at")}
    return SignIn(key=_stored(values), **times)


def record_sign_in_use(connection: Connection, cookie_hash: str, at: int) -> None:
    """Record a sign-in's use."""
    connection.execute(update(sign_ins).where(sign_ins.c.cookie_hash == cookie_hash).values(seen_at=at))


def end_sign_in(connection: Connection, cookie_hash: str) -> None:
    """End a sign-in. Idempotent."""
    connection.execute(delete(sign_ins).where(sign_ins.c.cookie_hash == cookie_hash))


def revoke_tokens(connection: Connection, key: SessionKey, at: int) -> None:
    """Revoke a session's tokens issued up to a time."""
    column = token_revocations.c
    where = (column.survey_id == key.survey_id, column.user_id == key.user_id)
    before = connection.execute(select(column.revoked_at).where(*where).with_for_update()).scalar()
    connection.execute(delete(token_revocations).where(*where))
    newest = max(at, before or 0)  # another server's clock may be ahead
    connection.execute(insert(token_revocations).values(**key._asdict(), revoked_at=newest))


def read_revocations(connection: Connection, since: int) -> dict[SessionKey, int]:
    """Return until when tokens are revoked, for revocations since a time."""
    column = token_revocations.c
    rows = connection.execute(select(token_revocations).where(column.revoked_at >= since))
    return {SessionKey(row.survey_id, row.user_id): row.revoked_at for row in rows}


def has_revocations(connection: Connection, before: int) -> bool:
    """Return whether there are older revocations."""
    query = select(token_revocations.c.user_id).where(token_revocations.c.revoked_at < before).limit(1)
    return connection.execute(query).first() is not None


def remove_revocations(connection: Connection, before: int) -> int:
    """Remove older revocations, whose tokens have expired; return how many."""
    return connection.execute(delete(token_revocations).where(token_revocations.c.revoked_at < before)).rowcount


def _stored(values: dict[str, Any]) -> StoredKey:
    return StoredKey(**{**values, "scopes": tuple(values["scopes"].split())})
