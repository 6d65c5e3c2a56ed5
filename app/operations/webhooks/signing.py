"""What is sent, and how a receiver knows that it is ours: Standard Webhooks 1.0. Pure but for new secrets.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from ...core.timestamps import format_timestamp
from ...store.outbox import Delivery

PREFIX = "whsec_"
SECRET_BYTES = 32
"""The specification asks for 24 to 64; as many as SHA-256 gives."""

_STATUS = {"session.started": "in_progress", "session.completed": "completed", "session.expired": "expired"}


class Secret(NamedTuple):
    """A secret, and until when it signs, microseconds since 1970 UTC; None: until it is replaced."""

    text: str
    until: int | None


def new_secret() -> str:
    """Return a new random secret, as a receiver is given it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def kept_text(found: Sequence[Secret]) -> str:
    """Return secrets as one text; :func:`secrets_in` gives them back."""
    return " ".join(one.text if one.until is None else f"{one.text}@{one.until}" for one in found)


def secrets_in(kept: str) -> list[Secret]:
    """Return the secrets in a text of :func:`kept_text`, the newest first."""
    parts = (part.partition("@") for part in kept.split(" "))
    return [Secret(text, int(until) if until else None) for text, _, until in parts]


def sign(secret: str, message_id: str, at_s: int, body: bytes) -> str:
    """Return the signature, ``v1,`` and base64 of HMAC-SHA256, of a message that is sent at a time (since 1970 UTC)."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def headers(kept: Sequence[Secret], message_id: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message, signed with each secret that holds at the time, microseconds since 1970 UTC."""
    at_s = at // 1_000_000
    signatures = [sign(one.text, message_id, at_s, body) for one in kept if one.until is None or at < one.until]
    return {
        "content-type": "application/json",
        "user-agent": "Stepkeep-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signatures),
    }


def message_id_of(delivery: Delivery) -> str:
    """Return what names an event to a webhook: the same at each attempt and replay, and no other event's.

    Not of the row's number: a database that was restored may number anew.
    """
    parts = (delivery.webhook_id, *delivery.key, delivery.version, delivery.event, delivery.occurred_at)
    return f"msg_{hashlib.blake2b(orjson.dumps(parts), digest_size=16).hexdigest()}"


def body_of(delivery: Delivery) -> bytes:
    """Return what is sent of an event, the same bytes each time: who and what, and never an answer."""
    data = {
        "survey_id": delivery.key.survey_id,
        "user_id": delivery.key.user_id,
        "version": delivery.version,
        "status": _STATUS[delivery.event],
    }
    return encoded(delivery.event, delivery.occurred_at, data)


def encoded(event: str, at: int, data: Mapping[str, object]) -> bytes:
    """Return a message as JSON, in the form that the specification recommends."""
    return orjson.dumps({"type": event, "timestamp": format_timestamp(at), "data": data})
