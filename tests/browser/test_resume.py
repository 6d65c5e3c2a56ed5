"""Leaving and resuming: closed tabs, other devices, a killed server, no network."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, WebSocketRoute, expect

from tests.browser.participant import Message, Participant, RunningServer
from tests.waiting import wait_for

pytestmark = pytest.mark.browser


def walk_to_text(participant: Participant, **query: str) -> None:
    """Answer the intake survey up to its first text."""
    participant.open("intake", **query)
    participant.expect_step("S1")
    participant.next()
    participant.write("S2", "1980-05-03")
    participant.answer("S3", "A new problem")
    participant.expect_step("S4")


def test_page_resumes_when_its_tab_is_reopened(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """Step, answers, Back button and draft are shown again, with a welcome."""
    walk_to_text(participant)
    participant.type("My knee hur")
    participant.close()
    again = Participant(context, server.url)
    again.open("intake")
    again.expect_step("S4")
    expect(again.page.locator("#resumed")).to_contain_text("Welcome back. You are at step 4 of")
    expect(again.field()).to_have_value("My knee hur")
    expect(again.page.locator("#answers .answered")).to_have_count(2)
    again.back()
    again.expect_step("S3")
    expect(again.page.get_by_role("radio", name="A new problem")).to_be_checked()
    again.next()
    again.expect_step("S4")
    expect(again.field()).to_have_value("My knee hur")


def test_draft_is_shown_when_another_device_resumes(
    participant: Participant, new_context: Callable[..., BrowserContext], server: RunningServer
) -> None:
    """The server saves the draft when the connection closes."""
    walk_to_text(participant, user="patient-7")
    participant.type("My knee hur")
    participant.expect_step("S4")
    participant.close()

    def other_device_sees_it() -> bool:
        other = Participant(new_context(), server.url)
        other.open("intake", user="patient-7")
        other.expect_step("S4")
        return other.field().input_value() == "My knee hur"

    assert any(other_device_sees_it() for _ in range(10))  # the server may see the close a moment later


def test_page_reconnects_when_the_server_was_killed(participant: Participant, server: RunningServer) -> None:
    """An answer given while the server is down is kept and sent later, and the page continues."""
    participant.open("phq9")
    for question in ("Q1", "Q2", "Q3"):
        participant.answer(question, "Several days")
    participant.expect_step("Q4")
    participant.choose("Nearly every day")
    server.kill()
    expect(participant.root).to_have_attribute("data-save", "offline")
    participant.next()
    participant.expect_offline_step("Q5")
    expect(participant.page.get_by_role("status").first).to_contain_text("Offline")
    server.start()
    participant.expect_step("Q5")
    expect(participant.page.locator("#resumed")).to_be_hidden()
    participant.page.locator("#answers-panel summary").click()
    expect(participant.page.locator("#answers .answered[data-step=Q4] .answer")).to_have_text("Nearly every day")


def test_answer_is_sent_when_the_tab_was_closed_while_offline(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """The outbox is on disk: another page of this browser sends a closed page's answers."""
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.expect_step("Q2")
    server.kill()
    expect(participant.root).to_have_attribute("data-save", "offline")
    participant.answer_offline("Q2", "Nearly every day")
    participant.expect_offline_step("Q3")
    participant.close()
    server.start()
    again = Participant(context, server.url)
    again.open("phq9")
    again.expect_step("Q3")


def test_text_is_kept_when_it_was_typed_offline(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """Text typed offline is shown after the tab was closed."""
    walk_to_text(participant)
    server.kill()
    expect(participant.root).to_have_attribute("data-save", "offline")
    participant.type("Typed in a tunnel")
    participant.close()
    server.start()
    again = Participant(context, server.url)
    again.open("intake")
    again.expect_step("S4")
    expect(again.field()).to_have_value("Typed in a tunnel")


def test_other_tab_follows_when_one_tab_answers(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """Two tabs of one session show the same step."""
    participant.open("phq9")
    other = Participant(context, server.url)
    other.open("phq9")
    other.expect_step("Q1")
    participant.answer("Q1", "Several days")
    other.expect_step("Q2")
    other.answer("Q2", "Not at all")
    participant.expect_step("Q3")


def test_input_is_kept_when_another_device_changes_something_else(
    participant: Participant, new_context: Callable[..., BrowserContext], server: RunningServer
) -> None:
    """A sync for the same step keeps the input."""
    walk_to_text(participant, user="patient-8")
    other = Participant(new_context(), server.url)
    other.open("intake", user="patient-8")
    other.expect_step("S4")
    participant.type("My knee hur")
    other.page.get_by_role("button", name="Audio").click()
    expect(participant.root).to_have_attribute("data-mode", "audio")
    expect(participant.field()).to_have_value("My knee hur")


def test_reject_is_shown_at_the_field_when_the_server_refuses(participant: Participant) -> None:
    """The reason is shown beside the field, which keeps the input, and in a summary, which is focused."""

    def refuse_s4(message: Message, reply: Callable[[Message], None]) -> bool:
        if (message["type"], message.get("step")) != ("answer", "S4"):
            return True
        refusal = {"type": "reject", "id": message["id"], "code": "invalid_answer"}
        reply({**refusal, "message": "Please say it in English.", "step": None})
        return False

    participant.intercept(refuse_s4)
    walk_to_text(participant)
    participant.write("S4", "Mir tut das Knie weh")
    expect(participant.page.locator("#problem")).to_have_text("Please say it in English.")
    expect(participant.page.get_by_role("alert")).to_be_focused()
    expect(participant.field()).to_have_value("Mir tut das Knie weh")


def test_page_shows_the_reason_after_a_final_close_code(context: BrowserContext, server: RunningServer) -> None:
    """After a final close code the page shows the reason and does not reconnect."""
    for code, words in ((4401, "sign in"), (4403, "not allowed"), (4404, "no longer exists")):
        sockets = refuse_sockets(participant := Participant(context, server.url), code)
        participant.page.goto(f"{server.url}/s/phq9")
        expect(participant.page.locator("#stopped-reason")).to_contain_text(words)
        assert len(sockets) == 1


def refuse_sockets(participant: Participant, code: int) -> list[WebSocketRoute]:
    """Close each of the page's sockets with this code, and return the list that collects them."""
    sockets: list[WebSocketRoute] = []

    def close(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.close(code=code)

    participant.page.route_web_socket("**/ws/survey/**", close)
    return sockets


def test_page_continues_when_the_database_is_unavailable(participant: Participant) -> None:
    """`pending` shows the next step as unsaved; the later `ack` shows it as saved."""
    late: list[str] = []
    sockets: list[WebSocketRoute] = []

    def delay_acks(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()
        sockets.append(socket)

        def pass_on(frame: str | bytes) -> None:
            message = json.loads(frame)
            if message["type"] != "ack":
                socket.send(frame)
                return
            late.append(str(frame))
            socket.send(json.dumps({**message, "type": "pending"}))

        upstream.on_message(pass_on)

    participant.page.route_web_socket("**/ws/survey/**", delay_acks)
    participant.open("phq9")
    participant.expect_step("Q1")
    participant.choose("Several days")
    participant.next()
    expect(participant.root).to_have_attribute("data-step", "Q2")
    participant.choose("Not at all")
    participant.next()
    expect(participant.root).to_have_attribute("data-step", "Q3")
    expect(participant.root).to_have_attribute("data-save", "saving")
    # Each call to the page lets Playwright dispatch the frames received meanwhile.
    wait_for(lambda: participant.page.evaluate("0") == 0 and len(late) == 2, "the server did not answer")
    for frame in late:
        sockets[0].send(frame)
    participant.expect_step("Q3")


def test_page_stops_when_the_link_has_an_invalid_participant_id(
    participant: Participant, server: RunningServer
) -> None:
    """An id that the protocol does not allow is not replaced by another one."""
    participant.page.goto(f"{server.url}/s/phq9?user=a%2Fb")
    expect(participant.page.locator("#stopped-reason")).to_contain_text("not complete")
