"""``flask webhooks``: the operator's way through a webhook's life, and what each command prints."""

import json
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest
from click.testing import Result
from flask.testing import FlaskCliRunner
from standardwebhooks import Webhook as Verifier

from app.cli import register
from app.operations.webhooks import worker
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from app.web.factory import create_app
from tests.conftest import SURVEYS
from tests.operations.webhooks.receiver import Receiver, answers, receiving
from tests.waiting import wait_for


@pytest.fixture
def app(tmp_path: Path) -> Iterator[flask.Flask]:
    """The application in development, whose outbox is emptied."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'sessions.db'}", surveys_dir=SURVEYS, environment="development"
    )
    made = create_app(settings)
    register(made)
    yield made
    made.extensions["stepkeep_access"].credentials.revocations.close()
    made.extensions["stepkeep"].close()


@pytest.fixture
def store(app: flask.Flask) -> SessionStore:
    found: SessionStore = app.extensions["stepkeep"]
    return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on loopback."""
    with receiving() as one:
        yield one


class Operator:
    """Runs commands."""

    def __init__(self, runner: FlaskCliRunner) -> None:
        self._runner = runner

    def run(self, *arguments: str) -> Result:
        return self._runner.invoke(args=["webhooks", *arguments])

    def does(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    def refused(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.exit_code not in {0, 2}, done.output
        return done.output


@pytest.fixture
def operator(app: flask.Flask) -> Operator:
    return Operator(app.test_cli_runner())


def begin(store: SessionStore, user_id: str) -> None:
    store.turns.submit(SessionKey("phq9", user_id), Begin(at=store.clock()))


def test_webhook_is_added_tried_listed_and_removed(operator: Operator, receiver: Receiver) -> None:
    """The secret is shown once, and signs; a test is sent at once."""
    name, secret = operator.does("add", receiver.url, "--event", "session.completed", "--survey", "phq9").split()
    assert operator.does("test", name) == "It was taken: HTTP 204.\n"
    (came,) = receiver.received
    assert Verifier(secret).verify(came.body, came.headers)["type"] == "webhook.test"
    (listed,) = json.loads(operator.does("list", "--json"))
    assert (listed["id"], listed["url"], listed["survey_id"]) == (name, receiver.url, "phq9")
    assert secret not in operator.does("list")
    assert name in operator.does("list")
    receiver.behaviour = answers(500)
    assert "HTTP 500" in operator.refused("test", name)
    assert operator.does("remove", name) == f"{name} is removed.\n"
    assert json.loads(operator.does("list", "--json")) == []


def test_what_failed_is_seen_and_replayed(
    operator: Operator, store: SessionStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table says why; after the receiver is mended a replay delivers it."""
    monkeypatch.setattr(worker, "again_in_us", lambda *_: 0)
    store.settings = store.settings.model_copy(update={"webhook_attempts": 1})
    added = json.loads(operator.does("add", receiver.url, "--event", "session.started", "--json"))
    receiver.behaviour = answers(500)
    begin(store, "ann")
    wait_for(lambda: "given up" in operator.does("deliveries"), "it was not given up", 30)
    table = operator.does("deliveries", added["id"], "--failed")
    assert "phq9/ann" in table
    assert "HTTP 500" in table
    receiver.behaviour = answers(200)
    assert operator.does("replay", added["id"], "--since", "2999-01-01").startswith("0 deliveries")
    assert operator.does("replay", added["id"], "--failed").startswith("1 deliveries")
    wait_for(lambda: "delivered" in operator.does("deliveries"), "it was not delivered", 30)
    (one,) = [json.loads(line) for line in operator.does("deliveries", "--json").splitlines()]
    assert {request.id for request in receiver.received} == {one["message_id"]}
    assert operator.does("deliveries", "--failed", "--json") == ""


def test_webhook_is_disabled_and_enabled(operator: Operator, store: SessionStore, receiver: Receiver) -> None:
    """What happens meanwhile it never learns."""
    name = operator.does("add", receiver.url, "--event", "session.started").split()[0]
    operator.does("disable", name)
    begin(store, "ann")
    operator.does("enable", name)
    begin(store, "ben")
    (came,) = receiver.wait_for(1)
    assert came.message["data"]["user_id"] == "ben"


def test_new_secret_signs_beside_the_old_one(operator: Operator, receiver: Receiver) -> None:
    """Unless no overlap is wanted."""
    name, first = operator.does("add", receiver.url, "--event", "session.started").split()
    second = operator.does("rotate-secret", name).strip()
    operator.does("test", name)
    for secret in (first, second):
        Verifier(secret).verify(receiver.received[0].body, receiver.received[0].headers)
    third = operator.does("rotate-secret", name, "--overlap-hours", "0").strip()
    operator.does("test", name)
    assert len(receiver.received[1].headers["webhook-signature"].split()) == 1
    Verifier(third).verify(receiver.received[1].body, receiver.received[1].headers)


def test_what_is_wrong_is_one_line(operator: Operator) -> None:
    """An address that is none, a survey and a webhook that are not there; an unknown event is a wrong call."""
    assert "https://" in operator.refused("add", "ftp://x.test/", "--event", "session.started")
    assert "nonsense" in operator.refused(
        "add", "https://x.test/", "--event", "session.started", "--survey", "nonsense"
    )
    for command in ("remove", "disable", "enable", "test", "deliveries", "replay", "rotate-secret"):
        output = operator.refused(command, "wh_none")
        assert output == "Error: Webhook 'wh_none' does not exist. List the webhooks to see their ids.\n"
    assert operator.run("add", "https://x.test/", "--event", "session.answered").exit_code == 2


def test_commands_deliver_nothing_themselves(app: flask.Flask) -> None:
    """An application that a command opens has no such thread; the server's has."""
    import click  # noqa: PLC0415 - one use

    settings = app.extensions["stepkeep"].settings
    with click.Context(click.Command("webhooks"), info_name="webhooks"):
        other = create_app(settings, app.extensions["stepkeep"])
    assert other.extensions["stepkeep_webhooks"]._thread is None
    assert app.extensions["stepkeep_webhooks"]._thread.is_alive()
    other.extensions["stepkeep_access"].credentials.revocations.close()
