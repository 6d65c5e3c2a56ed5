"""REST for webhooks: added, changed, looked at, replayed and removed; each answer is of its model."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

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
    """The application in production on each database; nothing is sent anywhere."""
    with production_app_on(request.param, servers, tmp_path_factory.mktemp("app")) as app:
        app.flask.extensions["stepkeep"].webhooks.close()
        yield app


def request(
    app: App, method: str, path: str, model: type[BaseModel], status: int = 200, **options: Any
) -> dict[str, Any]:
    """Return the answer, held to its model."""
    answer = app.request(method, path, app.create_key("webhooks"), **options)
    assert answer.status_code == status, answer.text
    model.model_validate_json(answer.data)
    found: dict[str, Any] = answer.json
    return found


def added(app: App, **more: Any) -> dict[str, Any]:
    body = {"url": URL, "events": ["session.started", "session.completed"], **more}
    return request(app, "POST", "/api/webhooks", models.WebhookCreated, 201, json=body)


def test_webhook_is_added_with_a_secret_that_is_shown_once(app: App) -> None:
    """In the answer to the addition, and nowhere else."""
    made = added(app, survey_id="phq9")
    shown = made["webhook"]
    assert (shown["url"], shown["survey_id"], shown["disabled_at"]) == (URL, "phq9", None)
    assert shown["events"] == ["session.started", "session.completed"]
    one = request(app, "GET", f"/api/webhooks/{shown['id']}", models.WebhookResponse)
    everything = request(app, "GET", "/api/webhooks", models.WebhookList)
    assert one["webhook"] == shown
    assert shown in everything["webhooks"]
    assert made["secret"] not in str((one, everything))


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
        ({"secret": "whsec_mine"}, 422),
    ],
)
def test_webhook_that_can_not_be_is_refused(app: App, change: dict[str, Any], status: int) -> None:
    """With a message that says what is wrong; nothing is kept."""
    before = len(request(app, "GET", "/api/webhooks", models.WebhookList)["webhooks"])
    body = {"url": URL, "events": ["session.started"], **change}
    answer = app.request("POST", "/api/webhooks", app.create_key("webhooks"), json=body)
    assert answer.status_code == status
    assert len(answer.json["detail"]) > 20
    assert len(request(app, "GET", "/api/webhooks", models.WebhookList)["webhooks"]) == before


def test_webhook_is_disabled_enabled_and_given_a_new_secret(app: App) -> None:
    """What is left out stays; a new secret is shown once."""
    made = added(app)
    path = f"/api/webhooks/{made['webhook']['id']}"
    off = request(app, "PATCH", path, models.WebhookResponse, json={"enabled": False})
    assert off["webhook"]["disabled_at"] is not None
    changed = request(app, "PATCH", path, models.WebhookResponse, json={"rotate_secret": True})
    assert changed["webhook"]["disabled_at"] == off["webhook"]["disabled_at"]
    assert changed["secret"] != made["secret"]
    on = request(app, "PATCH", path, models.WebhookResponse, json={"enabled": True})
    assert on["webhook"] == made["webhook"]
    assert "secret" not in request(app, "PATCH", path, models.WebhookResponse, json={})
    for wrong in ({"enabled": None}, {"enabled": "no"}, {"rotate_secret": 1}, {"url": URL}):
        assert app.request("PATCH", path, app.create_key("webhooks"), json=wrong).status_code == 422


def test_deliveries_are_listed_by_pages_and_replayed(app: App) -> None:
    """Newest first; those that were given up alone, too; a replay makes them due again."""
    webhook_id = added(app, survey_id="phq9")["webhook"]["id"]
    for number in range(5):
        app.begin_session(f"del-{number}")
    path = f"/api/webhooks/{webhook_id}"
    first = request(app, "GET", f"{path}/deliveries?limit=3", models.DeliveryPage)
    second = request(app, "GET", f"{path}/deliveries?limit=3&after={first['next']}", models.DeliveryPage)
    found = [*first["deliveries"], *second["deliveries"]]
    assert [one["user_id"] for one in found] == [f"del-{number}" for number in range(4, -1, -1)]
    assert second["next"] is None
    ends = [
        AttemptResult(
            id=one["id"], at=app.clock(), attempts=1, retry_at=None, is_delivered=bool(n), status=500, error="HTTP 500"
        )
        for n, one in enumerate(found[:3])
    ]
    app.store.run_transaction(lambda connection: outbox.record_attempts(connection, ends))
    failed = request(app, "GET", f"{path}/deliveries?failed=true", models.DeliveryPage)["deliveries"]
    assert [(one["id"], one["last_status"], one["last_error"]) for one in failed] == [(found[0]["id"], 500, "HTTP 500")]
    assert request(app, "POST", f"{path}/replay", models.ReplayResponse, json={"failed": True})["replayed"] == 1
    assert request(app, "POST", f"{path}/replay", models.ReplayResponse, json={"since": "2999-01-01"})["replayed"] == 0
    assert request(app, "POST", f"{path}/replay", models.ReplayResponse)["replayed"] == 2
    again = request(app, "GET", f"{path}/deliveries", models.DeliveryPage)["deliveries"]
    assert {(one["attempts"], one["delivered_at"], one["failed_at"]) for one in again} == {(0, None, None)}
    assert [one["message_id"] for one in again] == [one["message_id"] for one in found]
    for wrong in ("failed=maybe", "limit=0", "since=x"):
        assert app.request("GET", f"{path}/deliveries?{wrong}", app.create_key("webhooks")).status_code == 422
    for body in ({"since": 5}, {"since": "yesterday"}, {"failed": 1}, {"until": "2026-11-27"}):
        assert app.request("POST", f"{path}/replay", app.create_key("webhooks"), json=body).status_code == 422


def test_removed_webhook_is_gone_with_its_deliveries(app: App) -> None:
    """And a second removal finds none."""
    webhook_id = added(app)["webhook"]["id"]
    app.begin_session("removed")
    request(app, "DELETE", f"/api/webhooks/{webhook_id}", Done)
    assert app.request("DELETE", f"/api/webhooks/{webhook_id}", app.create_key("webhooks")).status_code == 404
    page = app.store.run_read(lambda connection: outbox.read_page(connection, webhook_id, None, 10))
    assert page.deliveries == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/replay")],
)
def test_webhook_that_is_not_there_is_not_found(app: App, method: str, path: str) -> None:
    """Each way of naming one says so."""
    body = {"json": {}} if method == "PATCH" else {}
    answer = app.request(method, f"/api/webhooks/{UNKNOWN}{path}", app.create_key("webhooks"), **body)
    assert (answer.status_code, answer.json["code"]) == (404, "no_such_webhook")


def test_what_was_done_to_webhooks_is_in_the_audit_log(app: App) -> None:
    """Without secrets and addresses."""
    made = added(app)
    path = f"/api/webhooks/{made['webhook']['id']}"
    request(app, "POST", f"{path}/replay", models.ReplayResponse)
    assert app.request("PATCH", path, app.create_key("webhooks"), json={"enabled": False}).status_code == 200
    request(app, "DELETE", path, Done)
    entries = app.request("GET", "/api/audit?limit=20", app.create_key("admin")).json["entries"]
    done = [one["action"] for one in entries if one["action"].startswith("webhook")]
    assert done[:4] == ["webhook_removed", "webhook_changed", "webhooks_replayed", "webhook_added"]
    assert made["secret"] not in str(entries)


def test_there_is_a_bound_to_webhooks(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs a row an event."""
    monkeypatch.setattr(management, "MAX_WEBHOOKS", 0)
    answer = app.request(
        "POST", "/api/webhooks", app.create_key("webhooks"), json={"url": URL, "events": ["session.started"]}
    )
    assert answer.status_code == 422
