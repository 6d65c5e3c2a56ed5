"""Messages and signatures, verified with the reference library of Standard Webhooks."""

import base64
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from app.operations.webhooks.signing import (
    Secret,
    message_body,
    message_headers,
    message_id,
    new_secret,
    parse_secrets,
    serialize_secrets,
    sign,
)
from app.store.outbox import Delivery
from app.survey.snapshot import SessionKey

BODIES = st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4)
DELIVERY = Delivery(
    id=7,
    webhook_id="wh_0123456789abcdef",
    event="session.completed",
    key=SessionKey("phq9", "ann"),
    version=10,
    occurred_at=1_764_200_000_123_456,
    attempts=0,
    next_attempt_at=None,
    delivered_at=None,
    failed_at=None,
    last_status=None,
    last_error=None,
)


def now_us() -> int:
    return int(datetime.datetime.now(datetime.UTC).timestamp() * 1_000_000)


def test_signature_equals_the_example_of_the_reference() -> None:
    """Of the reference implementation."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    assert (
        sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@given(body=BODIES, more=st.booleans())
def test_message_is_signed_with_each_valid_secret(body: dict[str, str], more: bool) -> None:
    """Both sign during a rotation; an expired secret does not."""
    import orjson  # noqa: PLC0415 - one line

    body_bytes, at = orjson.dumps(body), now_us()
    new, old, expired = new_secret(), new_secret(), new_secret()
    keys = [Secret(new, None), Secret(old, at + 1_000_000), Secret(expired, at)] if more else [Secret(new, None)]
    headers = message_headers(parse_secrets(serialize_secrets(keys)), "msg_1", at, body_bytes)
    for secret in (new, old) if more else (new,):
        assert Verifier(secret).verify(body_bytes, headers) == body
    with pytest.raises(WebhookVerificationError):
        Verifier(expired).verify(body_bytes, headers)


@given(st.integers(0, 200), st.integers(1, 255))
def test_verification_fails_when_the_message_changed(place: int, change: int) -> None:
    """In any byte."""
    secret, at, body_bytes = new_secret(), now_us(), message_body(DELIVERY)
    headers = message_headers([Secret(secret, None)], message_id(DELIVERY), at, body_bytes)
    changed = bytearray(body_bytes)
    changed[place % len(body_bytes)] ^= change
    with pytest.raises((WebhookVerificationError, UnicodeDecodeError)):
        Verifier(secret).verify(bytes(changed), headers)


def test_new_secrets_are_unique_and_have_32_bytes() -> None:
    """The specification requires 24 to 64."""
    found = {new_secret() for _ in range(100)}
    assert len(found) == 100
    assert {len(base64.b64decode(one.removeprefix("whsec_"))) for one in found} == {32}


@given(
    st.lists(
        st.builds(Secret, st.builds(new_secret), st.none() | st.integers(0, 2**53)),
        min_size=1,
        max_size=3,
    )
)
def test_serialized_secrets_are_parsed_again(secrets: list[Secret]) -> None:
    """With their times of expiry."""
    assert parse_secrets(serialize_secrets(secrets)) == secrets


def test_message_id_depends_on_event_and_webhook_only() -> None:
    """Not on attempts or the row's id."""
    from dataclasses import replace  # noqa: PLC0415 - one use

    name = message_id(DELIVERY)
    assert message_id(replace(DELIVERY, id=8, attempts=3, delivered_at=5, last_status=200)) == name
    others = [
        replace(DELIVERY, webhook_id="wh_other"),
        replace(DELIVERY, event="session.started"),
        replace(DELIVERY, key=SessionKey("phq9", "ben")),
        replace(DELIVERY, key=SessionKey("intake", "ann")),
        replace(DELIVERY, version=11),
        replace(DELIVERY, occurred_at=5),
    ]
    assert len({name, *map(message_id, others)}) == 7


def test_body_has_type_timestamp_and_data() -> None:
    """In the form that the specification recommends."""
    assert message_body(DELIVERY) == (
        b'{"type":"session.completed","timestamp":"2025-11-26T23:33:20.123456Z","data":'
        b'{"survey_id":"phq9","user_id":"ann","version":10,"status":"completed"}}'
    )
