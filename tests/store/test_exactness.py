"""Exactness: what is accepted comes back the same, bit by bit, from each database and through each door.

What can't be held exactly is refused by every door, and nothing of it is written. The WebSocket's part is
tests/web/ws/test_exact_values.py.
"""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from app.database import Database
from app.errors import InvalidInput, InvalidUserId
from app.sessions.queries import now_us
from app.sessions.service import SessionStore, open_store
from app.sessions.validation import MAX_STATE_BYTES
from app.settings import Settings
from app.web.factory import create_app
from tests.conftest import SURVEYS, Servers, each_kind, examples, migrated_database
from tests.core.test_strict_json import EXACT
from tests.store.contents import clear

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
ANSWERS = st.dictionaries(TEXT, EXACT, max_size=4)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = 7_258_118_400_000_000  # the year 2200
MANY = examples(40)
SESSION = "/api/session/u"


def nested(depth: int) -> Any:
    """Return lists inside one another."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


EXAMPLES = {
    "emoji of several": "👩‍👩‍👧‍👦🏳️‍🌈", "combining": "e\u0301a\u0308\u0323", "composed": "\u00e9", "right to left": "שלום \u202eabc\u202c مرحبا",
    "unassigned": "\u0378\U000e0fff", "noncharacters": "\uffff\U0010ffff", "private": "\ue000", "controls": "\x01\x1f\x7f\x85\u2028",
    "spaces": " a \t\r\n ", "quotes": "'\"\\%s%%:name", "negative zero": -0.0, "least": 5e-324, "subnormal": 2.225073858507201e-308,
    "greatest": 1.7976931348623157e308, "many digits": 0.1 + 0.2, "1.0": 1.0, "1": 1, "true": True,
    "2^53": 2**53, "-2^53": -(2**53), "deep": nested(31), "keys": {"b": 1, "a": 2, "": 3, "B": 4}, "large": "ä😀" * 160_000,
}  # fmt: skip

NOT_EXACT: dict[str, tuple[Any, str]] = {
    "NUL": ("a\0b", '"a\\u0000b"'),
    "lone surrogate": ("\ud800", '"\\ud800"'),
    "NaN": (math.nan, "NaN"),
    "Infinity": (math.inf, "Infinity"),
    "-Infinity": (-math.inf, "-Infinity"),
    "2^53 + 1": (2**53 + 1, "9007199254740993"),
    "-2^53 - 1": (-(2**53) - 1, "-9007199254740993"),
    "too deep": (nested(33), "[" * 33 + "]" * 33),
}
FORBIDDEN_IDS = ["", " ", "a b", "ä", "x" * 129, "a/b", "a\0b", "😀", "a\n", "a'--", "e\u0301"]


@pytest.fixture(scope="module", params=each_kind(__name__))
def app(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[flask.Flask]:
    """An application on each database, for all tests of this file."""
    with migrated_database(request.param, servers, tmp_path_factory.mktemp("db")) as url:
        settings = Settings(database_url=url, surveys_dir=SURVEYS, environment="development")
        store = open_store(settings)
        yield create_app(settings, store)
        store.close()


@pytest.fixture
def store(app: flask.Flask) -> SessionStore:
    """The application's store, without sessions."""
    found: SessionStore = app.extensions["stepkeep"].store
    clear(found)
    found.clock = found.queries.clock = now_us
    return found


@pytest.fixture
def database(store: SessionStore) -> Database:
    """The Python API on each database."""
    return Database(store)


@pytest.fixture
def client(app: flask.Flask, store: SessionStore) -> Iterator[FlaskClient]:
    """REST on each database."""
    with app.test_client() as made:
        yield made


def loaded(database: Database, user_id: str = "u") -> dict[str, Any]:
    found = database.load_session(user_id)
    assert found is not None
    return found


def check_same(found: object, given_value: object) -> None:
    """Equal, with -0.0 and 0.0, 1 and 1.0 and true, and the order of keys told apart."""
    assert repr(found) == repr(given_value)


@MANY
@given(answers=ANSWERS, data=ANSWERS)
def test_any_value_comes_back_the_same_by_the_python_api(
    database: Database, answers: dict[str, Any], data: dict[str, Any]
) -> None:
    """Answers and session data; and history tells them too."""
    database.save_session("u", "S1", answers, ["S0"], session_data=data)
    found = loaded(database)
    check_same((found["answers"], found["session_data"]), (answers, data))
    then = database.store.queries.at_version(database.store.queries.key("u"), found["version"]).state
    check_same((then.answers, then.session_data), (answers, data))


@MANY
@given(answers=ANSWERS, data=ANSWERS, is_ascii=st.booleans())
def test_any_value_comes_back_the_same_by_rest(
    client: FlaskClient, answers: dict[str, Any], data: dict[str, Any], is_ascii: bool
) -> None:
    """As UTF-8 or with escapes."""
    state = {"current_step": "S1", "answers": answers, "step_history": [], "session_data": data}
    assert client.put(SESSION, data=json.dumps(state, ensure_ascii=is_ascii)).status_code in {200, 201}
    found = json.loads(client.get(SESSION).data)["session"]
    check_same((found["answers"], found["session_data"]), (answers, data))


@MANY
@given(step=TEXT.filter(bool), action=TEXT.filter(bool), answer=EXACT)
def test_any_history_entry_comes_back_the_same(database: Database, step: str, action: str, answer: Any) -> None:
    """Steps and actions are any text, an answer is any JSON."""
    database.save_session("u", step, {}, [step])
    assert database.add_history_entry("u", action, step, answer)
    entry = database.get_session_history("u", limit=1)[0]
    check_same((entry["action"], entry["step"], entry["answer"]), (action, step, answer))
    assert (loaded(database)["current_step"], loaded(database)["step_history"]) == (step, [step])


@pytest.mark.parametrize("name", EXAMPLES)
def test_value_at_the_edge_comes_back_the_same(database: Database, client: FlaskClient, name: str) -> None:
    """Python to REST and REST to Python."""
    answers = {"S1": EXAMPLES[name]}
    database.save_session("u", "S1", answers, [])
    check_same(json.loads(client.get(SESSION).data)["session"]["answers"], answers)
    body = json.dumps({"answers": {"S2": EXAMPLES[name]}}, ensure_ascii=False)
    assert client.patch(SESSION, data=body).status_code == 200
    check_same(loaded(database)["answers"], {"S2": EXAMPLES[name]})


@MANY
@given(at=st.integers(0, LATEST))
def test_time_comes_back_to_the_microsecond(database: Database, at: int) -> None:
    """UTC, whatever the time zone of the server."""
    database.store.clock = database.store.queries.clock = lambda: at
    database.save_session("u", "S1", {}, [])
    time = (EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert loaded(database)["updated_at"] == time
    assert database.get_session_history("u", limit=1)[0]["timestamp"] == time


def test_user_ids_that_differ_in_case_or_in_a_dot_are_participants_of_their_own(
    database: Database, client: FlaskClient
) -> None:
    """Compared byte by byte, on each database and by each door."""
    names = ["Bob", "bob", "BOB", "bob.", "bob_", "b-o-b", "0", "00", "b%40b"]
    for number, name in enumerate(names):
        database.save_session(name.replace("%40", "@"), "S1", {"n": number}, [])
    for number, name in enumerate(names):
        assert client.get(f"/api/session/{name}").get_json()["session"]["answers"] == {"n": number}
    assert len(database.list_sessions()) == len(names)
    assert database.delete_session("BOB")
    assert database.load_session("bob") is not None


@pytest.mark.parametrize("user_id", FORBIDDEN_IDS)
def test_forbidden_user_id_is_refused_by_each_door(database: Database, client: FlaskClient, user_id: str) -> None:
    """Python and REST; nothing is written."""
    with pytest.raises(InvalidUserId):
        database.save_session(user_id, "S1", {}, [])
    with pytest.raises(InvalidUserId):
        database.load_session(user_id)
    state = {"current_step": "S1", "answers": {}, "step_history": []}
    escaped = "".join(f"%{byte:02x}" for byte in user_id.encode())
    assert client.put(f"/api/session/{escaped}", json=state).status_code in {404, 422}  # no route, or refused
    assert database.list_sessions() == []


@pytest.mark.parametrize("place", ["answers", "session_data"])
@pytest.mark.parametrize("name", NOT_EXACT)
def test_value_that_is_not_exact_is_refused_by_the_python_api(database: Database, name: str, place: str) -> None:
    """The error names the place; what was there stays, and history has no entry."""
    database.save_session("u", "S1", {"S1": 1}, [])
    before = loaded(database)
    with pytest.raises(InvalidInput, match=rf"{place}\.S1\[0\]"):
        database.update_session_state("u", **{place: {"S1": [NOT_EXACT[name][0]]}})
    with pytest.raises(InvalidInput, match="answer"):
        database.add_history_entry("u", "x", None, NOT_EXACT[name][0])
    assert loaded(database) == before
    assert len(database.get_session_history("u")) == 1


@pytest.mark.parametrize("name", NOT_EXACT)
def test_value_that_is_not_exact_is_refused_by_rest(database: Database, client: FlaskClient, name: str) -> None:
    """A problem that names the place; what was there stays."""
    database.save_session("u", "S1", {"S1": 1}, [])
    before = loaded(database)
    answer = client.patch(SESSION, data=f'{{"answers":{{"S1":[{NOT_EXACT[name][1]}]}}}}')
    assert answer.status_code in {400, 422}
    assert "answers.S1[0]" in answer.get_json()["detail"]
    assert loaded(database) == before


@pytest.mark.parametrize("body", ['{"answers":{"S1":1,"S1":2}}', '{"answers":{"S1":1},"answers":{}}', '{"answers":{"S1":{"a":[{"k":1,"k":1}]}}}'])  # fmt: skip
def test_key_that_comes_twice_is_refused_by_rest(database: Database, client: FlaskClient, body: str) -> None:
    """The problem names the key; readers of JSON disagree on which of the two counts."""
    database.save_session("u", "S1", {"S1": 1}, [])
    before = loaded(database)
    answer = client.patch(SESSION, data=body)
    assert answer.status_code in {400, 422}
    assert "duplicate key" in answer.get_json()["detail"]
    assert loaded(database) == before


def test_state_at_the_limit_is_kept_and_one_byte_more_is_refused(database: Database) -> None:
    """1 MiB of JSON."""
    shell = len(json.dumps({"current_step": "S1", "answers": {"a": ""}, "step_history": [], "is_audio_mode": False, "session_data": None}, separators=(",", ":")))  # fmt: skip
    largest = "x" * (MAX_STATE_BYTES - shell)
    database.save_session("u", "S1", {"a": largest}, [])
    assert loaded(database)["answers"]["a"] == largest
    with pytest.raises(InvalidInput, match="bytes"):
        database.save_session("u", "S1", {"a": largest + "x"}, [])
    assert loaded(database)["version"] == 1
