"""Resume tokens: each is its participant's alone, for its time, until it is revoked; no other text is one."""

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
from app.access.principals import SCOPES, Participant, require_session_access
from app.access.tokens import DAY_US, MAX_LENGTH, ResumeTokens, new_user_id
from app.errors import Forbidden, Unauthorized
from app.sessions.service import SessionStore
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
"""Lone surrogates and NUL among them."""


def assert_refused(token: str, at: int = AT) -> None:
    """A refusal is Unauthorized, and says the same whatever the reason."""
    with pytest.raises(Unauthorized) as refused:
        TOKENS.read(token, at)
    assert refused.value.message == Unauthorized().message


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# ------------------------------------------------------------------------------------------------------ what holds


@given(key=KEYS, at=st.integers(0, 2**52), life_us=st.integers(1, 2**52))
@example(key=SessionKey("s" * 64, "u" * 128), at=AT, life_us=HOUR_US)
@example(key=SessionKey("0", "-"), at=AT, life_us=1)
def test_token_reads_back_to_its_session(key: SessionKey, at: int, life_us: int) -> None:
    """Each token is read as its survey's and participant's until its time is over, and fits where tokens are taken."""
    token = TOKENS.issue(key, at, life_us)
    assert len(token) <= MAX_LENGTH
    expected = Participant(key=key, issued_at=at, expires_at=at + life_us)
    assert TOKENS.read(token, at) == TOKENS.read(token, at + life_us - 1) == expected


def test_token_of_an_earlier_secret_holds_while_that_is_named() -> None:
    """SECRET_KEY can be replaced without ending anybody's token: the newest signs, earlier ones are still read."""
    new = SECRET[::-1]
    both, only_new = ResumeTokens([SECRET, new]), ResumeTokens([new])
    assert both.read(TOKEN, AT).key == KEY
    assert only_new.read(both.issue(KEY, AT, HOUR_US), AT).key == KEY
    with pytest.raises(Unauthorized):
        only_new.read(TOKEN, AT)
    assert_refused(both.issue(KEY, AT, HOUR_US))


def test_new_participant_gets_128_random_bits(store: SessionStore) -> None:
    """Each bit of a new id differs from id to id, none repeats, and a seed of ``random`` plays no part."""
    ids = [new_user_id() for _ in range(1000)]
    numbers = [int(one, 16) for one in ids]
    all_set, none_set = numbers[0], numbers[0]
    for number in numbers:
        all_set, none_set = all_set & number, none_set | number
    assert (all_set, none_set, len(set(ids))) == (0, 2**128 - 1, 1000)
    before = random.getstate()
    random.seed(1)
    one = new_user_id()
    random.seed(1)
    assert new_user_id() != one
    random.setstate(before)
    app = create_app(store.settings, store)
    made = [app.test_client().post("/api/surveys/phq9/participants").get_json()["user_id"] for _ in range(2)]
    app.extensions["stepkeep_access"].credentials.revocations.close()
    assert [len(one) for one in made] == [32, 32]
    assert made[0] != made[1]


# -------------------------------------------------------------------------------------------------- whose it is not


@given(own=KEYS, others=KEYS)
@example(own=SessionKey("phq9", "Ada"), others=SessionKey("phq9", "ada"))
@example(own=SessionKey("phq9", "ada"), others=SessionKey("phq", "9ada"))
@example(own=SessionKey("phq9", "ada"), others=SessionKey("intake", "ada"))
@example(own=SessionKey("phq9", "ada"), others=SessionKey("ada", "phq9"))
def test_token_of_another_participant_or_survey_is_refused(own: SessionKey, others: SessionKey) -> None:
    """A token admits to the session that it names, and to no other, for whatever is asked."""
    who = TOKENS.read(TOKENS.issue(own, AT, HOUR_US), AT)
    require_session_access(who, "sessions:write", own, own=True)
    require_session_access(who, "sessions:read", own)
    if own == others:
        return
    for scope, is_own in itertools.product(SCOPES, (True, False)):
        with pytest.raises(Forbidden):
            require_session_access(who, scope, others, own=is_own)


def test_parts_of_two_tokens_are_no_token() -> None:
    """One's content with the other's signature is refused: who has a token of his own can't make somebody else's."""
    mine = TOKENS.issue(KEY, AT, HOUR_US)
    hers = TOKENS.issue(SessionKey("phq9", "eve"), AT, HOUR_US)
    assert_refused(mine.rpartition(".")[0] + "." + hers.rpartition(".")[2])


# ------------------------------------------------------------------------------------------------- when it ends


def test_token_past_its_time_is_refused(credentials: Credentials, clock: Clock) -> None:
    """It holds to the last microsecond, then no more: at requests, and for connections that stay open."""
    token, expires_at = credentials.issue_token(KEY, HOUR_US)
    clock.now = expires_at - 2  # the clock goes on by one with each look
    who = credentials.verify_token(token)
    assert credentials.revocations.is_valid(who, expires_at - 1)
    with pytest.raises(Unauthorized):
        credentials.verify_token(token)
    assert not credentials.revocations.is_valid(who, expires_at)


def test_token_past_token_days_is_refused(opened: Open, clock: Clock) -> None:
    """A link can't hold longer than STEPKEEP_TOKEN_DAYS, as it is set now: not as it was when the link was made."""
    token, expires_at = opened(token_days=90.0).issue_token(KEY, 9000 * DAY_US)
    assert expires_at == clock.now + 90 * DAY_US
    stricter = opened(token_days=1.0)
    clock.go_on(DAY_US - 10)
    assert stricter.verify_token(token).key == KEY
    clock.go_on(10)
    with pytest.raises(Unauthorized):
        stricter.verify_token(token)


def test_token_that_was_revoked_is_refused(credentials: Credentials, opened: Open) -> None:
    """All of a participant's tokens end at once, on all devices, older ones too; nobody else's do, nor later ones."""
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
    restarted = opened()
    restarted.revocations._read()
    with pytest.raises(Unauthorized):
        restarted.verify_token(laptop)


def test_token_is_replaced_when_half_of_its_time_is_over(credentials: Credentials, clock: Clock) -> None:
    """Who comes now and then is never asked for a new link."""
    token, _ = credentials.issue_token(KEY)
    clock.go_on(44 * DAY_US)
    assert not credentials.should_renew(credentials.verify_token(token))
    clock.go_on(2 * DAY_US)
    assert credentials.should_renew(credentials.verify_token(token))


# ---------------------------------------------------------------------------------------------- what is no token


@given(place=st.integers(0, len(TOKEN) - 1), character=ANY_CHARACTER)
def test_token_that_was_altered_is_refused(place: int, character: str) -> None:
    """Another character anywhere, one more, one less, or an end that is missing: refused."""
    before, after = TOKEN[:place], TOKEN[place + 1 :]
    assert_refused(before + after)
    assert_refused(before)
    assert_refused(before + character + TOKEN[place:])
    if character != TOKEN[place]:
        assert_refused(before + character + after)


def test_every_character_of_a_token_counts() -> None:
    """All 64 letters of base64, and some beyond, at each place: also in the spare bits of the last one."""
    alphabet = string.ascii_letters + string.digits + "-_=+/. \n\0\u00e9"
    others = {TOKEN[:place] + letter + TOKEN[place + 1 :] for place in range(len(TOKEN)) for letter in alphabet}
    for other in sorted(others - {TOKEN}):
        assert_refused(other)
    for letter in alphabet:
        assert_refused(TOKEN + letter)
        assert_refused(letter + TOKEN)


def test_content_that_was_altered_is_refused() -> None:
    """Another name, survey or time under the old signature."""
    key, expires_at = KEY, AT + HOUR_US
    for content in (
        ["phq9", "eve", AT, expires_at],
        ["intake", *key[1:], AT, expires_at],
        [*key, AT + 1, expires_at],
        [*key, AT, expires_at + 1],
        [*key, AT, 2**62],
    ):
        text = encoded(json.dumps(content, separators=(",", ":")).encode())
        assert_refused(f"{text}.{TOKEN.rpartition('.')[2]}")


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
def test_text_that_is_no_token_is_refused(text: str) -> None:
    """Any text but a token is Unauthorized, and no other error."""
    assert_refused(text)


@given(content=st.binary(max_size=300), signature=st.binary(min_size=32, max_size=32), is_packed=st.booleans())
def test_text_in_the_form_of_a_token_is_refused(content: bytes, signature: bytes, is_packed: bool) -> None:
    """What has a token's form, and no signature of ours, is refused whatever is in it."""
    body = "." + encoded(zlib.compress(content)) if is_packed else encoded(content)
    assert_refused(f"{body}.{encoded(signature)}")


def test_packed_content_is_not_unpacked_before_its_signature_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A little text that unpacks to very much (a zip bomb) costs nothing."""
    bomb = zlib.compress(b"[" * 500_000)
    asked: list[bytes] = []
    monkeypatch.setattr(zlib, "decompress", asked.append)
    forged = f".{encoded(bomb)}.{encoded(bytes(32))}"
    assert len(forged) < MAX_LENGTH
    assert_refused(forged)
    assert asked == []


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

OURS: dict[str, Any] = {
    "secret_key": SECRET,
    "salt": "stepkeep.resume",
    "signer_kwargs": {"key_derivation": "hmac", "digest_method": hashlib.sha256},
}


def signed(changes: dict[str, Any]) -> str:
    serializer = itsdangerous.URLSafeSerializer(**{**OURS, **changes})
    return str(serializer.dumps([*KEY, AT, AT + HOUR_US]))


@pytest.mark.parametrize("changes", SIGNED_ELSEWHERE.values(), ids=SIGNED_ELSEWHERE)
def test_token_signed_in_another_way_is_refused(changes: dict[str, Any]) -> None:
    """The secret, the purpose, the derivation of the key and the algorithm are ours alone; a token names none."""
    assert signed({}) == TOKEN
    assert_refused(signed(changes))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_json_web_token_is_refused(algorithm: str) -> None:
    """Neither a token that says that it needs no signature nor one that is rightly signed, but is a JWT."""
    header = encoded(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    signing_input = f"{header}.{encoded(json.dumps([*KEY, AT, AT + HOUR_US]).encode())}"
    signature = hmac.digest(SECRET.encode(), signing_input.encode(), "sha256") if algorithm == "HS256" else b""
    assert_refused(f"{signing_input}.{encoded(signature)}")


def test_token_of_another_kind_with_a_time_is_refused() -> None:
    """Flask's session cookies and timed tokens of the same secret, were there any, would be none of ours."""
    timed = itsdangerous.URLSafeTimedSerializer(SECRET, salt="stepkeep.resume", signer_kwargs=OURS["signer_kwargs"])
    assert_refused(str(timed.dumps([*KEY, AT, AT + HOUR_US])))
