"""Webhooks over REST: create, change, list, replay and delete; each response is validated against its model."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from app.access.principals import Scope
from app.operations.webhooks import management
from app.store import outbox
from app.store.outbox import AttemptResult
from app.web.rest import webhooks as models
from app.web.rest.models import Done
from tests.conftest import Servers, each_kind
from tests.web.production import App, production_app_on

URL = "https://receiver.test/hook"
UNKNOWN = "wh_0123456789abcdef"


@pytest.fixture(scope="module", params=each_kind(__name__))
def app(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application in production on each database, without the delivery of webhooks."""
    with production_app_on(request.param, servers, tmp_path_factory.mktemp("app")) as app:
        app.flask.extensions["stepkeep"].webhooks.close()
        yield app


def request_model(
    app: App, method: str, path: str, model: type[BaseModel], status: int = 200, **options: Any
) -> dict[str, Any]:
    """Return the response, validated against the model."""
    answer = app.request(method, path, app.create_key("webhooks"), **options)
    assert answer.status_code == status, answer.text
    model.model_validate_json(answer.data)
    body: dict[str, Any] = answer.json
    return body


def add_webhook(app: App, **more: Any) -> dict[str, Any]:
    body = {"url": URL, "events": ["session.started", "session.completed"], **more}
    return request_model(app, "POST", "/api/webhooks", models.WebhookCreated, 201, json=body)


def test_secret_is_returned_only_when_the_webhook_is_created(app: App) -> None:
    created = add_webhook(app, survey_id="phq9")
    webhook = created["webhook"]
    assert (webhook["url"], webhook["survey_id"], webhook["disabled_at"]) == (URL, "phq9", None)
    assert webhook["events"] == ["session.started", "session.completed"]
    single = request_model(app, "GET", f"/api/webhooks/{webhook['id']}", models.WebhookResponse)
    everything = request_model(app, "GET", "/api/webhooks", models.WebhookList)
    assert single["webhook"] == webhook
    assert webhook in everything["webhooks"]
    assert created["secret"] not in str((single, everything))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"url": "http://receiver.test/"}, 422),
        ({"url": "https://127.0.0.1/"}, 422),
        ({"url": None}, 422),
        ({"events": []}, 422),
        ({"events": ["session.answered"]}, 422),
        ({"events": "session.started"}, 422),
        ({"events": [1]}, 422),
        ({"survey_id": "nonsense"}, 404),
        ({"survey_id": "No Survey"}, 422),
        ({"survey_id": 7}, 422),
        ({"includes_values": "yes"}, 422),
        ({"secret": "whsec_mine"}, 422),
    ],
)
def test_invalid_webhook_is_refused(app: App, change: dict[str, Any], status: int) -> None:
    """With a detail, and nothing is saved."""
    before = len(request_model(app, "GET", "/api/webhooks", models.WebhookList)["webhooks"])
    body = {"url": URL, "events": ["session.started"], **change}
    answer = app.request("POST", "/api/webhooks", app.create_key("webhooks"), json=body)
    assert answer.status_code == status
    assert len(answer.json["detail"]) > 20
    assert len(request_model(app, "GET", "/api/webhooks", models.WebhookList)["webhooks"]) == before


def test_webhook_with_values_needs_a_key_that_may_read_sessions(app: App) -> None:
    """Without, a key for webhooks only could read what it has no scope for. The audit log says which get values."""
    body = {"url": URL, "events": ["session.completed"], "includes_values": True, "survey_id": "phq9"}

    def added(key: str, **changes: Any) -> Any:
        return app.request("POST", "/api/webhooks", key, json={**body, **changes})

    assert add_webhook(app)["webhook"]["includes_values"] is False
    refused = added(app.create_key("webhooks"))
    assert (refused.status_code, refused.json["detail"]) == (403, "The API key lacks the scope sessions:read.")
    assert added(app.create_key("sessions:read")).status_code == 403
    for surveys in (None, ["phq9"]):
        answer = added(app.create_key("webhooks", "sessions:read", surveys=surveys))
        assert (answer.status_code, answer.json["webhook"]["includes_values"]) == (201, True)
    limited = app.create_key("webhooks", "sessions:read", surveys=["intake"])
    assert added(limited).status_code == 403
    assert added(limited, survey_id=None).status_code == 403
    entries = app.request("GET", "/api/audit?limit=20", app.create_key("admin")).json["entries"]
    added_entries = [entry for entry in entries if entry["action"] == "webhook_added"]
    assert [entry["detail"]["includes_values"] for entry in added_entries[:3]] == [True, True, False]


def test_values_are_turned_on_only_by_a_key_that_may_read_sessions(app: App) -> None:
    """Any key for webhooks turns them off; a refused change changes nothing, and the audit log has the others."""
    path = f"/api/webhooks/{add_webhook(app, survey_id='phq9')['webhook']['id']}"

    def changed(value: object, *scopes: Scope, **limits: Any) -> Any:
        key = app.create_key(*scopes, **limits)
        return app.request("PATCH", path, key, json={"includes_values": value, "enabled": False})

    assert changed(True, "webhooks").status_code == 403
    webhook = request_model(app, "GET", path, models.WebhookResponse)["webhook"]
    assert (webhook["includes_values"], webhook["disabled_at"]) == (False, None)
    on = changed(True, "webhooks", "sessions:read", surveys=["phq9"])
    assert (on.status_code, on.json["webhook"]["includes_values"]) == (200, True)
    off = changed(False, "webhooks")
    assert (off.status_code, off.json["webhook"]["includes_values"]) == (200, False)
    assert changed(None, "webhooks").status_code == 422
    entries = app.request("GET", "/api/audit?limit=20", app.create_key("admin")).json["entries"]
    details = [entry["detail"] for entry in entries if entry["action"] == "webhook_changed"]
    name = path.rpartition("/")[2]
    assert details == [{"webhook": name, "includes_values": value, "enabled": False} for value in (False, True)]


def test_webhook_is_disabled_enabled_and_its_secret_rotated(app: App) -> None:
    """Omitted fields stay as they are."""
    created = add_webhook(app)
    path = f"/api/webhooks/{created['webhook']['id']}"
    off = request_model(app, "PATCH", path, models.WebhookResponse, json={"enabled": False})
    assert off["webhook"]["disabled_at"] is not None
    changed = request_model(app, "PATCH", path, models.WebhookResponse, json={"rotate_secret": True})
    assert changed["webhook"]["disabled_at"] == off["webhook"]["disabled_at"]
    assert changed["secret"] != created["secret"]
    on = request_model(app, "PATCH", path, models.WebhookResponse, json={"enabled": True})
    assert on["webhook"] == created["webhook"]
    assert "secret" not in request_model(app, "PATCH", path, models.WebhookResponse, json={})
    for wrong in ({"enabled": None}, {"enabled": "no"}, {"rotate_secret": 1}, {"url": URL}):
        assert app.request("PATCH", path, app.create_key("webhooks"), json=wrong).status_code == 422


def test_deliveries_are_paginated_and_replayed(app: App) -> None:
    """Newest first, or only failed ones; a replay makes them due again."""
    webhook_id = add_webhook(app, survey_id="phq9")["webhook"]["id"]
    for number in range(5):
        app.begin_session(f"del-{number}")
    path = f"/api/webhooks/{webhook_id}"
    first = request_model(app, "GET", f"{path}/deliveries?limit=3", models.DeliveryPage)
    second = request_model(app, "GET", f"{path}/deliveries?limit=3&after={first['next']}", models.DeliveryPage)
    deliveries = [*first["deliveries"], *second["deliveries"]]
    assert [delivery["user_id"] for delivery in deliveries] == [f"del-{number}" for number in range(4, -1, -1)]
    assert second["next"] is None
    stored = app.store.run_read(lambda connection: outbox.read_page(connection, webhook_id, None, 3)).items
    ends = [
        AttemptResult(
            delivery=delivery,
            at=app.clock(),
            attempts=1,
            retry_at=None,
            is_delivered=bool(n),
            status=500,
            error="HTTP 500",
        )
        for n, delivery in enumerate(stored)
    ]
    app.store.run_transaction(lambda connection: outbox.record_attempts(connection, ends))
    failed = request_model(app, "GET", f"{path}/deliveries?failed=true", models.DeliveryPage)["deliveries"]
    assert [(delivery["id"], delivery["last_status"], delivery["last_error"]) for delivery in failed] == [
        (deliveries[0]["id"], 500, "HTTP 500")
    ]
    assert request_model(app, "POST", f"{path}/replay", models.ReplayResponse, json={"failed": True})["replayed"] == 1
    assert (
        request_model(app, "POST", f"{path}/replay", models.ReplayResponse, json={"since": "2999-01-01"})["replayed"]
        == 0
    )
    assert request_model(app, "POST", f"{path}/replay", models.ReplayResponse)["replayed"] == 2
    again = request_model(app, "GET", f"{path}/deliveries", models.DeliveryPage)["deliveries"]
    assert {(delivery["attempts"], delivery["delivered_at"], delivery["failed_at"]) for delivery in again} == {
        (0, None, None)
    }
    assert [delivery["message_id"] for delivery in again] == [delivery["message_id"] for delivery in deliveries]
    for wrong in ("failed=maybe", "limit=0", "since=x"):
        assert app.request("GET", f"{path}/deliveries?{wrong}", app.create_key("webhooks")).status_code == 422
    for body in ({"since": 5}, {"since": "yesterday"}, {"failed": 1}, {"until": "2026-11-27"}):
        assert app.request("POST", f"{path}/replay", app.create_key("webhooks"), json=body).status_code == 422


def test_delete_removes_the_webhook_and_its_deliveries(app: App) -> None:
    """A second DELETE gets 404."""
    webhook_id = add_webhook(app)["webhook"]["id"]
    app.begin_session("removed")
    request_model(app, "DELETE", f"/api/webhooks/{webhook_id}", Done)
    assert app.request("DELETE", f"/api/webhooks/{webhook_id}", app.create_key("webhooks")).status_code == 404
    page = app.store.run_read(lambda connection: outbox.read_page(connection, webhook_id, None, 10))
    assert page.items == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/replay")],
)
def test_unknown_webhook_is_not_found(app: App, method: str, path: str) -> None:
    body = {"json": {}} if method == "PATCH" else {}
    answer = app.request(method, f"/api/webhooks/{UNKNOWN}{path}", app.create_key("webhooks"), **body)
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_webhook")


def test_webhook_changes_are_in_the_audit_log(app: App) -> None:
    """One entry a request, without secrets and addresses."""
    created = add_webhook(app)
    path = f"/api/webhooks/{created['webhook']['id']}"
    request_model(app, "POST", f"{path}/replay", models.ReplayResponse)
    change = {"enabled": False, "includes_values": False, "rotate_secret": True}
    changed = app.request("PATCH", path, app.create_key("webhooks"), json=change)
    assert changed.status_code == 200
    request_model(app, "DELETE", path, Done)
    entries = app.request("GET", "/api/audit?limit=20", app.create_key("admin")).json["entries"]
    newest = [entry for entry in entries if entry["action"].startswith("webhook")][:4]  # older ones are of other tests
    actions = [entry["action"] for entry in newest]
    assert actions == ["webhook_removed", "webhook_changed", "webhooks_replayed", "webhook_added"]
    webhook = created["webhook"]["id"]
    assert newest[1]["detail"] == {"webhook": webhook, "enabled": False, "includes_values": False, "secret": "rotated"}
    assert created["secret"] not in str(entries)
    assert changed.json["secret"] not in str(entries)


def test_number_of_webhooks_is_limited(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs a row an event."""
    monkeypatch.setattr(management, "MAX_WEBHOOKS", 0)
    answer = app.request(
        "POST", "/api/webhooks", app.create_key("webhooks"), json={"url": URL, "events": ["session.started"]}
    )
    assert answer.status_code == 422
