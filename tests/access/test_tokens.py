"""Resume tokens: valid for one session until they expire or are revoked; any other text is rejected."""

import base64
import hashlib
import hmac
import itertools
import json
import random
import string
import zlib
from typing import Any

import itsdangerous
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.access.credentials import Credentials
from app.access.principals import INVITATION, SCOPES, Participant, require_session_access
from app.access.tokens import DAY_US, MAX_LENGTH, ResumeTokens, new_link_id, new_user_id
from app.errors import Forbidden, Unauthorized
from app.sessions.service import SessionStore
from app.store.credentials import CLOCK_SKEW_US
from app.survey.snapshot import SessionKey
from app.web.factory import create_app
from tests.access.conftest import HOUR_US, KEY, SECRET, Clock, Open

TOKENS = ResumeTokens([SECRET])
AT = 1_700_000_000 * 1_000_000
TOKEN = TOKENS.issue(KEY, AT, HOUR_US)

USER_IDS = st.text(string.ascii_letters + string.digits + "._@:-", min_size=1, max_size=128)
SURVEY_IDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
KEYS = st.builds(SessionKey, SURVEY_IDS, USER_IDS)
ANY_CHARACTER = st.characters(exclude_categories=())
"""Including lone surrogates and NUL."""


def assert_rejected(token: str, at: int = AT) -> None:
    """Assert that the token is rejected with Unauthorized, whose message does not depend on the reason."""
    with pytest.raises(Unauthorized) as error:
        TOKENS.read(token, at)
    assert error.value.message == Unauthorized().message


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@given(key=KEYS, at=st.integers(0, 2**52), life_us=st.integers(1, 2**52))
@example(key=SessionKey("s" * 64, "u" * 128), at=AT, life_us=HOUR_US)
@example(key=SessionKey("0", "-"), at=AT, life_us=1)
def test_token_reads_back_to_its_session(key: SessionKey, at: int, life_us: int) -> None:
    """A token yields its survey, participant and times until it expires, and is not longer than MAX_LENGTH."""
    token = TOKENS.issue(key, at, life_us)
    assert len(token) <= MAX_LENGTH
    expected = Participant(key=key, issued_at=at, expires_at=at + life_us, granted_at=at)
    assert TOKENS.read(token, at) == TOKENS.read(token, at + life_us - 1) == expected


@given(key=KEYS, granted_at=st.none() | st.integers(0, AT), mark=st.sampled_from([INVITATION]) | st.builds(new_link_id))
@example(key=SessionKey("s" * 64, "u" * 128), granted_at=AT, mark=new_link_id())
def test_marked_token_reads_back_to_its_mark(key: SessionKey, granted_at: int | None, mark: str) -> None:
    """An invitation is no link that works once, and the longest token is not longer than MAX_LENGTH."""
    token = TOKENS.issue(key, AT, HOUR_US, granted_at, mark)
    participant = TOKENS.read(token, AT)
    assert len(token) <= MAX_LENGTH
    assert participant.granted_at == (AT if granted_at is None else granted_at)
    assert (participant.is_invited, participant.link_id) == ((True, None) if mark == INVITATION else (False, mark))


@pytest.mark.one_database
def test_link_that_works_once_is_no_credential(credentials: Credentials) -> None:
    """Its use is recorded when it is exchanged; an invitation is a credential, as before."""
    link = credentials.issue_token(KEY, mark=new_link_id())[0]
    with pytest.raises(Unauthorized):
        credentials.verify_token(link)
    assert credentials.verify_link(link).key == KEY
    assert credentials.verify_token(credentials.issue_token(KEY, mark=INVITATION)[0]).key == KEY


def test_token_from_the_future_is_rejected() -> None:
    """Servers' clocks may differ by five minutes; a revocation does not cover tokens that are issued later."""
    assert TOKENS.read(TOKEN, AT - CLOCK_SKEW_US).key == KEY
    assert_rejected(TOKEN, AT - CLOCK_SKEW_US - 1)


def test_token_of_an_earlier_secret_is_valid_while_that_is_configured() -> None:
    """Secrets are rotated without invalidating tokens: the newest signs, earlier ones still verify."""
    new = SECRET[::-1]
    both, only_new = ResumeTokens([SECRET, new]), ResumeTokens([new])
    assert both.read(TOKEN, AT).key == KEY
    assert only_new.read(both.issue(KEY, AT, HOUR_US), AT).key == KEY
    with pytest.raises(Unauthorized):
        only_new.read(TOKEN, AT)
    assert_rejected(both.issue(KEY, AT, HOUR_US))


@pytest.mark.one_database
def test_new_participant_gets_128_random_bits(store: SessionStore) -> None:
    """User ids are unique, no bit is constant, and seeding ``random`` has no effect."""
    ids = [new_user_id() for _ in range(1000)]
    numbers = [int(user_id, 16) for user_id in ids]
    all_set, none_set = numbers[0], numbers[0]
    for number in numbers:
        all_set, none_set = all_set & number, none_set | number
    assert (all_set, none_set, len(set(ids))) == (0, 2**128 - 1, 1000)
    before = random.getstate()
    random.seed(1)
    user_id = new_user_id()
    random.seed(1)
    assert new_user_id() != user_id
    random.setstate(before)
    app = create_app(store.settings, store)
    created = [app.test_client().post("/api/surveys/phq9/participants").get_json()["user_id"] for _ in range(2)]
    app.extensions["stepkeep"].authenticator.credentials.revocations.close()
    assert [len(user_id) for user_id in created] == [32, 32]
    assert created[0] != created[1]


@given(own=KEYS, others=KEYS)
@example(own=SessionKey("phq9", "Ada"), others=SessionKey("phq9", "ada"))
@example(own=SessionKey("phq9", "ada"), others=SessionKey("phq", "9ada"))
@example(own=SessionKey("phq9", "ada"), others=SessionKey("intake", "ada"))
@example(own=SessionKey("phq9", "ada"), others=SessionKey("ada", "phq9"))
def test_token_of_another_participant_or_survey_is_rejected(own: SessionKey, others: SessionKey) -> None:
    """A token gives access to its own session and, whatever the scope, to no other."""
    participant = TOKENS.read(TOKENS.issue(own, AT, HOUR_US), AT)
    require_session_access(participant, "sessions:write", own, own=True)
    require_session_access(participant, "sessions:read", own)
    if own == others:
        return
    for scope, is_own in itertools.product(SCOPES, (True, False)):
        with pytest.raises(Forbidden):
            require_session_access(participant, scope, others, own=is_own)


def test_payload_with_the_signature_of_another_token_is_rejected() -> None:
    """A participant can't combine two tokens into a token of someone else."""
    token = TOKENS.issue(KEY, AT, HOUR_US)
    other = TOKENS.issue(SessionKey("phq9", "eve"), AT, HOUR_US)
    assert_rejected(token.rpartition(".")[0] + "." + other.rpartition(".")[2])


@pytest.mark.one_database
def test_expired_token_is_rejected(credentials: Credentials, clock: Clock) -> None:
    """A token is valid until its expiry, exclusive, for requests and for open connections."""
    token, expires_at = credentials.issue_token(KEY, HOUR_US)
    clock.now = expires_at - 2  # each read advances the clock by one
    participant = credentials.verify_token(token)
    assert credentials.revocations.is_valid(participant, expires_at - 1)
    with pytest.raises(Unauthorized):
        credentials.verify_token(token)
    assert not credentials.revocations.is_valid(participant, expires_at)


@pytest.mark.one_database
def test_token_older_than_token_days_is_rejected(open_credentials: Open, clock: Clock) -> None:
    """The current STEPKEEP_TOKEN_DAYS limits older tokens too."""
    token, expires_at = open_credentials(token_days=90.0).issue_token(KEY, 9000 * DAY_US)
    assert expires_at == clock.now + 90 * DAY_US
    stricter = open_credentials(token_days=1.0)
    clock.advance(DAY_US - 10)
    assert stricter.verify_token(token).key == KEY
    clock.advance(10)
    with pytest.raises(Unauthorized):
        stricter.verify_token(token)


@pytest.mark.one_database
def test_revoked_token_is_rejected(credentials: Credentials, open_credentials: Open) -> None:
    """A revocation covers all earlier tokens of a session, and neither later ones nor those of other sessions."""
    phone, laptop = (credentials.issue_token(KEY)[0] for _ in range(2))
    others = [
        credentials.issue_token(key)[0] for key in (KEY._replace(user_id="Ada"), KEY._replace(survey_id="intake"))
    ]
    open_socket = credentials.verify_token(phone)
    credentials.revoke_tokens(KEY)
    for token in (phone, laptop):
        with pytest.raises(Unauthorized):
            credentials.verify_token(token)
    assert not credentials.revocations.is_valid(open_socket, open_socket.issued_at + 1)
    for token in (*others, credentials.issue_token(KEY)[0]):
        credentials.verify_token(token)
    restarted = open_credentials()
    restarted.revocations._read()
    with pytest.raises(Unauthorized):
        restarted.verify_token(laptop)


@pytest.mark.one_database
def test_token_is_renewed_after_half_of_its_life(credentials: Credentials, clock: Clock) -> None:
    """A participant who returns now and then never needs a new link."""
    token, _ = credentials.issue_token(KEY)
    clock.advance(44 * DAY_US)
    assert not credentials.should_renew(credentials.verify_token(token))
    clock.advance(2 * DAY_US)
    assert credentials.should_renew(credentials.verify_token(token))


@given(place=st.integers(0, len(TOKEN) - 1), character=ANY_CHARACTER)
def test_altered_token_is_rejected(place: int, character: str) -> None:
    """A token with a character replaced, inserted or removed, or truncated anywhere, is rejected."""
    before, after = TOKEN[:place], TOKEN[place + 1 :]
    assert_rejected(before + after)
    assert_rejected(before)
    assert_rejected(before + character + TOKEN[place:])
    if character != TOKEN[place]:
        assert_rejected(before + character + after)


def test_token_is_rejected_for_each_single_replaced_character() -> None:
    """Every base64 character and some others are tried at each place, including the spare bits of the last."""
    alphabet = string.ascii_letters + string.digits + "-_=+/. \n\0\u00e9"
    others = {TOKEN[:place] + letter + TOKEN[place + 1 :] for place in range(len(TOKEN)) for letter in alphabet}
    for other in sorted(others - {TOKEN}):
        assert_rejected(other)
    for letter in alphabet:
        assert_rejected(TOKEN + letter)
        assert_rejected(letter + TOKEN)


def test_altered_payload_is_rejected() -> None:
    """Another user id, survey or time does not match the signature."""
    key, expires_at = KEY, AT + HOUR_US
    for content in (
        ["phq9", "eve", AT, expires_at],
        ["intake", *key[1:], AT, expires_at],
        [*key, AT + 1, expires_at],
        [*key, AT, expires_at + 1],
        [*key, AT, 2**62],
    ):
        text = encoded(json.dumps(content, separators=(",", ":")).encode())
        assert_rejected(f"{text}.{TOKEN.rpartition('.')[2]}")


@given(text=st.text(ANY_CHARACTER, max_size=2 * MAX_LENGTH))
@example(text="")
@example(text=".")
@example(text="..")
@example(text="\0" * 100)
@example(text="\ud800")
@example(text="a" * 10_000_000)
@example(text="." * 1000)
@example(text="\u202e" + TOKEN)
@example(text=TOKEN + "\n")
def test_text_that_is_not_a_token_is_rejected(text: str) -> None:
    """Any text but a token raises Unauthorized, and no other error."""
    assert_rejected(text)


@given(content=st.binary(max_size=300), signature=st.binary(min_size=32, max_size=32), is_packed=st.booleans())
def test_well_formed_token_without_a_valid_signature_is_rejected(
    content: bytes, signature: bytes, is_packed: bool
) -> None:
    """A well-formed token with a wrong signature is rejected, whatever its payload."""
    body = "." + encoded(zlib.compress(content)) if is_packed else encoded(content)
    assert_rejected(f"{body}.{encoded(signature)}")


def test_payload_is_decompressed_only_after_its_signature_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forged token can't be a decompression bomb."""
    bomb = zlib.compress(b"[" * 500_000)
    decompressed: list[bytes] = []
    monkeypatch.setattr(zlib, "decompress", decompressed.append)
    forged = f".{encoded(bomb)}.{encoded(bytes(32))}"
    assert len(forged) < MAX_LENGTH
    assert_rejected(forged)
    assert decompressed == []


SIGNED_ELSEWHERE: dict[str, dict[str, Any]] = {
    "another secret": {"secret_key": SECRET[::-1]},
    "part of the secret": {"secret_key": SECRET[:-1]},
    "no secret": {"secret_key": ""},
    "another purpose": {"salt": "stepkeep.csrf"},
    "the default purpose": {"salt": "itsdangerous"},
    "SHA-1": {"signer_kwargs": {"key_derivation": "hmac", "digest_method": hashlib.sha1}},
    "SHA-512": {"signer_kwargs": {"key_derivation": "hmac", "digest_method": hashlib.sha512}},
    "BLAKE2s": {"signer_kwargs": {"key_derivation": "hmac", "digest_method": hashlib.blake2s}},
    "the secret itself": {"signer_kwargs": {"key_derivation": "none", "digest_method": hashlib.sha256}},
    "a concatenated key": {"signer_kwargs": {"key_derivation": "concat", "digest_method": hashlib.sha256}},
    "Django's key": {"signer_kwargs": {"key_derivation": "django-concat", "digest_method": hashlib.sha256}},
    "no signature": {
        "signer_kwargs": {
            "key_derivation": "hmac",
            "digest_method": hashlib.sha256,
            "algorithm": itsdangerous.signer.NoneAlgorithm(),
        }
    },
}

SIGNING: dict[str, Any] = {
    "secret_key": SECRET,
    "salt": "stepkeep.resume",
    "signer_kwargs": {"key_derivation": "hmac", "digest_method": hashlib.sha256},
}


def signed(changes: dict[str, Any]) -> str:
    serializer = itsdangerous.URLSafeSerializer(**{**SIGNING, **changes})
    return str(serializer.dumps([*KEY, AT, AT + HOUR_US]))


@pytest.mark.parametrize("changes", SIGNED_ELSEWHERE.values(), ids=SIGNED_ELSEWHERE)
def test_token_signed_differently_is_rejected(changes: dict[str, Any]) -> None:
    """Secret, salt, key derivation and algorithm are fixed by the server; a token can't choose them."""
    assert signed({}) == TOKEN
    assert_rejected(signed(changes))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_json_web_token_is_rejected(algorithm: str) -> None:
    """A JWT is rejected, whether it is unsigned or signed with the secret."""
    header = encoded(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    signing_input = f"{header}.{encoded(json.dumps([*KEY, AT, AT + HOUR_US]).encode())}"
    signature = hmac.digest(SECRET.encode(), signing_input.encode(), "sha256") if algorithm == "HS256" else b""
    assert_rejected(f"{signing_input}.{encoded(signature)}")


def test_timed_token_of_the_same_secret_is_rejected() -> None:
    """Flask's session cookies and other timed tokens of the same secret are not resume tokens."""
    timed = itsdangerous.URLSafeTimedSerializer(SECRET, salt="stepkeep.resume", signer_kwargs=SIGNING["signer_kwargs"])
    assert_rejected(str(timed.dumps([*KEY, AT, AT + HOUR_US])))
