"""The OpenAPI and AsyncAPI documents, and the page that shows them."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient

from app.operations.webhooks.signing import encode_message, message_body, message_body_with_values
from app.sessions.service import SessionStore
from app.store.history import RecordedValues
from app.store.outbox import EVENTS
from app.web.factory import create_app
from app.web.rest.documents import openapi_document
from app.web.rest.webhook_messages import SessionMessage, WebhookTest
from app.web.ws.asyncapi import asyncapi_document
from tests.operations.webhooks.test_signing import DELIVERY
from tests.web.production import App


@pytest.fixture
def client(store: SessionStore) -> Iterator[FlaskClient]:
    with create_app(store.settings, store).test_client() as client:
        yield client


def operations() -> Iterator[dict[str, Any]]:
    for item in openapi_document()["paths"].values():
        yield from (operation for key, operation in item.items() if key != "parameters")


def rest_examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield the operation, schema and example of each JSON response."""
    for operation in operations():
        for response in operation["responses"].values():
            media = response.get("content", {}).get("application/json")
            if media is not None:
                yield operation["operationId"], {**openapi_document(), **media["schema"]}, media["example"]


def webhook_examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield the type, schema and example of each message of webhooks."""
    for name, item in openapi_document()["webhooks"].items():
        media = item["post"]["requestBody"]["content"]["application/json"]
        yield name, {**openapi_document(), **media["schema"]}, media["example"]


def message_examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield the name, schema and example of each message."""
    for name, message in asyncapi_document()["components"]["messages"].items():
        yield name, {**asyncapi_document(), **message["payload"]}, message["examples"][0]["payload"]


def test_every_response_and_message_has_an_example_that_its_schema_accepts() -> None:
    found = [*rest_examples(), *webhook_examples(), *message_examples()]
    invalid = {
        name: list(jsonschema.Draft202012Validator(schema).iter_errors(example)) for name, schema, example in found
    }
    assert len(found) > len(list(operations()))
    assert not {name: errors for name, errors in invalid.items() if errors}


def test_every_operation_has_an_id_of_its_own() -> None:
    """A list and one of its entries have the same words in their paths."""
    counts = Counter(operation["operationId"] for operation in operations())
    assert counts["get_surveys"] == counts["get_survey"] == 1
    assert max(counts.values()) == 1
    received = Counter(item["post"]["operationId"] for item in openapi_document()["webhooks"].values())
    assert not counts.keys() & received.keys()


def test_every_message_of_a_webhook_fits_the_document() -> None:
    """Each event's, with and without values, and that of a test, which have no fields that the document lacks."""
    assert set(openapi_document()["webhooks"]) == {*EVENTS, "webhook.test"}
    for event in EVENTS:
        delivery = replace(DELIVERY, event=event)
        recorded = RecordedValues({"clinic": "north"}, {"total": 11})
        large = RecordedValues({"text": "x" * 70_000}, {})
        bodies = [message_body_with_values(delivery, given) for given in (None, recorded, large)]
        for body in (message_body(delivery), *bodies):
            message = SessionMessage.model_validate_json(body)
            assert (message.type, message.data.model_extra) == (event, {})
            assert message.data.omitted == json.loads(body)["data"].get("omitted")
    WebhookTest.model_validate_json(encode_message("webhook.test", 0, {"webhook_id": DELIVERY.webhook_id}))


def test_page_of_the_api_links_each_operation_response_and_schema(client: FlaskClient) -> None:
    """The contents name every operation, responses are in order, and no link leads nowhere."""
    page = client.get("/docs").text
    document = client.get("/openapi.json").get_json()
    ids = set(re.findall(r' id="([^"]+)"', page))
    links = re.findall(r'href="#([^"]+)"', page)
    assert set(links) <= ids
    operations = [
        operation for item in document["paths"].values() for key, operation in item.items() if key != "parameters"
    ]
    assert {operation["operationId"] for operation in operations} <= set(links)
    messages = set(client.get("/asyncapi.json").get_json()["components"]["messages"])
    assert {f"schema-{name}" for name in messages | document["components"]["schemas"].keys()} <= ids
    assert {f"schema-{name}" for name in messages} <= set(links)
    for section in re.findall(r"<dt>Responses</dt><dd>(.+?)</dd>", page):
        statuses = re.findall(r">([1-5]\d\d)<", section)
        assert statuses == sorted(statuses)
        assert statuses
    assert "`" not in re.sub(r"<pre>.*?</pre>|<textarea.*?</textarea>", "", page, flags=re.DOTALL)


def test_page_of_the_api_has_no_address_outside_the_prefix_under_which_it_is_served(client: FlaskClient) -> None:
    page = client.get("/docs", environ_overrides={"SCRIPT_NAME": "/survey"}).text
    addresses = re.findall(r'(?:href|src|action|data-root)="(/[^"]*)"', page)
    assert len(addresses) > 5
    assert not [address for address in addresses if not address.startswith("/survey/")]


def test_page_of_the_api_links_the_dashboard_only_with_a_sign_in(app: App) -> None:
    """The page is rendered once for each of the two."""
    signed_in = app.request("POST", "/sign-in", data={"key": app.create_key()}).headers["Set-Cookie"].partition(";")[0]
    pages = [app.request("GET", "/docs", headers=headers).text for headers in ({}, {"Cookie": signed_in}, {})]
    assert ['class="to-dashboard"' in page for page in pages] == [False, True, False]
