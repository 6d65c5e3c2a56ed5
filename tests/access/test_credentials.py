"""API keys, sign-ins and revocations on each database: what is kept of them, for how long they hold, who learns it."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from app.access.api_keys import matches_key, new_key, parse_key_id
from app.access.credentials import IDLE_US, MAX_NAME, SIGNED_IN_US, Credentials
from app.access.principals import SCOPES, Integrator
from app.access.tokens import DAY_US
from app.errors import InvalidInput, Unauthorized
from app.store.tables import metadata, sign_ins
from tests.access.conftest import HOUR_US, MINUTE_US, Clock, Open


def stored_text(engine: Engine) -> str:
    """Return all that is in the database: every column of every table; of SQLite's files each byte too."""
    with engine.connect() as connection:
        rows = [row for table in metadata.sorted_tables for row in connection.execute(select(table))]
    texts = [str(value) for row in rows for value in row]
    if engine.dialect.name == "sqlite":
        path = Path(engine.url.database or "")
        texts += [file.read_bytes().decode("latin-1") for file in path.parent.glob(f"{path.name}*")]
    return "\n".join(texts)


def assert_refused(credentials: Credentials, key: str) -> None:
    """A refusal is Unauthorized, and says the same whatever the reason."""
    with pytest.raises(Unauthorized) as refused:
        credentials.verify_key(key)
    assert refused.value.message == Unauthorized().message


# ----------------------------------------------------------------------------------------------------- what a key is


def test_key_has_256_random_bits() -> None:
    """The secret is 32 random bytes, each bit of which differs from key to key; no two keys have one id."""
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
def test_text_that_is_no_key_is_refused(text: str) -> None:
    """Any text at all is looked at without an error, and is no key."""
    key = new_key()
    for shown in (text, f"stepkeep_{text}", f"stepkeep_{key.key_id}_{text}", key.text + text if text else text):
        assert not matches_key(shown, key.secret_hash)
        assert not matches_key(shown, None)
    assert parse_key_id(key.text) == key.key_id


@given(place=st.integers(0, 64), character=st.characters(exclude_categories=()))
def test_key_that_was_altered_is_refused(place: int, character: str) -> None:
    """Another character anywhere in it makes it another key, or none."""
    key = new_key()
    other = key.text[:place] + character + key.text[place + 1 :]
    assert matches_key(key.text, key.secret_hash)
    if other != key.text:
        assert not matches_key(other, key.secret_hash) or parse_key_id(other) != key.key_id


def test_secrets_are_compared_in_constant_time(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is no such key, so that time does not tell which ids there are."""
    key = credentials.create_key("a", ["export"])
    compared: list[tuple[object, object]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    credentials.verify_key(key)
    for shown in (key[:-1] + "?", new_key().text, key[:-2] + "xx", "stepkeep_", ""):
        assert_refused(credentials, shown)
    assert len(compared) == 6
    assert {len(str(side)) for pair in compared for side in pair} == {64}


# -------------------------------------------------------------------------------------------------- what is kept of it


def test_key_is_stored_as_a_hash_only(credentials: Credentials, engine: Engine) -> None:
    """Neither the key nor its secret, nor a sign-in's cookie, is anywhere in the database: only their hashes are."""
    key = credentials.create_key("ward 3", ["sessions:read"])
    cookie, who = credentials.sign_in(key)
    secret = key.removeprefix(f"stepkeep_{who.key_id}_")
    found = stored_text(engine)
    for shown in (key, secret, secret[:16], secret[-16:], cookie, cookie[:16], cookie[-16:]):
        assert shown not in found
    for kept in (secret, cookie):
        assert hashlib.sha256(kept.encode()).hexdigest() in found
    assert "ward 3" in found


def test_new_installation_admits_no_integrator(credentials: Credentials) -> None:
    """There is no key that comes along with the program, and no sign-in: nobody is an integrator until one is made."""
    assert credentials.keys() == []
    for shown in (new_key().text, "", "admin", "stepkeep", "changeme", "stepkeep_" + "a" * 12 + "_" + "A" * 43):
        assert_refused(credentials, shown)
        with pytest.raises(Unauthorized):
            credentials.verify_sign_in(shown)


def test_keys_are_listed_with_what_they_may_do(credentials: Credentials, clock: Clock) -> None:
    """Newest first, their scopes in one order and once each."""
    expires_at = clock.now + DAY_US
    credentials.create_key(" clinic ", ["export", "sessions:read", "export"], expires_at)
    credentials.create_key("boss", SCOPES)
    newer, older = credentials.keys()
    assert (newer.name, newer.scopes, newer.expires_at) == ("boss", SCOPES, None)
    assert (older.name, older.scopes, older.expires_at) == ("clinic", ("sessions:read", "export"), expires_at)
    assert older.last_used_at is older.revoked_at is None


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
def test_key_that_makes_no_sense_is_not_made(
    credentials: Credentials, name: str, scopes: list[str], message: str
) -> None:
    """A name that says whose it is and can be printed, and scopes that there are; else nothing is kept."""
    with pytest.raises(InvalidInput, match=message):
        credentials.create_key(name, scopes)
    assert credentials.keys() == []


def test_key_that_would_have_expired_is_not_made(credentials: Credentials, clock: Clock) -> None:
    """It must expire in the future."""
    with pytest.raises(InvalidInput, match="in the future"):
        credentials.create_key("a", ["export"], clock.now)
    assert credentials.keys() == []


# ------------------------------------------------------------------------------------------------ how long it holds


def test_key_that_expired_or_was_revoked_is_refused(credentials: Credentials, opened: Open, clock: Clock) -> None:
    """To the last microsecond it holds, then no more; revoked, it ends at once, for every process that is asked."""
    lasting = credentials.create_key("lasting", ["export"])
    expires_at = clock.now + HOUR_US
    brief, revoked = credentials.create_key("brief", ["export"], expires_at), credentials.create_key("b", ["export"])
    other_process = opened()
    key_id = parse_key_id(revoked) or ""
    open_socket = credentials.verify_key(revoked)
    assert credentials.revoke_key(key_id)
    assert not credentials.revoke_key(key_id)
    assert_refused(credentials, revoked)
    assert_refused(other_process, revoked)
    assert not credentials.revocations.is_valid(open_socket, clock.now)
    clock.now = expires_at - 2  # the clock goes on by one with each look
    who = credentials.verify_key(brief)
    assert credentials.revocations.is_valid(who, expires_at - 1)
    assert not credentials.revocations.is_valid(who, expires_at)
    clock.now = expires_at - 1
    assert_refused(credentials, brief)
    clock.go_on(3650 * DAY_US)
    assert credentials.verify_key(lasting).name == "lasting"


def test_key_may_do_what_its_scopes_say(credentials: Credentials) -> None:
    """Who shows it is known by its id and name, with exactly the scopes that were given."""
    key = credentials.create_key("ward 3", ["export", "sessions:read"])
    scopes = frozenset({"sessions:read", "export"})
    assert credentials.verify_key(key) == Integrator(
        key_id=parse_key_id(key) or "",
        name="ward 3",
        scopes=scopes,  # type: ignore[arg-type]  # literals
        expires_at=None,
    )


def test_another_keys_secret_does_not_open_it(credentials: Credentials) -> None:
    """The secret must be that of the key with this id."""
    one, other = (credentials.create_key(name, ["export"]) for name in "ab")
    assert_refused(
        credentials, f"stepkeep_{parse_key_id(one)}_{other.removeprefix(f'stepkeep_{parse_key_id(other)}_')}"
    )


def test_last_use_is_noted_once_a_minute_at_most(credentials: Credentials, opened: Open, clock: Clock) -> None:
    """An operator sees which keys are in use, and a busy key costs no write at each request; nor do wrong ones."""
    key = credentials.create_key("a", ["export"])

    def used_at() -> int | None:
        return credentials.keys()[0].last_used_at

    assert_refused(credentials, key[:-2] + "xx")
    assert used_at() is None
    credentials.verify_key(key)
    first = used_at()
    assert first == clock.now
    for _ in range(10):
        clock.go_on(MINUTE_US // 20)
        credentials.verify_key(key)
        opened_again = used_at()
        assert opened_again == first
    opened().verify_key(key)  # another process knows of it too
    assert used_at() == first
    clock.go_on(MINUTE_US)
    credentials.verify_key(key)
    assert used_at() == clock.now


# -------------------------------------------------------------------------------------------------------- sign-ins


def test_sign_in_ends_when_nobody_was_there(credentials: Credentials, clock: Clock) -> None:
    """After 30 minutes without a request; each request begins them anew."""
    cookie, who = credentials.sign_in(credentials.create_key("a", ["admin"]))
    for _ in range(4):
        clock.go_on(IDLE_US - MINUTE_US)
        assert credentials.verify_sign_in(cookie) == who
    clock.go_on(IDLE_US + 1)
    with pytest.raises(Unauthorized):
        credentials.verify_sign_in(cookie)


def test_sign_in_ends_after_12_hours(credentials: Credentials, clock: Clock, engine: Engine) -> None:
    """Whatever is done with it; and the next one takes its row away."""
    key = credentials.create_key("a", ["admin"])
    cookie, _ = credentials.sign_in(key)
    for _ in range(SIGNED_IN_US // (20 * MINUTE_US) - 1):
        clock.go_on(20 * MINUTE_US)
        credentials.verify_sign_in(cookie)
    clock.go_on(20 * MINUTE_US + 1)
    with pytest.raises(Unauthorized):
        credentials.verify_sign_in(cookie)
    credentials.sign_in(key)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(sign_ins)).scalar() == 1


def test_sign_in_ends_with_its_key(credentials: Credentials, opened: Open, clock: Clock) -> None:
    """When the key is revoked or expires, for each process; and signing out ends it for good."""
    other_process = opened()
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


def test_each_sign_in_has_a_cookie_of_its_own(credentials: Credentials) -> None:
    """Of 256 random bits; nobody can bring one along that then is his."""
    key = credentials.create_key("a", ["admin"])
    cookies = {credentials.sign_in(f" {key}\n")[0] for _ in range(5)}
    assert len(cookies) == 5
    assert {len(cookie) for cookie in cookies} == {43}
    with pytest.raises(Unauthorized):
        credentials.sign_in(new_key().text)
    for text in ("", "\ud800", "\0", "x" * 100_000):
        with pytest.raises(Unauthorized):
            credentials.verify_sign_in(text)
