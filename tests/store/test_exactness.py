"""Exactness: every interface returns each accepted value unchanged, to the bit, from each database.

Every interface refuses values that cannot be stored exactly, and writes nothing. The WebSocket's tests are in
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
    """Return nested lists of this depth."""
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

INEXACT: dict[str, tuple[Any, str]] = {
    "NUL": ("a\0b", '"a\\u0000b"'),
    "lone surrogate": ("\ud800", '"\\ud800"'),
    "NaN": (math.nan, "NaN"),
    "Infinity": (math.inf, "Infinity"),
    "-Infinity": (-math.inf, "-Infinity"),
    "2^53 + 1": (2**53 + 1, "9007199254740993"),
    "-2^53 - 1": (-(2**53) - 1, "-9007199254740993"),
    "too deep": (nested(33), "[" * 33 + "]" * 33),
}
FORBIDDEN_IDS = ["", " ", "a b", "ä", "x" * 129, "a/b", "a\0b", "😀", "a\n", "a'--", "e\u0301", ".", ".."]


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
    store: SessionStore = app.extensions["stepkeep"].store
    clear(store)
    store.clock = store.queries.clock = now_us
    return store


@pytest.fixture
def database(store: SessionStore) -> Database:
    """The Python API on each database."""
    return Database(store)


@pytest.fixture
def client(app: flask.Flask, store: SessionStore) -> Iterator[FlaskClient]:
    """REST on each database."""
    with app.test_client() as client:
        yield client


def load(database: Database, user_id: str = "u") -> dict[str, Any]:
    session = database.load_session(user_id)
    assert session is not None
    return session


def check_same(actual: object, expected: object) -> None:
    """Check equality, where -0.0 and 0.0, 1, 1.0 and true, and orders of keys differ."""
    assert repr(actual) == repr(expected)


@MANY
@given(answers=ANSWERS, data=ANSWERS)
def test_python_api_returns_any_value_unchanged(
    database: Database, answers: dict[str, Any], data: dict[str, Any]
) -> None:
    """Answers and session data, from history too."""
    database.save_session("u", "S1", answers, ["S0"], session_data=data)
    session = load(database)
    check_same((session["answers"], session["session_data"]), (answers, data))
    state = database.store.queries.at_version(database.store.queries.key("u"), session["version"]).state
    check_same((state.answers, state.session_data), (answers, data))


@MANY
@given(answers=ANSWERS, data=ANSWERS, is_ascii=st.booleans())
def test_rest_returns_any_value_unchanged(
    client: FlaskClient, answers: dict[str, Any], data: dict[str, Any], is_ascii: bool
) -> None:
    """As UTF-8 or with escapes."""
    state = {"current_step": "S1", "answers": answers, "step_history": [], "session_data": data}
    assert client.put(SESSION, data=json.dumps(state, ensure_ascii=is_ascii)).status_code in {200, 201}
    session = json.loads(client.get(SESSION).data)["session"]
    check_same((session["answers"], session["session_data"]), (answers, data))


@MANY
@given(step=TEXT.filter(bool), action=TEXT.filter(bool), answer=EXACT)
def test_any_history_entry_is_returned_unchanged(database: Database, step: str, action: str, answer: Any) -> None:
    """Steps and actions are any text; an answer is any JSON."""
    database.save_session("u", step, {}, [step])
    assert database.add_history_entry("u", action, step, answer)
    entry = database.get_session_history("u", limit=1)[0]
    check_same((entry["action"], entry["step"], entry["answer"]), (action, step, answer))
    assert (load(database)["current_step"], load(database)["step_history"]) == (step, [step])


@pytest.mark.parametrize("name", EXAMPLES)
def test_edge_values_are_returned_unchanged(database: Database, client: FlaskClient, name: str) -> None:
    """From Python to REST and from REST to Python."""
    answers = {"S1": EXAMPLES[name]}
    database.save_session("u", "S1", answers, [])
    check_same(json.loads(client.get(SESSION).data)["session"]["answers"], answers)
    body = json.dumps({"answers": {"S2": EXAMPLES[name]}}, ensure_ascii=False)
    assert client.patch(SESSION, data=body).status_code == 200
    check_same(load(database)["answers"], {"S2": EXAMPLES[name]})


@MANY
@given(at=st.integers(0, LATEST))
def test_times_are_exact_to_the_microsecond(database: Database, at: int) -> None:
    """In UTC, whatever the server's time zone."""
    database.store.clock = database.store.queries.clock = lambda: at
    database.delete_session("u")  # its times would not go back
    database.save_session("u", "S1", {}, [])
    time = (EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert load(database)["updated_at"] == time
    assert database.get_session_history("u", limit=1)[0]["timestamp"] == time


def test_user_ids_are_distinct_when_they_differ_in_case_or_punctuation(database: Database, client: FlaskClient) -> None:
    """They are compared byte by byte, on each database and in each interface."""
    names = ["Bob", "bob", "BOB", "bob.", "bob_", "b-o-b", "0", "00", "b%40b"]
    for number, name in enumerate(names):
        database.save_session(name.replace("%40", "@"), "S1", {"n": number}, [])
    for number, name in enumerate(names):
        assert client.get(f"/api/session/{name}").get_json()["session"]["answers"] == {"n": number}
    assert len(database.list_sessions()) == len(names)
    assert database.delete_session("BOB")
    assert database.load_session("bob") is not None


@pytest.mark.parametrize("user_id", FORBIDDEN_IDS)
def test_every_interface_refuses_forbidden_user_ids(database: Database, client: FlaskClient, user_id: str) -> None:
    """Nothing is written."""
    with pytest.raises(InvalidUserId):
        database.save_session(user_id, "S1", {}, [])
    with pytest.raises(InvalidUserId):
        database.load_session(user_id)
    state = {"current_step": "S1", "answers": {}, "step_history": []}
    escaped = "".join(f"%{byte:02x}" for byte in user_id.encode())
    assert client.put(f"/api/session/{escaped}", json=state).status_code in {404, 422}  # no route, or refused
    assert database.list_sessions() == []


@pytest.mark.parametrize("place", ["answers", "session_data"])
@pytest.mark.parametrize("name", INEXACT)
def test_python_api_refuses_inexact_values(database: Database, name: str, place: str) -> None:
    """The error names the location; the stored session and its history are unchanged."""
    database.save_session("u", "S1", {"S1": 1}, [])
    before = load(database)
    with pytest.raises(InvalidInput, match=rf"{place}\.S1\[0\]"):
        database.update_session_state("u", **{place: {"S1": [INEXACT[name][0]]}})
    with pytest.raises(InvalidInput, match="answer"):
        database.add_history_entry("u", "x", None, INEXACT[name][0])
    assert load(database) == before
    assert len(database.get_session_history("u")) == 1


@pytest.mark.parametrize("name", INEXACT)
def test_rest_refuses_inexact_values(database: Database, client: FlaskClient, name: str) -> None:
    """The problem names the location; the stored session is unchanged."""
    database.save_session("u", "S1", {"S1": 1}, [])
    before = load(database)
    response = client.patch(SESSION, data=f'{{"answers":{{"S1":[{INEXACT[name][1]}]}}}}')
    assert response.status_code in {400, 422}
    assert "answers.S1[0]" in response.get_json()["detail"]
    assert load(database) == before


@pytest.mark.parametrize("body", ['{"answers":{"S1":1,"S1":2}}', '{"answers":{"S1":1},"answers":{}}', '{"answers":{"S1":{"a":[{"k":1,"k":1}]}}}'])  # fmt: skip
def test_rest_refuses_duplicate_keys(database: Database, client: FlaskClient, body: str) -> None:
    """Parsers disagree on which of the two values counts. The problem names the key."""
    database.save_session("u", "S1", {"S1": 1}, [])
    before = load(database)
    response = client.patch(SESSION, data=body)
    assert response.status_code in {400, 422}
    assert "duplicate key" in response.get_json()["detail"]
    assert load(database) == before


def test_state_is_refused_when_one_byte_over_the_limit(database: Database) -> None:
    """1 MiB of JSON."""
    shell = len(json.dumps({"current_step": "S1", "answers": {"a": ""}, "step_history": [], "is_audio_mode": False, "session_data": None}, separators=(",", ":")))  # fmt: skip
    largest = "x" * (MAX_STATE_BYTES - shell)
    database.save_session("u", "S1", {"a": largest}, [])
    assert load(database)["answers"]["a"] == largest
    with pytest.raises(InvalidInput, match="bytes"):
        database.save_session("u", "S1", {"a": largest + "x"}, [])
    assert load(database)["version"] == 1
