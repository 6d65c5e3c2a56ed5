"""Revocations: at once in this process, a look later in others, kept as long as needed, known while the database is away."""

import os

import pytest
from sqlalchemy import Engine, select

from app.access.credentials import Credentials
from app.access.principals import Anyone, Developer
from app.access.revocations import FULL_POLL_S
from app.access.tokens import DAY_US
from app.errors import DatabaseUnavailable, Unauthorized, Unavailable
from app.store import credentials as statements
from app.store.tables import token_revocations
from tests.access.conftest import HOUR_US, KEY, Clock, Open
from tests.waiting import wait_for


def test_revocation_reaches_other_processes_at_their_next_look(credentials: Credentials, opened: Open) -> None:
    """In this process it holds at once; another one looks every second."""
    other_process = opened()
    token, key = credentials.issue_token(KEY)[0], credentials.create_key("a", ["export"])
    participant, integrator = other_process.verify_token(token), other_process.verify_key(key)
    other_process.revocations.start()
    try:
        credentials.revoke_tokens(KEY)
        credentials.revoke_key(integrator.key_id)
        with pytest.raises(Unauthorized):
            credentials.verify_token(token)
        wait_for(
            lambda: not any(other_process.revocations.is_valid(who, 0) for who in (participant, integrator)),
            "the other process did not look",
        )
        with pytest.raises(Unauthorized):
            other_process.verify_token(token)
    finally:
        other_process.revocations.close()


def test_revocation_that_was_slow_to_commit_is_seen(credentials: Credentials, opened: Open, clock: Clock) -> None:
    """One that is older than the newest that was seen, because its commit took longer, is met at the next look."""
    other_process = opened()
    later = KEY._replace(user_id="eve")
    token = credentials.issue_token(KEY)[0]
    began_at = clock()
    clock.go_on(30 * 1_000_000)
    credentials.revoke_tokens(later)
    other_process.revocations._read()
    clock.now = began_at
    credentials.revoke_tokens(KEY)
    other_process.revocations._read()
    with pytest.raises(Unauthorized):
        other_process.verify_token(token)


def test_second_revocation_counts_too(credentials: Credentials, opened: Open) -> None:
    """Tokens that were issued after one revocation are ended by the next, and a late look takes none back."""
    other_process = opened()
    credentials.revoke_tokens(KEY)
    token = credentials.issue_token(KEY)[0]
    other_process.revocations._read()
    other_process.verify_token(token)
    credentials.revoke_tokens(KEY)
    other_process.revocations._read()
    other_process.revocations.add_tokens(KEY, 1)
    for process in (credentials, other_process):
        with pytest.raises(Unauthorized):
            process.verify_token(token)


def test_revocations_are_kept_as_long_as_a_token_may_hold(
    credentials: Credentials, opened: Open, clock: Clock, engine: Engine
) -> None:
    """After STEPKEEP_TOKEN_DAYS none is needed: the token has expired by itself. Who looks takes it away, here and in memory."""
    other_process, later = opened(), KEY._replace(user_id="eve")
    token = credentials.issue_token(KEY)[0]
    credentials.revoke_tokens(KEY)
    other_process.revocations._read()
    clock.go_on(89 * DAY_US)
    credentials.revoke_tokens(later)
    read_all(other_process)
    assert set(revoked(engine)) == {"ada", "eve"}
    assert set(other_process.revocations._tokens) == {KEY, later}
    clock.go_on(DAY_US + 1)
    credentials.revoke_tokens(KEY._replace(user_id="bob"))
    assert len(revoked(engine)) == 3
    read_all(other_process)
    assert set(revoked(engine)) == {"eve", "bob"}
    assert {key.user_id for key in other_process.revocations._tokens} == {"eve", "bob"}
    with pytest.raises(Unauthorized):
        other_process.verify_token(token)


def test_all_are_not_read_at_each_look_when_nothing_can_be_removed(
    credentials: Credentials, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that can only be read is tried again after FULL_POLL_S; what is new is read meanwhile."""
    looks: list[int] = []
    read_tokens = credentials.revocations._read_tokens
    monkeypatch.setattr(
        credentials.revocations, "_read_tokens", lambda since: looks.append(since) or read_tokens(since)
    )

    def refuse(_before: int) -> None:
        raise DatabaseUnavailable("only reads")

    monkeypatch.setattr(credentials.revocations, "_delete", refuse)
    credentials.revoke_tokens(KEY)
    for _ in range(2):
        credentials.revocations._read()
    assert [clock.now - since > DAY_US for since in looks] == [True, False]


def test_clock_that_is_ahead_hides_nothing_that_is_revoked_later(
    credentials: Credentials, opened: Open, clock: Clock
) -> None:
    """A time that is still to come, which another server wrote, is not where the next look begins."""
    other_process = opened()
    token = credentials.issue_token(KEY)[0]
    clock.go_on(HOUR_US)
    credentials.revoke_tokens(KEY._replace(user_id="eve"))
    clock.go_on(-HOUR_US)
    other_process.revocations._read()
    credentials.revoke_tokens(KEY)
    other_process.revocations._read()
    with pytest.raises(Unauthorized):
        other_process.verify_token(token)


def test_revocation_that_is_dated_back_is_found_when_all_are_read(
    credentials: Credentials, opened: Open, clock: Clock
) -> None:
    """As a list of erasures dates it, which is put into effect days later: within FULL_POLL_S all that counts is read."""
    other_process = opened()
    token = credentials.issue_token(KEY)[0]
    erased_at = clock()
    clock.go_on(10 * DAY_US)
    credentials.revoke_tokens(KEY._replace(user_id="eve"))
    other_process.revocations._read()
    credentials._store.run_transaction(lambda connection: statements.revoke_tokens(connection, KEY, erased_at))
    other_process.revocations._read_all_at -= FULL_POLL_S
    other_process.revocations._read()
    with pytest.raises(Unauthorized):
        other_process.verify_token(token)


def test_later_time_stays_when_a_slower_clock_revokes_again(
    credentials: Credentials, opened: Open, clock: Clock, engine: Engine
) -> None:
    """Tokens that the server with the faster clock issued stay revoked."""
    clock.go_on(HOUR_US)
    participant = credentials.verify_token(credentials.issue_token(KEY)[0])
    credentials.revoke_tokens(KEY)
    before = revoked(engine)
    clock.go_on(-HOUR_US)
    credentials.revoke_tokens(KEY)
    assert revoked(engine) == before
    restarted = opened()
    restarted.revocations._read()
    assert not restarted.revocations.is_valid(participant, clock())


def test_forked_child_looks_for_itself(credentials: Credentials) -> None:
    """A server that is loaded before it forks: what is revoked afterwards reaches its children too."""
    participant = credentials.verify_token(credentials.issue_token(KEY)[0])
    credentials.revocations.start()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            wait_for(
                lambda: not credentials.revocations.is_valid(participant, 0), "the child did not look", timeout_s=20
            )
            os.write(tell, b"found")
        finally:
            os._exit(0)
    os.close(tell)
    try:
        assert credentials.revocations.is_valid(participant, 0)
        credentials.revoke_tokens(KEY)
        with os.fdopen(told, "rb") as hears:
            assert hears.read() == b"found"
    finally:
        credentials.revocations.close()
        os.waitpid(child, 0)


def read_all(process: Credentials) -> None:
    """Let it look as it does every FULL_POLL_S."""
    process.revocations._read_all_at = float("-inf")
    process.revocations._read()


def revoked(engine: Engine) -> dict[str, object]:
    """Return whose tokens are revoked, and up to when."""
    with engine.connect() as connection:
        return {row.user_id: row.revoked_at for row in connection.execute(select(token_revocations))}


def test_what_is_revoked_stays_so_while_the_database_is_away(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Participants' tokens are checked by what is known; that it can't be read is said once; API keys are refused."""
    revoked, good = credentials.issue_token(KEY)[0], credentials.issue_token(KEY._replace(user_id="eve"))[0]
    key = credentials.create_key("a", ["export"])
    integrator = credentials.verify_key(key)
    credentials.revoke_tokens(KEY)
    looks: list[int] = []

    def away(_work: object) -> None:
        looks.append(1)
        raise DatabaseUnavailable("away")

    monkeypatch.setattr("app.access.revocations.POLL_S", 0.001)
    credentials.revocations.start()
    try:
        monkeypatch.setattr(credentials._store, "run_read", away)
        wait_for(lambda: len(looks) > 5, "nobody looked")
    finally:
        credentials.revocations.close()
    with pytest.raises(Unauthorized):
        credentials.verify_token(revoked)
    assert credentials.verify_token(good).key.user_id == "eve"
    assert credentials.revocations.is_valid(integrator, 0)
    with pytest.raises(Unavailable):
        credentials.verify_key(key)
    assert [record.message for record in caplog.records if record.name == "stepkeep.access"] == [
        f"Revocations can't be read; using those already known: {DatabaseUnavailable('away')}"
    ]


def test_who_shows_nothing_holds_nothing(credentials: Credentials) -> None:
    """Nobody in particular may stay nowhere; a developer, on his own machine, may."""
    assert not credentials.revocations.is_valid(Anyone(), 0)
    assert credentials.revocations.is_valid(Developer(), 0)
