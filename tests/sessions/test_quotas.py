"""Quotas: what one session's history may have, and that nothing acknowledged is lost when it is full."""

import base64
import queue
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from app.errors import SessionFull
from app.operations.integrity import rebuild_session
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Answer, AnyCommand, Back, Draft, Goto, Note, Restart, SetMode
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.conftest import NewStore, examples

SURVEY = """
id: text
title: A text
language: en
expires_after: 1h
steps:
  - {id: S1, type: text, prompt: Say something, max_length: 60000}
  - {id: S2, type: text, prompt: Say more, max_length: 60000}
"""
KEY = SessionKey("text", "ada")
MIB = 2**20


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    (tmp_path / "surveys").mkdir()
    (tmp_path / "surveys/text.yaml").write_text(SURVEY)
    return Settings(
        database_url=database_url,
        surveys_dir=tmp_path / "surveys",
        environment="development",
        session_versions=100,
        session_mib=1,
    )


@pytest.fixture
def begun(settings: Settings, new_store: NewStore) -> SessionStore:
    store = new_store(settings)
    store.turns.get_or_create(KEY, is_audio_mode=False)
    return store


def version(store: SessionStore) -> int:
    snapshot = store.queries.load(KEY)
    assert snapshot is not None
    return snapshot.state.version


def submit(store: SessionStore, kind: Any, **fields: Any) -> Any:
    return store.turns.submit(KEY, kind(at=store.clock(), **fields))


def stored_bytes(store: SessionStore) -> int:
    def read(connection: Any) -> int:
        return int(connection.execute(text("SELECT history_bytes FROM sessions WHERE user_id = 'ada'")).scalar())

    return store.run_read(read)


def actual_bytes(store: SessionStore) -> int:
    def read(connection: Any) -> int:
        rows = connection.execute(text("SELECT answer, data FROM session_history WHERE user_id = 'ada'"))
        return sum(len((value or "").encode()) for row in rows for value in row)

    return store.run_read(read)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
COMMANDS = st.one_of(
    st.tuples(st.sampled_from([Answer, Draft]), st.sampled_from(["S1", "S2"]), TEXTS),
    st.tuples(st.sampled_from([Back, Restart]), st.none(), st.none()),
)


def make(store: SessionStore, kind: Any, step: str | None, value: object) -> AnyCommand:
    fields = {} if step is None else {"step": step, "value": value}
    command: AnyCommand = kind(at=store.clock(), **fields)
    return command


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_bytes_of_a_session_are_those_of_its_history(
    settings: Settings, new_store: NewStore, *, is_encrypted: bool
) -> None:
    """In batches and alone, from another process, after a rebuild; as they are stored."""
    keys = SecretStr(base64.b64encode(bytes(range(32))).decode() if is_encrypted else "")
    settings = settings.model_copy(update={"answers_keys": keys, "session_versions": 100_000, "session_mib": 24})
    stores = (
        [new_store(settings), new_store(settings)] if "sqlite" not in settings.database_url else [new_store(settings)]
    )
    stores[0].turns.get_or_create(KEY, is_audio_mode=False)

    @examples(20)
    @given(st.lists(COMMANDS, max_size=6), st.booleans(), st.integers(0, len(stores) - 1))
    def check(commands: list[Any], together: bool, number: int) -> None:
        store = stores[number]
        turns = [(KEY, make(store, *command)) for command in commands]
        if together:
            store.turns.submit_many(turns)
        else:
            for key, command in turns:
                store.turns.submit(key, command)
        assert stored_bytes(store) == actual_bytes(store)

    check()
    rebuild_session(stores[0], KEY)
    assert stored_bytes(stores[0]) == actual_bytes(stores[0])
    submit(stores[0], Note, action="n", step=None, answer="é")
    assert stored_bytes(stores[0]) == actual_bytes(stores[0])


def test_session_is_full_at_its_versions(begun: SessionStore) -> None:
    """The refused command changes nothing; what was accepted is acknowledged again when it is resent."""
    for number in range(99):
        result = submit(begun, SetMode, is_audio_mode=bool(number % 2), message_id=f"m{number}")
        assert isinstance(result, Committed)
    assert version(begun) == 100
    before = begun.queries.load(KEY)
    for kind, fields in (
        (Answer, {"step": "S1", "value": "x"}),
        (SetMode, {"is_audio_mode": True}),
        (Goto, {"step": "S1"}),
        (Restart, {}),
        (Draft, {"step": "S1", "value": "x"}),
    ):
        with pytest.raises(SessionFull):
            submit(begun, kind, **fields)
    assert begun.queries.load(KEY) == before
    again = submit(begun, SetMode, is_audio_mode=False, message_id="m98")
    assert (again.duplicate, again.version) == (True, 100)
    begun.turns.submit_or_raise(KEY, Note(at=begun.clock(), action="n", step=None, answer=None))  # an integrator's
    assert version(begun) == 101


def test_session_is_full_at_its_bytes(begun: SessionStore) -> None:
    """An attack stored 110 MB in 10 s; the limit is that of the process that commits, also within one batch."""
    answers = [Answer(at=begun.clock(), step="S1", value=chr(97 + number % 26) * 60_000) for number in range(40)]
    results = begun.turns.submit_many([(KEY, answer) for answer in answers])
    accepted = [isinstance(result, Committed) for result in results]
    assert accepted == [True] * 17 + [False] * 23
    assert all(isinstance(result, SessionFull) for result in results[17:])
    assert MIB - 61_000 < stored_bytes(begun) <= MIB
    assert isinstance(submit(begun, Answer, step="S1", value="short"), Committed)  # what fits is accepted


def test_drafts_take_half_of_the_quota(begun: SessionStore) -> None:
    """However much was typed, answers can still be given."""
    for number in range(49):
        assert isinstance(submit(begun, Draft, step="S1", value=f"{number}"), Committed)
    with pytest.raises(SessionFull):
        submit(begun, Draft, step="S1", value="more")
    assert isinstance(submit(begun, Answer, step="S1", value="an answer"), Committed)


def test_turn_that_waited_for_the_database_is_refused_when_the_session_is_full(begun: SessionStore) -> None:
    """It was answered `pending`, which is no acknowledgement, and gets its final answer."""
    for number in range(99):
        submit(begun, SetMode, is_audio_mode=bool(number % 2))
    results: queue.Queue[Any] = queue.Queue()
    snapshot = begun.queries.load(KEY)
    assert snapshot is not None
    command = SetMode(at=begun.clock(), is_audio_mode=True, message_id="late")
    begun.turns.pending.accept(KEY, command, lambda: (snapshot.state, snapshot.survey), results.put)
    assert isinstance(results.get(timeout=30), SessionFull)
    assert begun.turns.pending.wait_until_empty(30)
