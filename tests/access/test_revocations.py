"""Revocations: at once in this process, a look later in others, kept as long as needed, known while the database is away."""

import pytest
from sqlalchemy import Engine, func, select

from app.access.credentials import Credentials
from app.access.principals import Anyone, Developer
from app.access.tokens import DAY_US
from app.errors import DatabaseUnavailable, Unauthorized, Unavailable
from app.store.models import token_revocations
from tests.access.conftest import KEY, Clock, Open
from tests.waiting import wait_for


def test_revocation_reaches_other_processes_at_their_next_look(credentials: Credentials, opened: Open) -> None:
    """In this process it holds at once; another one looks every second."""
    other_process = opened()
    token, key = credentials.issue_token(KEY)[0], credentials.create_key("a", ["export"])
    participant, integrator = other_process.participant(token), other_process.integrator(key)
    other_process.revocations.start()
    try:
        credentials.revoke_tokens(KEY)
        credentials.revoke_key(integrator.key_id)
        with pytest.raises(Unauthorized):
            credentials.participant(token)
        wait_for(
            lambda: not any(other_process.revocations.holds(who, 0) for who in (participant, integrator)),
            "the other process did not look",
        )
        with pytest.raises(Unauthorized):
            other_process.participant(token)
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
        other_process.participant(token)


def test_second_revocation_counts_too(credentials: Credentials, opened: Open) -> None:
    """Tokens that were issued after one revocation are ended by the next, and a late look takes none back."""
    other_process = opened()
    credentials.revoke_tokens(KEY)
    token = credentials.issue_token(KEY)[0]
    other_process.revocations._read()
    other_process.participant(token)
    credentials.revoke_tokens(KEY)
    other_process.revocations._read()
    other_process.revocations.note(KEY, 1)
    for process in (credentials, other_process):
        with pytest.raises(Unauthorized):
            process.participant(token)


def test_revocations_are_kept_as_long_as_a_token_may_hold(
    credentials: Credentials, opened: Open, clock: Clock, engine: Engine
) -> None:
    """After TOKEN_DAYS none is needed: the token has expired by itself. The next one takes it away."""
    token = credentials.issue_token(KEY)[0]
    credentials.revoke_tokens(KEY)

    def revoked() -> int:
        with engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(token_revocations)).scalar() or 0

    clock.go_on(89 * DAY_US)
    credentials.revoke_tokens(KEY._replace(user_id="eve"))
    assert revoked() == 2
    clock.go_on(DAY_US + 1)
    credentials.revoke_tokens(KEY._replace(user_id="bob"))
    assert revoked() == 2
    restarted = opened()
    restarted.revocations._read()
    with pytest.raises(Unauthorized):
        restarted.participant(token)


def test_what_is_revoked_stays_so_while_the_database_is_away(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Participants' tokens are checked by what is known; that it can't be read is said once; API keys are refused."""
    revoked, good = credentials.issue_token(KEY)[0], credentials.issue_token(KEY._replace(user_id="eve"))[0]
    key = credentials.create_key("a", ["export"])
    integrator = credentials.integrator(key)
    credentials.revoke_tokens(KEY)
    looks: list[int] = []

    def away(_work: object) -> None:
        looks.append(1)
        raise DatabaseUnavailable("away")

    monkeypatch.setattr("app.access.revocations.LOOK_S", 0.001)
    credentials.revocations.start()
    try:
        monkeypatch.setattr(credentials._store, "read", away)
        wait_for(lambda: len(looks) > 5, "nobody looked")
    finally:
        credentials.revocations.close()
    with pytest.raises(Unauthorized):
        credentials.participant(revoked)
    assert credentials.participant(good).key.user_id == "eve"
    assert credentials.revocations.holds(integrator, 0)
    with pytest.raises(Unavailable):
        credentials.integrator(key)
    assert [record.message for record in caplog.records if record.name == "stepkeep.access"] == [
        f"what was revoked can't be read now, and what is known holds: {DatabaseUnavailable('away')}"
    ]


def test_who_shows_nothing_holds_nothing(credentials: Credentials) -> None:
    """Nobody in particular may stay nowhere; a developer, on his own machine, may."""
    assert not credentials.revocations.holds(Anyone(), 0)
    assert credentials.revocations.holds(Developer(), 0)
