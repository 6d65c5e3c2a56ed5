"""API keys and sign-ins on each database: what is stored, when they expire, what invalid ones reveal."""

import base64
import contextlib
import hashlib
import hmac
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from app.access.credentials import IDLE_US, MAX_NAME, SIGNED_IN_US, Credentials
from app.access.principals import SCOPES, Integrator, Scope, has_scope, require_scope, require_some_scope
from app.access.tokens import DAY_US, matches_key, new_key, parse_key_id
from app.errors import Forbidden, InvalidInput, Unauthorized
from app.store.tables import metadata, sign_ins
from tests.access.conftest import HOUR_US, MINUTE_US, Clock, Open


def stored_text(engine: Engine) -> str:
    """Return every column of every table as text, and for SQLite each byte of its files."""
    with engine.connect() as connection:
        rows = [row for table in metadata.sorted_tables for row in connection.execute(select(table))]
    texts = [str(value) for row in rows for value in row]
    if engine.dialect.name == "sqlite":
        path = Path(engine.url.database or "")
        texts += [file.read_bytes().decode("latin-1") for file in path.parent.glob(f"{path.name}*")]
    return "\n".join(texts)


def assert_rejected(credentials: Credentials, key: str) -> None:
    """Assert that the key is rejected with Unauthorized, whose message does not depend on the reason."""
    with pytest.raises(Unauthorized) as error:
        credentials.verify_key(key)
    assert error.value.message == Unauthorized().message


def test_key_has_256_random_bits() -> None:
    """The secret has 32 random bytes, of which no bit is constant; ids are unique."""
    keys = [new_key() for _ in range(1000)]
    secrets = [key.text.removeprefix(f"stepkeep_{key.key_id}_") for key in keys]
    assert {len(secret) for secret in secrets} == {43}
    numbers = [int.from_bytes(base64.urlsafe_b64decode(secret + "=")) for secret in secrets]
    all_set, none_set = numbers[0], numbers[0]
    for number in numbers:
        all_set, none_set = all_set & number, none_set | number
    assert (all_set, none_set) == (0, 2**256 - 1)
    assert len(set(numbers)) == len({key.key_id for key in keys}) == 1000


@given(text=st.text(st.characters(exclude_categories=())))
def test_text_that_is_not_a_key_is_rejected(text: str) -> None:
    """Any text that is not a key is rejected without an error."""
    key = new_key()
    for candidate in (text, f"stepkeep_{text}", f"stepkeep_{key.key_id}_{text}", key.text + text if text else text):
        assert not matches_key(candidate, key.secret_hash)
        assert not matches_key(candidate, None)
    assert parse_key_id(key.text) == key.key_id


@given(place=st.integers(0, 64), character=st.characters(exclude_categories=()))
def test_altered_key_is_rejected(place: int, character: str) -> None:
    """A key with any character replaced is invalid, or names another key."""
    key = new_key()
    other = key.text[:place] + character + key.text[place + 1 :]
    assert matches_key(key.text, key.secret_hash)
    if other != key.text:
        assert not matches_key(other, key.secret_hash) or parse_key_id(other) != key.key_id


@pytest.mark.one_database
def test_secrets_are_compared_in_constant_time(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are also compared for unknown ids, so that timing does not reveal which ids exist."""
    key = credentials.create_key("a", ["export"])
    compared: list[tuple[object, object]] = []

    def compare(left: str, right: str) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    credentials.verify_key(key)
    for text in (key[:-1] + "?", new_key().text, key[:-2] + "xx", "stepkeep_", ""):
        assert_rejected(credentials, text)
    assert len(compared) == 6
    assert {len(str(side)) for pair in compared for side in pair} == {64}


def test_key_is_stored_as_a_hash_only(credentials: Credentials, engine: Engine) -> None:
    """The database holds hashes of keys and sign-in cookies, and neither them nor parts of them."""
    key = credentials.create_key("ward 3", ["sessions:read"])
    cookie, integrator = credentials.sign_in(key)
    secret = key.removeprefix(f"stepkeep_{integrator.key_id}_")
    stored = stored_text(engine)
    for plain in (key, secret, secret[:16], secret[-16:], cookie, cookie[:16], cookie[-16:]):
        assert plain not in stored
    for hashed in (secret, cookie):
        assert hashlib.sha256(hashed.encode()).hexdigest() in stored
    assert "ward 3" in stored


@pytest.mark.one_database
def test_new_installation_has_no_valid_key(credentials: Credentials) -> None:
    """There is no default key and no default sign-in."""
    assert credentials.keys() == []
    for text in (new_key().text, "", "admin", "stepkeep", "changeme", "stepkeep_" + "a" * 12 + "_" + "A" * 43):
        assert_rejected(credentials, text)
        with pytest.raises(Unauthorized):
            credentials.verify_sign_in(text)


def test_keys_are_listed_with_their_scopes(credentials: Credentials, clock: Clock) -> None:
    """Keys are listed newest first, with unique scopes in a fixed order."""
    expires_at = clock.now + DAY_US
    credentials.create_key(" clinic ", ["export", "sessions:read", "export"], expires_at)
    credentials.create_key("boss", SCOPES)
    newer, older = credentials.keys()
    assert (newer.name, newer.scopes, newer.expires_at) == ("boss", SCOPES, None)
    assert (older.name, older.scopes, older.expires_at) == ("clinic", ("sessions:read", "export"), expires_at)
    assert older.last_used_at is older.revoked_at is None


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "scopes", "message"),
    [
        ("", ["export"], "1 to 100 printable"),
        ("  ", ["export"], "1 to 100 printable"),
        ("x" * (MAX_NAME + 1), ["export"], "1 to 100 printable"),
        ("a\nb", ["export"], "1 to 100 printable"),
        ("a\x1b[31m", ["export"], "1 to 100 printable"),
        ("a", [], "not none"),
        ("a", ["export", "root"], "not root"),
        ("a", ["Export"], "not Export"),
    ],
)
def test_key_with_an_invalid_name_or_scope_is_not_created(
    credentials: Credentials, name: str, scopes: list[str], message: str
) -> None:
    """A key needs a printable name and known scopes."""
    with pytest.raises(InvalidInput, match=message):
        credentials.create_key(name, scopes)
    assert credentials.keys() == []


@pytest.mark.one_database
def test_key_with_a_past_expiry_is_not_created(credentials: Credentials, clock: Clock) -> None:
    """The expiry of a new key is in the future."""
    with pytest.raises(InvalidInput, match="in the future"):
        credentials.create_key("a", ["export"], clock.now)
    assert credentials.keys() == []


def test_expired_or_revoked_key_is_rejected(credentials: Credentials, open_credentials: Open, clock: Clock) -> None:
    """A key is valid until its expiry, exclusive; a revocation takes effect at once in every process."""
    lasting = credentials.create_key("lasting", ["export"])
    expires_at = clock.now + HOUR_US
    brief, revoked = credentials.create_key("brief", ["export"], expires_at), credentials.create_key("b", ["export"])
    other_process = open_credentials()
    key_id = parse_key_id(revoked) or ""
    open_socket = credentials.verify_key(revoked)
    assert credentials.revoke_key(key_id)
    assert not credentials.revoke_key(key_id)
    assert_rejected(credentials, revoked)
    assert_rejected(other_process, revoked)
    assert not credentials.revocations.is_valid(open_socket, clock.now)
    clock.now = expires_at - 2  # each read advances the clock by one
    integrator = credentials.verify_key(brief)
    assert credentials.revocations.is_valid(integrator, expires_at - 1)
    assert not credentials.revocations.is_valid(integrator, expires_at)
    clock.now = expires_at - 1
    assert_rejected(credentials, brief)
    clock.advance(3650 * DAY_US)
    assert credentials.verify_key(lasting).name == "lasting"


@pytest.mark.one_database
def test_key_is_verified_to_an_integrator_with_its_scopes(credentials: Credentials) -> None:
    """The integrator has the key's id, name and scopes."""
    key = credentials.create_key("ward 3", ["export", "sessions:read"])
    scopes = frozenset({"sessions:read", "export"})
    assert credentials.verify_key(key) == Integrator(
        key_id=parse_key_id(key) or "",
        name="ward 3",
        scopes=scopes,  # type: ignore[arg-type]  # literals
        expires_at=None,
    )


@pytest.mark.one_database
def test_secret_of_another_key_is_rejected(credentials: Credentials) -> None:
    """The secret must belong to the key with this id."""
    key, other = (credentials.create_key(name, ["export"]) for name in "ab")
    assert_rejected(
        credentials, f"stepkeep_{parse_key_id(key)}_{other.removeprefix(f'stepkeep_{parse_key_id(other)}_')}"
    )


def test_last_use_is_recorded_at_most_once_a_minute(
    credentials: Credentials, open_credentials: Open, clock: Clock
) -> None:
    """Operators see which keys are in use, while a busy or an invalid key does not cost a write per request."""
    key = credentials.create_key("a", ["export"])

    def used_at() -> int | None:
        return credentials.keys()[0].last_used_at

    assert_rejected(credentials, key[:-2] + "xx")
    assert used_at() is None
    credentials.verify_key(key)
    first = used_at()
    assert first == clock.now
    for _ in range(10):
        clock.advance(MINUTE_US // 20)
        credentials.verify_key(key)
        assert used_at() == first
    open_credentials().verify_key(key)  # another process reads the recorded time
    assert used_at() == first
    clock.advance(MINUTE_US)
    credentials.verify_key(key)
    assert used_at() == clock.now


@pytest.mark.one_database
def test_sign_in_expires_when_idle(credentials: Credentials, clock: Clock) -> None:
    """A sign-in expires 30 minutes after its last request."""
    cookie, integrator = credentials.sign_in(credentials.create_key("a", ["admin"]))
    for _ in range(4):
        clock.advance(IDLE_US - MINUTE_US)
        assert credentials.verify_sign_in(cookie) == integrator
    clock.advance(IDLE_US + 1)
    with pytest.raises(Unauthorized):
        credentials.verify_sign_in(cookie)


def test_sign_in_expires_after_12_hours(credentials: Credentials, clock: Clock, engine: Engine) -> None:
    """A sign-in in use expires too, and the next sign-in deletes its row."""
    key = credentials.create_key("a", ["admin"])
    cookie, _ = credentials.sign_in(key)
    for _ in range(SIGNED_IN_US // (20 * MINUTE_US) - 1):
        clock.advance(20 * MINUTE_US)
        credentials.verify_sign_in(cookie)
    clock.advance(20 * MINUTE_US + 1)
    with pytest.raises(Unauthorized):
        credentials.verify_sign_in(cookie)
    credentials.sign_in(key)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(sign_ins)).scalar() == 1


def test_sign_in_ends_with_its_key(credentials: Credentials, open_credentials: Open, clock: Clock) -> None:
    """A sign-in is invalid in every process once its key is revoked or expired, and after signing out."""
    other_process = open_credentials()
    revoked = credentials.create_key("a", ["admin"])
    expires_at = clock.now + 10 * MINUTE_US
    brief = credentials.create_key("b", ["admin"], expires_at)
    cookies = [credentials.sign_in(key)[0] for key in (revoked, brief, brief)]
    credentials.sign_out(cookies[2])
    credentials.sign_out(cookies[2])
    credentials.revoke_key(parse_key_id(revoked) or "")
    assert other_process.verify_sign_in(cookies[1]).name == "b"
    clock.now = expires_at
    for cookie in cookies:
        for process in (credentials, other_process):
            with pytest.raises(Unauthorized):
                process.verify_sign_in(cookie)


@pytest.mark.one_database
def test_each_sign_in_has_a_new_random_cookie(credentials: Credentials) -> None:
    """A cookie has 256 random bits, and is never chosen by the client (session fixation)."""
    key = credentials.create_key("a", ["admin"])
    cookies = {credentials.sign_in(f" {key}\n")[0] for _ in range(5)}
    assert len(cookies) == 5
    assert {len(cookie) for cookie in cookies} == {43}
    with pytest.raises(Unauthorized):
        credentials.sign_in(new_key().text)
    for text in ("", "\ud800", "\0", "x" * 100_000):
        with pytest.raises(Unauthorized):
            credentials.verify_sign_in(text)


def test_key_is_limited_to_named_surveys(open_credentials: Open) -> None:
    """They are stored with it, and its sign-ins have them too; scopes that concern all surveys are refused."""
    credentials = open_credentials()
    key = credentials.create_key("ward 3", ["export", "sessions:read"], surveys=["phq9", "intake", "phq9"])
    assert credentials.verify_key(key).surveys == {"phq9", "intake"}
    cookie, signed_in = credentials.sign_in(key)
    assert signed_in.surveys == credentials.verify_sign_in(cookie).surveys == {"phq9", "intake"}
    (stored,) = credentials.keys()
    assert stored.surveys == ("intake", "phq9")
    assert credentials.verify_key(credentials.create_key("all", ["admin"])).surveys is None
    for scopes, surveys in (
        (["export", "admin"], ["phq9"]),
        (["metrics"], ["phq9"]),
        (["export"], []),
        (["export"], ["No"]),
    ):
        with pytest.raises(InvalidInput):
            credentials.create_key("wrong", scopes, surveys=surveys)


LIMITED = Integrator(
    key_id="a", name="n", scopes=frozenset(SCOPES), expires_at=None, surveys=frozenset({"phq9", "intake"})
)


@given(scope=st.sampled_from(SCOPES), survey_id=st.sampled_from([None, "phq9", "intake", "closed", ""]))
def test_limited_principal_has_its_scopes_for_its_surveys_only(scope: Scope, survey_id: str | None) -> None:
    """None is for all surveys, whatever the scopes."""
    is_own = survey_id in {"phq9", "intake"}
    assert has_scope(LIMITED, scope, survey_id) == is_own
    with contextlib.nullcontext() if is_own else pytest.raises(Forbidden, match="limited to surveys: intake, phq9"):
        require_scope(LIMITED, scope, survey_id)
    nowhere = replace(LIMITED, surveys=frozenset())
    assert not has_scope(nowhere, scope, survey_id)
    with pytest.raises(Forbidden):
        require_some_scope(nowhere, scope)
