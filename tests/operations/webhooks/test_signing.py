"""What is sent and signed: as the reference library of Standard Webhooks verifies it."""

import base64
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from app.operations.webhooks.signing import (
    Secret,
    body_of,
    headers,
    kept_text,
    message_id_of,
    new_secret,
    secrets_in,
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


def test_signature_is_that_of_the_specification() -> None:
    """The example of the reference implementation."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    assert (
        sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@given(body=BODIES, more=st.booleans())
def test_what_is_signed_is_verified_with_each_secret_that_holds(body: dict[str, str], more: bool) -> None:
    """Also while a secret is replaced; a secret whose time is over signs nothing."""
    import orjson  # noqa: PLC0415 - one line

    sent, at = orjson.dumps(body), now_us()
    new, old, dead = new_secret(), new_secret(), new_secret()
    kept = [Secret(new, None), Secret(old, at + 1_000_000), Secret(dead, at)] if more else [Secret(new, None)]
    made = headers(secrets_in(kept_text(kept)), "msg_1", at, sent)
    for secret in (new, old) if more else (new,):
        assert Verifier(secret).verify(sent, made) == body
    with pytest.raises(WebhookVerificationError):
        Verifier(dead).verify(sent, made)


@given(st.integers(0, 200), st.integers(1, 255))
def test_changed_message_is_not_verified(place: int, change: int) -> None:
    """Whatever byte of it is another one."""
    secret, at, sent = new_secret(), now_us(), body_of(DELIVERY)
    made = headers([Secret(secret, None)], message_id_of(DELIVERY), at, sent)
    changed = bytearray(sent)
    changed[place % len(sent)] ^= change
    with pytest.raises((WebhookVerificationError, UnicodeDecodeError)):
        Verifier(secret).verify(bytes(changed), made)


def test_secret_is_random_and_of_the_length_that_is_asked_for() -> None:
    """24 to 64 bytes; no two are the same."""
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
def test_kept_secrets_come_back(secrets: list[Secret]) -> None:
    """As one text and out of it."""
    assert secrets_in(kept_text(secrets)) == secrets


def test_id_is_the_events_and_the_webhooks() -> None:
    """Attempts and the row's number don't change it; whatever else tells events apart does."""
    from dataclasses import replace  # noqa: PLC0415 - one use

    name = message_id_of(DELIVERY)
    assert message_id_of(replace(DELIVERY, id=8, attempts=3, delivered_at=5, last_status=200)) == name
    others = [
        replace(DELIVERY, webhook_id="wh_other"),
        replace(DELIVERY, event="session.started"),
        replace(DELIVERY, key=SessionKey("phq9", "ben")),
        replace(DELIVERY, key=SessionKey("intake", "ann")),
        replace(DELIVERY, version=11),
        replace(DELIVERY, occurred_at=5),
    ]
    assert len({name, *map(message_id_of, others)}) == 7


def test_body_says_who_what_and_when() -> None:
    """In the form that the specification recommends, the same bytes each time."""
    assert body_of(DELIVERY) == (
        b'{"type":"session.completed","timestamp":"2025-11-26T23:33:20.123456Z","data":'
        b'{"survey_id":"phq9","user_id":"ann","version":10,"status":"completed"}}'
    )
