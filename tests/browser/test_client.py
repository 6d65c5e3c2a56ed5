"""The client module in a page without any other script."""

import json
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute

from tests.browser.participant import RunningServer

pytestmark = pytest.mark.browser

BEGIN = """async (timeouts) => {
  const { SurveyClient } = await import("/assets/client/client.js");
  const client = new SurveyClient({ origin: location.origin, surveyId: "phq9", userId: "p-1", timeouts });
  window.client = client;
  window.events = [];
  for (const type of ["state", "ack", "pending", "reject", "sync", "error", "stopped"]) {
    client.addEventListener(type, (event) => window.events.push({ ...event.detail, type }));
  }
  window.changes = 0;
  client.addEventListener("change", () => { window.changes += 1; });
  await client.start();
}"""
ONLINE = "() => window.client.isOnline"
OFFLINE = "() => !window.client.isOnline"


@pytest.fixture
def page(context: BrowserContext, server: RunningServer) -> Page:
    """A page of the server's origin without scripts."""
    plain = context.new_page()
    plain.goto(f"{server.url}/healthz")
    return plain


def begin(page: Page, **timeouts: float) -> None:
    """Create a client with these timeouts, and wait until it is online."""
    page.evaluate(BEGIN, timeouts)
    page.wait_for_function(ONLINE)


def details(page: Page, kind: str) -> list[dict[str, Any]]:
    """Return the details of the events of one type."""
    events: list[dict[str, Any]] = page.evaluate("window.events")
    return [event for event in events if event["type"] == kind]


def test_survey_is_completed_when_a_page_imports_only_the_client(page: Page) -> None:
    """`answer` resolves with the ack; `state`, `ack` and `change` are dispatched; the outbox is empty at the end."""
    begin(page)
    assert details(page, "state")[0]["session"]["current_step"] == "Q1"
    for number in range(1, 10):
        ack = page.evaluate("(step) => window.client.answer(step, 0)", f"Q{number}")
        assert ack["type"] == "ack"
    assert ack["session"]["status"] == "completed"
    refused = page.evaluate("window.client.answer('Q1', 1)")
    assert (refused["type"], refused["code"]) == ("reject", "completed")
    again = page.evaluate("window.client.restart()")
    assert again["session"]["current_step"] == "Q1"
    assert len(details(page, "ack")) == 10
    assert page.evaluate("[window.client.unacknowledged, window.client.isDurable]") == [0, True]
    assert page.evaluate("window.changes") > 0


def test_promise_waits_for_the_ack_when_the_answer_is_pending(page: Page) -> None:
    """`pending` is dispatched, but the command stays in the outbox, and its promise unresolved, until the `ack`."""

    def pend_first(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()

        def pass_on(frame: str | bytes) -> None:
            message = json.loads(frame)
            if message["type"] == "ack":
                socket.send(json.dumps({**message, "type": "pending"}))
                socket.on_message(lambda _: socket.send(frame))  # at the next ping
                return
            socket.send(frame)

        upstream.on_message(pass_on)

    page.route_web_socket("**/ws/survey/**", pend_first)
    begin(page)
    page.evaluate(
        "() => { window.outcome = null; window.client.answer('Q1', 0).then((m) => { window.outcome = m; }); }"
    )
    page.wait_for_function("() => window.events.some((event) => event.type === 'pending')")
    assert page.evaluate("[window.client.unacknowledged, window.outcome]") == [1, None]
    page.evaluate("window.client.reconnectNow()")
    page.wait_for_function("() => window.outcome !== null")
    assert page.evaluate("[window.client.unacknowledged, window.outcome.type]") == [0, "ack"]


def test_client_stops_after_a_final_close_code(page: Page) -> None:
    """After a final close code, `stopped` is dispatched once and no attempt follows."""
    sockets: list[WebSocketRoute] = []

    def refuse(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.close(code=4403)

    page.route_web_socket("**/ws/survey/**", refuse)
    page.evaluate(BEGIN, {})
    page.wait_for_function("() => window.events.some((event) => event.type === 'stopped')")
    page.evaluate("window.client.reconnectNow()")
    assert [event["code"] for event in details(page, "stopped")] == [4403]
    assert len(sockets) == 1


def test_client_reconnects_at_once_when_the_browser_is_online_again(
    page: Page, context: BrowserContext, server: RunningServer
) -> None:
    """The `online` event opens a connection, however long the slow timer still waits."""
    begin(page, connectAttempts=0, slowDelayMs=1e9)
    server.kill()
    page.wait_for_function(OFFLINE)
    context.set_offline(True)
    server.start()
    context.set_offline(False)
    page.wait_for_function(ONLINE)
    assert len(details(page, "state")) == 2


def test_client_is_offline_as_soon_as_the_browser_is(page: Page, context: BrowserContext) -> None:
    """The `offline` event replaces the connection, however long an answer to a ping may take."""
    begin(page, pingTimeoutMs=1e9)
    context.set_offline(True)
    page.wait_for_function(OFFLINE)
    context.set_offline(False)
    page.wait_for_function(ONLINE)
    assert page.evaluate("window.client.answer('Q1', 0)")["type"] == "ack"


def test_client_keeps_trying_after_the_quick_attempts(page: Page, server: RunningServer) -> None:
    """After the quick attempts, slow ones go on without end."""
    begin(page, connectAttempts=2, connectDelayMs=1, slowDelayMs=100)
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    server.kill()
    page.wait_for_function(OFFLINE)
    page.wait_for_event("websocket", predicate=lambda _: len(sockets) > 6)
    server.start()
    page.wait_for_function(ONLINE)


def test_outbox_keeps_all_commands_when_the_server_is_full(page: Page) -> None:
    """After 1013 the client reconnects, and sends all commands again in order."""
    sent: list[str] = []

    def full_once(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()

        def pass_on(frame: str | bytes) -> None:
            sent.append(json.loads(frame)["step"])
            if len(sent) == 1:
                socket.close(code=1013)
            elif len(sent) > 2:
                upstream.send(frame)

        socket.on_message(pass_on)

    page.route_web_socket("**/ws/survey/**", full_once)
    begin(page, busyDelayMs=1)
    both = "Promise.all([window.client.answer('Q1', 0), window.client.answer('Q2', 1)])"
    assert [ack["type"] for ack in page.evaluate(both)] == ["ack", "ack"]
    assert sent[-2:] == ["Q1", "Q2"]


def test_connection_is_replaced_when_the_socket_cannot_send(page: Page) -> None:
    """After three failed attempts to send, a new connection delivers the command."""
    page.evaluate(
        """() => {
          window.refusedSends = 0;
          const send = WebSocket.prototype.send;
          WebSocket.prototype.send = function (data) {
            if (data.includes('"answer"') && window.refusedSends < 3) {
              window.refusedSends += 1;
              throw new DOMException("no", "InvalidStateError");
            }
            send.call(this, data);
          };
        }"""
    )
    begin(page, sendAttempts=3, sendDelayMs=1)
    assert page.evaluate("window.client.answer('Q1', 0)")["type"] == "ack"
    assert page.evaluate("window.refusedSends") == 3
    assert len(details(page, "state")) == 2


def test_client_connects_when_the_browser_s_storage_hangs(page: Page) -> None:
    """After a timeout the outbox is in memory only, and `isDurable` is false."""
    page.evaluate("() => { IDBFactory.prototype.open = () => new EventTarget(); }")
    begin(page, storageTimeoutMs=10)
    assert page.evaluate("window.client.answer('Q1', 0)")["type"] == "ack"
    page.wait_for_function("() => !window.client.isDurable")
