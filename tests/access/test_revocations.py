"""Revocations: immediate in this process, polled by others, kept for a token's life, applied during an outage."""

import os

import pytest
from sqlalchemy import Connection, Engine, insert, select, update

from app.access.credentials import Credentials
from app.access.principals import Anyone, Developer
from app.access.revocations import FULL_POLL_S
from app.access.tokens import DAY_US
from app.errors import DatabaseUnavailable, Unauthorized, Unavailable
from app.store import credentials as statements
from app.store.erasure_journal import hash_user_id
from app.store.tables import token_revocations
from tests.access.conftest import HOUR_US, KEY, MINUTE_US, Clock, Open
from tests.waiting import wait_for


def test_revocation_reaches_other_processes_with_their_next_poll(
    credentials: Credentials, open_credentials: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation takes effect at once in this process, and within POLL_S in others."""
    monkeypatch.setattr("app.access.revocations.POLL_S", 0.02)
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


@pytest.mark.one_database
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


@pytest.mark.one_database
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
    assert revoked(engine) == hashes(engine, "ada", "eve") == set(other_process.revocations._tokens)
    clock.advance(DAY_US + 1)
    credentials.revoke_tokens(KEY._replace(user_id="bob"))
    assert len(revoked(engine)) == 3
    read_all(other_process)
    assert revoked(engine) == hashes(engine, "eve", "bob") == set(other_process.revocations._tokens)
    with pytest.raises(Unauthorized):
        other_process.verify_token(token)


@pytest.mark.one_database
def test_full_read_is_not_repeated_when_deletion_fails(
    credentials: Credentials, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only database too, only new revocations are read until FULL_POLL_S have passed."""
    polls: list[int] = []
    read = statements.read_revocations

    def record(connection: Connection, since: int) -> list[statements.TokenRevocation]:
        polls.append(since)
        return read(connection, since)

    def refuse(*_: object) -> bool:
        raise DatabaseUnavailable("read-only")

    monkeypatch.setattr(statements, "read_revocations", record)
    monkeypatch.setattr(statements, "has_revocations", refuse)
    credentials.revoke_tokens(KEY)
    for _ in range(2):
        credentials.revocations._read()
    assert [clock.now - since > DAY_US for since in polls] == [True, False]


@pytest.mark.one_database
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


@pytest.mark.one_database
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
    before = revocations(engine)
    clock.advance(-HOUR_US)
    credentials.revoke_tokens(KEY)
    assert revocations(engine) == before
    restarted = open_credentials()
    restarted.revocations._read()
    assert not restarted.revocations.is_valid(participant, clock())


def test_forked_child_polls(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revocation after a fork (gunicorn --preload) reaches the child too."""
    monkeypatch.setattr("app.access.revocations.POLL_S", 0.02)
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


def revocations(engine: Engine) -> list[tuple[str, str, str, int]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(token_revocations))]


def revoked(engine: Engine) -> set[str]:
    """Return the participants with revoked tokens, as stored."""
    return {name for _, name, _, _ in revocations(engine)}


def hashes(engine: Engine, *user_ids: str) -> set[str]:
    """Return the hashes of these participants, with the database's one salt."""
    (salt,) = {salt for _, _, _, salt in revocations(engine)}
    return {hash_user_id(salt, "phq9", user_id) for user_id in user_ids}


@pytest.mark.one_database
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


@pytest.mark.one_database
def test_anonymous_principal_is_never_valid(credentials: Credentials) -> None:
    """Connections without credentials stay open in development only."""
    assert not credentials.revocations.is_valid(Anyone(), 0)
    assert credentials.revocations.is_valid(Developer(), 0)


def test_revocation_is_read_when_two_processes_chose_different_salts(
    credentials: Credentials, open_credentials: Open, engine: Engine
) -> None:
    """As they may if both write a database's first revocation."""
    other_process, eve = open_credentials(), KEY._replace(user_id="eve")
    participants = [credentials.verify_token(credentials.issue_token(key)[0]) for key in (KEY, eve)]
    for key in (KEY, eve):
        credentials.revoke_tokens(key)
    (old,), salt = hashes(engine, "eve"), "ab" * 16
    with engine.begin() as connection:
        change = update(token_revocations).where(token_revocations.c.user_id == old)
        connection.execute(change.values(salt=salt, user_id=hash_user_id(salt, *eve)))
    other_process.revocations._read()
    assert [other_process.revocations.is_valid(participant, 0) for participant in participants] == [False, False]
    for participant in participants:
        with pytest.raises(Unauthorized):
            other_process._store.turns.get_or_create(
                participant.key, is_audio_mode=False, granted_at=participant.granted_at
            )


def test_revocation_from_before_the_hashes_is_in_effect_and_hashed_by_the_next_full_poll(
    credentials: Credentials, engine: Engine, clock: Clock
) -> None:
    """Older releases store the participant's id. An earlier hashed revocation is replaced."""
    participant = credentials.verify_token(credentials.issue_token(KEY)[0])
    credentials._store.run_transaction(lambda connection: statements.revoke_tokens(connection, KEY, 1))
    with engine.begin() as connection:
        connection.execute(insert(token_revocations).values(**KEY._asdict(), revoked_at=clock()))
    with pytest.raises(Unauthorized):
        credentials._store.turns.get_or_create(KEY, is_audio_mode=False, granted_at=participant.granted_at)
    read_all(credentials)
    assert not credentials.revocations.is_valid(participant, 0)
    assert revoked(engine) == hashes(engine, KEY.user_id)
    with pytest.raises(Unauthorized):
        credentials._store.turns.get_or_create(KEY, is_audio_mode=False, granted_at=participant.granted_at)


@pytest.mark.one_database
def test_participant_is_hashed_once_for_all_checks(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of each message takes no hash and no I/O."""
    participant = credentials.verify_token(credentials.issue_token(KEY._replace(user_id="once"))[0])
    credentials.revoke_tokens(KEY)
    credentials.revocations._read()
    hashed: list[str] = []
    monkeypatch.setattr(
        "app.access.revocations.hash_user_id", lambda *names: hashed.append(names[-1]) or hash_user_id(*names)
    )
    monkeypatch.setattr(credentials._store, "run_read", None)
    assert all(credentials.revocations.is_valid(participant, 0) for _ in range(100))
    assert hashed == ["once"]


@pytest.mark.one_database
def test_new_token_is_valid_after_a_revocation_by_a_clock_that_is_ahead(credentials: Credentials, clock: Clock) -> None:
    """It counts as issued after the revocation."""
    clock.advance(MINUTE_US)
    credentials.revoke_tokens(KEY)
    clock.advance(-MINUTE_US)
    credentials.verify_token(credentials.issue_token(KEY)[0])


def test_renewed_token_is_revoked_with_the_token_that_it_renews(
    credentials: Credentials, open_credentials: Open, clock: Clock
) -> None:
    """A process that does not know of the revocation yet may renew the token; its own, new revocation is refused."""
    other_process = open_credentials()
    participant = credentials.verify_token(credentials.issue_token(KEY)[0])
    other_process.revoke_tokens(KEY)
    renewed = credentials.verify_token(credentials.issue_token(KEY, granted_at=participant.granted_at)[0])
    again = credentials.verify_token(credentials.issue_token(KEY, granted_at=renewed.granted_at)[0])
    assert participant.issued_at < renewed.issued_at < again.issued_at
    with pytest.raises(Unauthorized):
        credentials.revoke_tokens(KEY, granted_at=again.granted_at)
    credentials.revocations._read()
    for revoked_participant in (participant, renewed, again):
        assert not credentials.revocations.is_valid(revoked_participant, clock())
