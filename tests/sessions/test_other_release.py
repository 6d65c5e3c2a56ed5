"""What a newer release wrote is refused: it is neither set aside, rewritten nor left out, and other sessions go on."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text, update

from app.errors import OtherRelease, SessionUnreadable
from app.operations.analytics import Filters, summarize
from app.operations.export import Export, ExportRequest
from app.operations.integrity import rebuild_session, verify_sessions
from app.operations.maintenance import expire
from app.sessions.queries import now_us
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import migrations
from app.store.tables import session_history, sessions, survey_revisions
from app.survey.commands import Answer, Restart
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.conftest import NewStore
from tests.durability.exactly_once import check_fold
from tests.store.encrypted import all_values
from tests.streams import submit_or_queue

KEY, MINE = SessionKey("phq9", "ada"), SessionKey("phq9", "mine")

Access = Callable[[SessionStore], object]


def answer() -> Answer:
    return Answer(at=now_us(), step="Q1", value=1)


def drain(export: Export) -> None:
    for _ in export.write().pieces:
        pass


TURNS: dict[str, Access] = {
    "get_or_create": lambda store: store.turns.get_or_create(KEY, is_audio_mode=False),
    "join": lambda store: store.turns.join(KEY, is_audio_mode=False, subscriber=None, callback=lambda _: None),
    "submit": lambda store: store.turns.submit(KEY, answer()),
    "restart": lambda store: store.turns.submit(KEY, Restart(at=now_us())),
    "submit_or_queue": lambda store: submit_or_queue(store, KEY, answer()),
    "set_aside": lambda store: store.erasure.set_aside(KEY, SessionUnreadable("phq9", "ada", "seemingly")),
    "list": lambda store: store.queries.list(),
    "export": lambda store: drain(Export(store, ExportRequest(survey_id="phq9", format="csv"))),
}


@pytest.fixture
def begun(store: SessionStore) -> SessionStore:
    """A store with two participants."""
    for key in (KEY, MINE):
        store.turns.get_or_create(key, is_audio_mode=False)
    return store


def refuse(store: SessionStore, accesses: dict[str, Access], match: str) -> None:
    for name, access in accesses.items():
        with pytest.raises(OtherRelease, match=match):
            pytest.fail(f"{name} returned {access(store)}")
    assert not store.turns.pending.is_unavailable


def require_only_ada_refused(store: SessionStore) -> None:
    """In one batch, the other participant's answer is committed."""
    refused, committed = store.turns.submit_many([(KEY, answer()), (MINE, answer())])
    assert isinstance(refused, OtherRelease)
    assert isinstance(committed, Committed)
    check_fold(store, MINE)


def test_unknown_status_is_refused(begun: SessionStore, engine: Engine) -> None:
    """Its meaning is that of the release that wrote it."""
    with engine.begin() as connection:
        connection.execute(update(sessions).where(sessions.c.user_id == "ada").values(status="paused"))
    before = all_values(engine)
    analytics: Access = lambda store: summarize(store, "phq9", Filters())  # noqa: E731 - one of the accesses
    counts: Access = lambda store: store.queries.counts_by_survey()  # noqa: E731 - as above
    refuse(begun, {**TURNS, "analytics": analytics, "counts": counts}, "'paused'")
    assert all_values(engine) == before
    require_only_ada_refused(begun)


def define(engine: Engine, change: Callable[[dict[str, Any]], object], broken: str = "") -> None:
    """Pin ada's session to a definition that this server never loaded."""
    with engine.begin() as connection:
        row = connection.execute(survey_revisions.select().where(survey_revisions.c.survey_id == "phq9")).one()
        definition = json.loads(row.definition)
        change(definition)
        values = {**row._mapping, "revision": "f" * 32, "definition": broken or json.dumps(definition)}
        connection.execute(insert(survey_revisions).values(values))
        connection.execute(update(sessions).where(sessions.c.user_id == "ada").values(survey_revision="f" * 32))


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "step type": lambda definition: definition["steps"].append({"id": "new", "type": "hologram", "prompt": "?"}),
    "field": lambda definition: definition.update(branding={"logo": "a.svg"}),
    "format": lambda definition: definition.update(steps={"Q1": {}}),
}


@pytest.mark.one_database
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_unknown_definition_is_refused(
    begun: SessionStore, engine: Engine, change: Callable[[dict[str, Any]], object]
) -> None:
    """Also with a turn of another session in the batch that first needs it."""
    define(engine, change)
    require_only_ada_refused(begun)
    before = all_values(engine)
    refuse(begun, {**TURNS, "analytics": lambda store: summarize(store, "phq9", Filters())}, "phq9@ffff")
    assert expire(begun).expired == {}
    assert all_values(engine) == before


def test_damaged_definition_is_set_aside(begun: SessionStore, engine: Engine) -> None:
    """What is no JSON was written by no release."""
    define(engine, lambda _: None, broken='{"id": "phq9", ')
    snapshot, existed = begun.turns.get_or_create(KEY, is_audio_mode=False)
    assert (existed, snapshot.state.version) == (False, 1)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("action", "data"),
    [("paused", "{}"), ("mode_set", '{"is_audio_mode": true, "schema": 2}')],
    ids=["action", "schema"],
)
def test_unknown_event_is_refused(begun: SessionStore, engine: Engine, action: str, data: str) -> None:
    """Where the history is replayed or counted; its row is not rebuilt without the event."""
    with engine.begin() as connection:
        event = {"version": 2, "action": action, "data": data, "timestamp": text("CURRENT_TIMESTAMP")}
        connection.execute(insert(session_history).values(user_id="ada", survey_id="phq9", **event))
        connection.execute(update(sessions).where(sessions.c.user_id == "ada").values(version=2))
    before = all_values(engine)
    accesses: dict[str, Access] = {
        "at_version": lambda store: store.queries.at_version(KEY, 2),
        "rebuild": lambda store: rebuild_session(store, KEY),
        "events": lambda store: drain(Export(store, ExportRequest(survey_id="phq9", format="long"))),
    }
    if action == "paused":  # analytics read no data
        accesses["analytics"] = lambda store: summarize(store, "phq9", Filters())
    refuse(begun, accesses, "another release")
    assert {check.key: check.verdict for check in verify_sessions(begun)} == {KEY: "locked", MINE: "same"}
    assert all_values(engine) == before
    assert begun.queries.history(KEY, after_version=1)[0].record.action == action


def test_schema_of_another_release_is_refused_while_the_store_is_open(
    begun: SessionStore, engine: Engine, monkeypatch: pytest.MonkeyPatch, settings: Settings, new_store: NewStore
) -> None:
    """Nothing is queued for it either; with its own schema, the store goes on."""
    monkeypatch.setattr(migrations, "CHECK_S", 0)
    store = new_store(settings)
    own = migrations.head_revision()
    for revision in ("9999", "0015"):
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})
        before = all_values(engine)
        refuse(store, TURNS, revision)
        refused = store.turns.submit_many([(KEY, answer()), (MINE, answer())])
        assert all(isinstance(result, OtherRelease) for result in refused)
        assert all_values(engine) == before
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :own"), {"own": own})
    assert isinstance(store.turns.submit(KEY, answer()), Committed)
