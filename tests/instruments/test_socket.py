"""Instruments walked to their ends over the WebSocket, each turn compared with the original's rules."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.sync.client import ClientConnection, connect

from app.web.ws.asyncapi import SERVER_MESSAGE
from tests.conftest import Server
from tests.instruments import texts
from tests.instruments.expected import END, Entered, ExpectedSession
from tests.instruments.oracle import NAMES
from tests.instruments.serving import TODAY, arrive, serve_instruments
from tests.instruments.walks import Turn, Walk, covering_walks, random_walks

pytestmark = pytest.mark.xdist_group("instruments")  # one worker searches for the walks


@pytest.fixture(scope="module")
def instruments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve_instruments(tmp_path_factory.mktemp("instruments")) as server:
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_instrument_asks_what_the_original_asks(name: str, instruments: Server) -> None:
    """Steps, fields, options, texts, refusals, answers, values and endings: in walks that reach all of its rules."""
    for number, walk in enumerate(covering_walks(name, TODAY)):
        take(instruments, name, f"{name}-{number}", walk)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", NAMES)
def test_instrument_asks_what_the_original_asks_in_many_walks(name: str, seed: int, instruments: Server) -> None:
    for number, walk in enumerate(random_walks(name, TODAY, 100, seed)):
        take(instruments, name, f"{name}-{seed}-{number}", walk)


def take(server: Server, name: str, user_id: str, walk: Walk) -> None:
    """Take a walk, and compare the session after each turn."""
    query = urlencode({"survey": name, **arrive(server, name, user_id, walk)})
    session = walk.begin(name, TODAY)
    with connect(f"{server.ws_url}/ws/survey/{user_id}?{query}") as connection:
        state = receive(connection)
        compare(name, session, state)
        for number, turn in enumerate(walk.turns):
            for message in commands(session, turn):
                state = send(connection, id=f"{number}-{len(message)}", **message)
                expect_outcome(turn, message, state)
            session.take(turn.outcome, turn.step, turn.entered)
            compare(name, session, state)
    assert state["session"]["status"] == "completed"
    compare_end(name, session, state)


def receive(connection: ClientConnection) -> Any:
    message = json.loads(connection.recv(timeout=30))
    SERVER_MESSAGE.validate_python(message)
    return message


def send(connection: ClientConnection, **message: Any) -> Any:
    connection.send(json.dumps(message))
    return receive(connection)


def commands(session: ExpectedSession, turn: Turn) -> Iterator[dict[str, Any]]:
    """Yield what the participant sends."""
    if turn.outcome == "back":
        yield {"type": "back"}
        return
    message = {"type": "answer", "step": turn.step, "value": session.value(turn.step, turn.entered)}
    yield message
    if turn.outcome == "doubted":
        yield {**message, "confirmed": True}


def expect_outcome(turn: Turn, message: dict[str, Any], state: Any) -> None:
    """Compare whether the server accepts a command."""
    if turn.outcome in ("accepted", "back") or message.get("confirmed"):
        expected = None
    else:
        expected = {"refused": "invalid_answer", "doubted": "confirm", "missing": "required"}[turn.outcome]
    assert state["type"] == ("ack" if expected is None else "reject"), (turn, state)
    if turn.outcome == "missing" and state.get("fields"):
        expected = "invalid_answer"  # of a page or grid
    assert state.get("code") == expected, (turn, state)
    assert "{{" not in state.get("message", "")


def compare(name: str, session: ExpectedSession, message: Any) -> None:
    """Compare where the participant is, what they see and what they have answered."""
    step = message["step"]
    if message["type"] == "reject":
        assert step["id"] == session.current
        return
    stored = message["session"]
    assert stored["current_step"] == session.current
    assert stored["step_history"] == session.history
    assert stored["answers"] == texts.stored(name, session.values_by_step())
    if session.current != END:
        compare_step(name, session, step)


def compare_step(name: str, session: ExpectedSession, step: Any) -> None:
    entered = session.entered(step["id"])
    items = session.items(step["id"], entered)
    inserted = session.original.inserted(session.given(step["id"]))
    compare_texts(name, session, step, inserted)
    if step["type"] == "grid":
        assert {row["id"]: row["label"] for row in step["rows"]} == texts.rows(name, step["id"], session.language)
        assert [row["id"] for row in step["rows"]] == [item.part for item in items]
    if step["type"] == "page":
        shown = list(dict.fromkeys(item.part for item in items))
        always = [field["id"] for field in step["fields"] if "show_if" not in field]
        sometimes = {field["id"] for field in step["fields"]} - set(always)
        assert [part for part in shown if part not in sometimes] == always
    asked = step.get("fields", [step])
    for item in items:
        part = next(one for one in asked if one["id"] == (item.part if step["type"] == "page" else step["id"]))
        if item.beside is None:
            compare_item(name, session, item.id, part, entered)


def compare_texts(name: str, session: ExpectedSession, step: Any, inserted: Any) -> None:
    for part in (step, *step.get("fields", [])):
        for key in ("prompt", "help"):
            expected = texts.part_text(name, part["id"], key, session.language, inserted)
            assert part.get(key) == expected, part["id"]


def compare_item(name: str, session: ExpectedSession, item_id: str, part: Any, entered: Entered) -> None:
    """Compare whether an answer is required, its default and the options."""
    item = next(one for one in session.original.items if one.id == item_id)
    given = session.given(item.step, entered)
    assert part["required"] == item.is_required(given), item.id
    assert part.get("default") == (None if item.default is None else item.ours(item.default(given))), item.id
    options = item.shown_options(given)
    if options is None:
        return
    labels = texts.options(name, part["id"], session.language)
    expected = [(value, labels[_written(value)]) for value in map(item.ours, options)]
    if "options" in part:
        seen = [(option["value"], option["label"]) for option in part["options"]]
        assert (sorted(seen) == sorted(expected)) if item.shuffled else (seen == expected), item.id


def _written(value: Any) -> str:
    return str(value)


def compare_end(name: str, session: ExpectedSession, message: Any) -> None:
    """Compare the computed values, and the ending with its texts and redirect."""
    assert message["session"]["values"] == pytest.approx(session.computed())
    ending = session.ending()
    shown = message.get("ending")
    if ending.place is None:
        assert shown is None
        return
    written = texts.definition(name)["end"][ending.place]
    count = len(texts.INSERTION.findall(str(written.get("title", ""))))
    title = texts.text(name, written.get("title"), session.language, ending.inserted[:count])
    body = texts.text(name, written.get("text"), session.language, ending.inserted[count:])
    assert (shown["title"], shown["text"], shown["redirect"]) == (title, body, ending.redirect)
