"""``flask webhooks``: the life of a webhook, and the output of each command."""

import json
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest
from click.testing import Result
from flask.testing import FlaskCliRunner
from standardwebhooks import Webhook as Verifier

from app.operations.webhooks import worker
from app.sessions.service import SessionStore
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from app.web.factory import create_app
from tests.cli.shell import opened
from tests.operations.webhooks.conftest import receiver
from tests.operations.webhooks.receiver import Receiver, answers
from tests.waiting import wait_for

__all__ = ["receiver"]


@pytest.fixture
def app(tmp_path: Path, surveys: Path) -> Iterator[flask.Flask]:
    """Yield the application in development, with a running dispatcher."""
    with opened(tmp_path, surveys, environment="development") as app:
        yield app


class Operator:
    """Runs the commands."""

    def __init__(self, runner: FlaskCliRunner) -> None:
        self._runner = runner

    def run(self, *arguments: str) -> Result:
        return self._runner.invoke(args=["webhooks", *arguments])

    def output(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    def error(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.exit_code not in {0, 2}, done.output
        return done.output


@pytest.fixture
def operator(app: flask.Flask) -> Operator:
    return Operator(app.test_cli_runner())


def begin(store: SessionStore, user_id: str) -> None:
    store.turns.submit(SessionKey("phq9", user_id), Begin(at=store.clock()))


def test_webhook_is_added_tested_listed_and_removed(operator: Operator, receiver: Receiver) -> None:
    """The secret is shown once, and signs messages."""
    name, secret = operator.output("add", receiver.url, "--event", "session.completed", "--survey", "phq9").split()
    assert operator.output("test", name) == "Delivered: HTTP 204.\n"
    (request,) = receiver.received
    assert Verifier(secret).verify(request.body, request.headers)["type"] == "webhook.test"
    (listed,) = json.loads(operator.output("list", "--json"))
    assert (listed["id"], listed["url"], listed["survey_id"]) == (name, receiver.url, "phq9")
    assert secret not in operator.output("list")
    assert name in operator.output("list")
    receiver.behaviour = answers(500)
    assert "HTTP 500" in operator.error("test", name)
    assert operator.output("remove", name) == f"{name} is removed.\n"
    assert json.loads(operator.output("list", "--json")) == []


def test_webhook_gets_values_only_if_it_was_added_with_them(
    operator: Operator, store: SessionStore, receiver: Receiver
) -> None:
    """The list and the audit log say so."""
    for option in ([], ["--values"]):
        operator.output("add", receiver.url, "--event", "session.started", *option)
    listed = json.loads(operator.output("list", "--json"))
    assert [webhook["includes_values"] for webhook in listed] == [False, True]
    lines = operator.output("list").splitlines()
    column = lines[0].index("VALUES")
    assert [line[column:].split()[0] for line in lines[1:]] == ["no", "yes"]
    entries = store.audit_log.page(filters={"action": "webhook_added"}).items
    assert {entry.entry.detail["webhook"]: entry.entry.detail["includes_values"] for entry in entries} == {
        webhook["id"]: webhook["includes_values"] for webhook in listed
    }
    begin(store, "ann")
    data = [request.message["data"] for request in receiver.wait_for(2)]
    assert sorted("parameters" in fields for fields in data) == [False, True]


def test_values_are_turned_off_and_on_for_what_is_sent_from_then_on(
    operator: Operator, store: SessionStore, receiver: Receiver
) -> None:
    """Also for replays of earlier events; the audit log says so."""
    name = operator.output("add", receiver.url, "--event", "session.started", "--values").split()[0]
    assert operator.output("change", name, "--no-values") == f"{name} does not get values.\n"
    begin(store, "ann")
    receiver.wait_for(1)
    wait_for(lambda: "  delivered" in operator.output("deliveries"), "it was not recorded", 30)
    assert operator.output("change", name, "--values") == f"{name} gets values.\n"
    operator.output("replay", name)
    first, second = (request.message["data"] for request in receiver.wait_for(2))
    assert ("parameters" in first, "parameters" in second) == (False, True)
    entries = store.audit_log.page(filters={"action": "webhook_changed"}).items
    assert [entry.entry.detail for entry in entries] == [
        {"webhook": name, "includes_values": value} for value in (True, False)
    ]
    assert operator.run("change", name).exit_code == 2


def test_failed_delivery_is_listed_and_replayed(
    operator: Operator, store: SessionStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has the error; a replay delivers once the receiver works."""
    monkeypatch.setattr(worker, "retry_delay_us", lambda *_: 0)
    store.settings = store.settings.model_copy(update={"webhook_attempts": 1})
    added = json.loads(operator.output("add", receiver.url, "--event", "session.started", "--json"))
    receiver.behaviour = answers(500)
    begin(store, "ann")
    wait_for(lambda: "  failed" in operator.output("deliveries"), "it did not fail", 30)
    table = operator.output("deliveries", added["id"], "--failed")
    assert "phq9/ann" in table
    assert "HTTP 500" in table
    receiver.behaviour = answers(200)
    assert operator.output("replay", added["id"], "--since", "2999-01-01").startswith("0 deliveries")
    assert operator.output("replay", added["id"], "--failed").startswith("1 deliveries")
    wait_for(lambda: "delivered" in operator.output("deliveries"), "it was not delivered", 30)
    (delivery,) = [json.loads(line) for line in operator.output("deliveries", "--json").splitlines()]
    assert {request.id for request in receiver.received} == {delivery["message_id"]}
    assert operator.output("deliveries", "--failed", "--json") == ""


def test_webhook_is_disabled_and_enabled(operator: Operator, store: SessionStore, receiver: Receiver) -> None:
    """Events while it is disabled are not delivered."""
    name = operator.output("add", receiver.url, "--event", "session.started").split()[0]
    operator.output("disable", name)
    begin(store, "ann")
    operator.output("enable", name)
    begin(store, "ben")
    (request,) = receiver.wait_for(1)
    assert request.message["data"]["user_id"] == "ben"


def test_both_secrets_sign_after_a_rotation(operator: Operator, receiver: Receiver) -> None:
    """Unless there is no overlap."""
    name, first = operator.output("add", receiver.url, "--event", "session.started").split()
    second = operator.output("rotate-secret", name).strip()
    operator.output("test", name)
    for secret in (first, second):
        Verifier(secret).verify(receiver.received[0].body, receiver.received[0].headers)
    third = operator.output("rotate-secret", name, "--overlap-hours", "0").strip()
    operator.output("test", name)
    assert len(receiver.received[1].headers["webhook-signature"].split()) == 1
    Verifier(third).verify(receiver.received[1].body, receiver.received[1].headers)


def test_errors_print_one_line(operator: Operator) -> None:
    """Invalid URLs, unknown surveys and webhooks; an unknown event is a usage error."""
    assert "https://" in operator.error("add", "ftp://x.test/", "--event", "session.started")
    assert "nonsense" in operator.error("add", "https://x.test/", "--event", "session.started", "--survey", "nonsense")
    for command in ("remove", "disable", "enable", "test", "deliveries", "replay", "rotate-secret", "change --values"):
        output = operator.error(*command.split(), "wh_none")
        assert output == "Error: Webhook 'wh_none' does not exist. List the webhooks to see their ids.\n"
    assert operator.run("add", "https://x.test/", "--event", "session.answered").exit_code == 2


def test_commands_do_not_start_the_dispatcher(app: flask.Flask) -> None:
    """Only the server delivers."""
    import click  # noqa: PLC0415 - one use

    settings = app.extensions["stepkeep"].store.settings
    with click.Context(click.Command("webhooks"), info_name="webhooks"):
        other = create_app(settings, app.extensions["stepkeep"].store)
    assert other.extensions["stepkeep"].webhooks._thread is None
    assert app.extensions["stepkeep"].webhooks._thread.is_alive()
    other.extensions["stepkeep"].authenticator.credentials.revocations.close()
