"""Revocations: immediate in this process, polled by others, kept for a token's life, applied during an outage."""

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


def test_revocation_reaches_other_processes_with_their_next_poll(
    credentials: Credentials, open_credentials: Open
) -> None:
    """A revocation takes effect at once in this process, and within POLL_S in others."""
    other_process = open_credentials()
    token, key = credentials.issue_token(KEY)[0], credentials.create_key("a", ["export"])
    participant, integrator = other_process.verify_token(token), other_process.verify_key(key)
    other_process.revocations.start()
    try:
        credentials.revoke_tokens(KEY)
        credentials.revoke_key(integrator.key_id)
        with pytest.raises(Unauthorized):
            credentials.verify_token(token)
        wait_for(
            lambda: (
                not any(other_process.revocations.is_valid(principal, 0) for principal in (participant, integrator))
            ),
            "the other process did not poll",
        )
        with pytest.raises(Unauthorized):
            other_process.verify_token(token)
    finally:
        other_process.revocations.close()


def test_revocation_with_a_slow_commit_is_read(credentials: Credentials, open_credentials: Open, clock: Clock) -> None:
    """The next poll reads a revocation that is older than the newest one already read."""
    other_process = open_credentials()
    later = KEY._replace(user_id="eve")
    token = credentials.issue_token(KEY)[0]
    began_at = clock()
    clock.advance(30 * 1_000_000)
    credentials.revoke_tokens(later)
    other_process.revocations._read()
    clock.now = began_at
    credentials.revoke_tokens(KEY)
    other_process.revocations._read()
    with pytest.raises(Unauthorized):
        other_process.verify_token(token)


def test_second_revocation_covers_newer_tokens(credentials: Credentials, open_credentials: Open) -> None:
    """The latest revocation counts, in whatever order they are read."""
    other_process = open_credentials()
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


def test_revocations_are_kept_for_the_life_of_a_token(
    credentials: Credentials, open_credentials: Open, clock: Clock, engine: Engine
) -> None:
    """A poll deletes revocations older than STEPKEEP_TOKEN_DAYS, whose tokens have expired."""
    other_process, later = open_credentials(), KEY._replace(user_id="eve")
    token = credentials.issue_token(KEY)[0]
    credentials.revoke_tokens(KEY)
    other_process.revocations._read()
    clock.advance(89 * DAY_US)
    credentials.revoke_tokens(later)
    read_all(other_process)
    assert set(revoked(engine)) == {"ada", "eve"}
    assert set(other_process.revocations._tokens) == {KEY, later}
    clock.advance(DAY_US + 1)
    credentials.revoke_tokens(KEY._replace(user_id="bob"))
    assert len(revoked(engine)) == 3
    read_all(other_process)
    assert set(revoked(engine)) == {"eve", "bob"}
    assert {key.user_id for key in other_process.revocations._tokens} == {"eve", "bob"}
    with pytest.raises(Unauthorized):
        other_process.verify_token(token)


def test_full_read_is_not_repeated_when_deletion_fails(
    credentials: Credentials, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only database too, only new revocations are read until FULL_POLL_S have passed."""
    polls: list[int] = []
    read_tokens = credentials.revocations._read_tokens
    monkeypatch.setattr(
        credentials.revocations, "_read_tokens", lambda since: polls.append(since) or read_tokens(since)
    )

    def refuse(_before: int) -> None:
        raise DatabaseUnavailable("read-only")

    monkeypatch.setattr(credentials.revocations, "_delete", refuse)
    credentials.revoke_tokens(KEY)
    for _ in range(2):
        credentials.revocations._read()
    assert [clock.now - since > DAY_US for since in polls] == [True, False]


def test_revocation_is_read_after_one_with_a_time_in_the_future(
    credentials: Credentials, open_credentials: Open, clock: Clock
) -> None:
    """A time written by a server whose clock is ahead does not become the start of the next poll."""
    other_process = open_credentials()
    token = credentials.issue_token(KEY)[0]
    clock.advance(HOUR_US)
    credentials.revoke_tokens(KEY._replace(user_id="eve"))
    clock.advance(-HOUR_US)
    other_process.revocations._read()
    credentials.revoke_tokens(KEY)
    other_process.revocations._read()
    with pytest.raises(Unauthorized):
        other_process.verify_token(token)


def test_backdated_revocation_is_found_by_a_full_poll(
    credentials: Credentials, open_credentials: Open, clock: Clock
) -> None:
    """A replayed erasure revokes tokens with its original time, days later; every FULL_POLL_S it is found."""
    other_process = open_credentials()
    token = credentials.issue_token(KEY)[0]
    erased_at = clock()
    clock.advance(10 * DAY_US)
    credentials.revoke_tokens(KEY._replace(user_id="eve"))
    other_process.revocations._read()
    credentials._store.run_transaction(lambda connection: statements.revoke_tokens(connection, KEY, erased_at))
    other_process.revocations._read_all_at -= FULL_POLL_S
    other_process.revocations._read()
    with pytest.raises(Unauthorized):
        other_process.verify_token(token)


def test_later_revocation_stays_when_a_slower_clock_revokes_again(
    credentials: Credentials, open_credentials: Open, clock: Clock, engine: Engine
) -> None:
    """Tokens issued by the server with the faster clock stay revoked."""
    clock.advance(HOUR_US)
    participant = credentials.verify_token(credentials.issue_token(KEY)[0])
    credentials.revoke_tokens(KEY)
    before = revoked(engine)
    clock.advance(-HOUR_US)
    credentials.revoke_tokens(KEY)
    assert revoked(engine) == before
    restarted = open_credentials()
    restarted.revocations._read()
    assert not restarted.revocations.is_valid(participant, clock())


def test_forked_child_polls(credentials: Credentials) -> None:
    """A revocation after a fork (gunicorn --preload) reaches the child too."""
    participant = credentials.verify_token(credentials.issue_token(KEY)[0])
    credentials.revocations.start()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            wait_for(
                lambda: not credentials.revocations.is_valid(participant, 0), "the child did not poll", timeout_s=20
            )
            os.write(writer, b"revoked")
        finally:
            os._exit(0)
    os.close(writer)
    try:
        assert credentials.revocations.is_valid(participant, 0)
        credentials.revoke_tokens(KEY)
        with os.fdopen(reader, "rb") as pipe:
            assert pipe.read() == b"revoked"
    finally:
        credentials.revocations.close()
        os.waitpid(child, 0)


def read_all(process: Credentials) -> None:
    """Poll as every FULL_POLL_S."""
    process.revocations._read_all_at = float("-inf")
    process.revocations._read()


def revoked(engine: Engine) -> dict[str, object]:
    """Return the time of revocation by user id."""
    with engine.connect() as connection:
        return {row.user_id: row.revoked_at for row in connection.execute(select(token_revocations))}


def test_revocations_apply_while_the_database_is_unavailable(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Tokens are checked against known revocations, the failed poll is logged once, and API keys are rejected."""
    revoked, good = credentials.issue_token(KEY)[0], credentials.issue_token(KEY._replace(user_id="eve"))[0]
    key = credentials.create_key("a", ["export"])
    integrator = credentials.verify_key(key)
    credentials.revoke_tokens(KEY)
    polls: list[int] = []

    def fail(_work: object) -> None:
        polls.append(1)
        raise DatabaseUnavailable("connection refused")

    monkeypatch.setattr("app.access.revocations.POLL_S", 0.001)
    credentials.revocations.start()
    try:
        monkeypatch.setattr(credentials._store, "run_read", fail)
        wait_for(lambda: len(polls) > 5, "there was no poll")
    finally:
        credentials.revocations.close()
    with pytest.raises(Unauthorized):
        credentials.verify_token(revoked)
    assert credentials.verify_token(good).key.user_id == "eve"
    assert credentials.revocations.is_valid(integrator, 0)
    with pytest.raises(Unavailable):
        credentials.verify_key(key)
    assert [record.message for record in caplog.records if record.name == "stepkeep.access"] == [
        f"Revocations can't be read; using those already known: {DatabaseUnavailable('connection refused')}"
    ]


def test_anonymous_principal_is_never_valid(credentials: Credentials) -> None:
    """Connections without credentials stay open in development only."""
    assert not credentials.revocations.is_valid(Anyone(), 0)
    assert credentials.revocations.is_valid(Developer(), 0)
