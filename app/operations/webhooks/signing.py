"""Messages and signatures of Standard Webhooks 1.0. Pure but for new secrets.

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
from ...store import Delivery, RecordedValues

PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification requires 24 to 64; SHA-256 has 32
MAX_BODY_BYTES = 64 * 1024  # of a message with values: many receivers refuse more than 100 KB
_STATUS = {"session.started": "in_progress", "session.completed": "completed", "session.expired": "expired"}


class Secret(NamedTuple):
    """A signing secret; ``expires_at`` is in us since 1970 UTC, None until it is replaced."""

    text: str
    expires_at: int | None


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def serialize_secrets(keys: Sequence[Secret]) -> str:
    return " ".join(key.text if key.expires_at is None else f"{key.text}@{key.expires_at}" for key in keys)


def parse_secrets(text: str) -> list[Secret]:
    parts = (part.partition("@") for part in text.split(" "))
    return [Secret(secret, int(expires_at) if expires_at else None) for secret, _, expires_at in parts]


def sign(secret: str, message_id: str, at_s: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def message_headers(keys: Sequence[Secret], message_id: str, at: int, body: bytes) -> dict[str, str]:
    at_s = at // 1_000_000
    signatures = [
        sign(key.text, message_id, at_s, body) for key in keys if key.expires_at is None or at < key.expires_at
    ]
    return {
        "content-type": "application/json",
        "user-agent": "Stepkeep-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signatures),
    }


def message_id(delivery: Delivery) -> str:
    """Return the same ``webhook-id`` for each attempt, also in a restored database."""
    parts = (delivery.webhook_id, *delivery.key, delivery.version, delivery.event, delivery.occurred_at)
    return f"msg_{hashlib.blake2b(orjson.dumps(parts), digest_size=16).hexdigest()}"


def message_body(delivery: Delivery, **more: object) -> bytes:
    data = {
        "survey_id": delivery.key.survey_id,
        "user_id": delivery.key.user_id,
        "version": delivery.version,
        "status": _STATUS[delivery.event],
        **more,
    }
    return encode_message(delivery.event, delivery.occurred_at, data)


def message_body_with_values(delivery: Delivery, recorded: RecordedValues | None) -> bytes:
    if recorded is None:
        return message_body(delivery, omitted="no_such_session")
    fields = recorded._asdict()
    if delivery.event != "session.completed":
        del fields["values"]
    body = message_body(delivery, **fields)
    return body if len(body) <= MAX_BODY_BYTES else message_body(delivery, omitted="too_large")


def encode_message(event: str, at: int, data: Mapping[str, object]) -> bytes:
    return orjson.dumps({"type": event, "timestamp": format_timestamp(at), "data": data})
