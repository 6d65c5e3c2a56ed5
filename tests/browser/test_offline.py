"""Continuing offline: no answer is lost or applied twice, and the page never jumps back."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, WebSocketRoute, expect

from tests.browser.participant import Message, Participant, RunningServer
from tests.waiting import wait_for

pytestmark = pytest.mark.browser

STEPS_SEEN = """
window.seen = [];
new MutationObserver(() => window.seen.push(document.getElementById("survey").dataset.step))
  .observe(document.getElementById("survey"), {attributes: true, attributeFilter: ["data-step"]});
"""


def walk_offline(participant: Participant, server: RunningServer, *questions: str) -> None:
    """Answer Q1 online, kill the server, and answer these questions offline."""
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.expect_step("Q2")
    server.kill()
    for question in questions:
        participant.answer_offline(question, "Several days")


def test_survey_continues_when_the_server_is_down(participant: Participant, server: RunningServer) -> None:
    """Offline answers are saved exactly once, in order, and the page doesn't jump back."""
    walk_offline(participant, server, "Q2", "Q3", "Q4", "Q5")
    participant.expect_offline_step("Q6")
    expect(participant.page.locator("#position")).to_have_text("Step 6 of 11")
    expect(participant.page.locator("#save-text")).to_contain_text("your answers are kept on this device")
    participant.page.evaluate(STEPS_SEEN)
    server.start()
    participant.expect_step("Q6")
    assert participant.answered("phq9") == [(f"Q{number}", 1) for number in range(1, 6)]
    assert participant.page.evaluate("window.seen") == []


def test_page_waits_when_only_the_server_knows_the_next_step(participant: Participant, server: RunningServer) -> None:
    """At a step whose rules depend on answers, the page keeps the answer and waits for the server."""
    walk_offline(participant, server, "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8")
    participant.expect_offline_step("Q9")
    participant.back()
    participant.answer_offline("Q8", "Not at all")
    participant.answer_offline("Q9", "Not at all")
    expect(participant.page.locator("#offline-note")).to_be_visible()
    participant.expect_offline_step("Q9")
    expect(participant.page.locator("#back")).to_be_hidden()
    server.start()
    participant.expect_step("Q10")
    expect(participant.page.locator("#back")).to_be_visible()
    edited = [("Q8", 0), ("Q9", 0)]
    assert participant.answered("phq9") == [*((f"Q{number}", 1) for number in range(1, 9)), *edited]


def test_completion_is_not_shown_as_saved_when_it_is_offline(participant: Participant, server: RunningServer) -> None:
    """The completion screen asks to keep the page open until everything is saved."""
    participant.open("phq9")
    for number in range(1, 10):
        participant.answer(f"Q{number}", "Several days")
    participant.answer("help")
    participant.expect_step("Q10")
    server.kill()
    participant.answer_offline("Q10", "Not difficult at all")
    participant.expect_offline_step("end")
    expect(participant.page.locator("#done-unsaved")).to_be_visible()
    server.start()
    participant.expect_done()
    expect(participant.page.locator("#done-saved")).to_be_visible()
    expect(participant.page.locator("#done-unsaved")).to_be_hidden()


def test_answers_are_sent_when_their_tab_was_closed_offline(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """The next tab sends a closed tab's answers, once and in order."""
    walk_offline(participant, server, "Q2", "Q3", "Q4")
    participant.expect_offline_step("Q5")
    participant.close()
    server.start()
    again = Participant(context, server.url)
    again.open("phq9")
    again.expect_step("Q5")
    assert again.answered("phq9") == [(f"Q{number}", 1) for number in range(1, 5)]


def test_input_is_kept_when_it_changes_after_an_offline_answer(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """The ack of the older answer keeps the newer input, in this tab and the next one."""
    participant.open("intake")
    participant.expect_step("S1")
    participant.next()
    participant.write("S2", "1980-05-03")
    participant.answer("S3", "A new problem")
    participant.expect_step("S4")
    server.kill()
    participant.type("My knee")
    participant.next()
    participant.expect_offline_step("S5")
    participant.back()
    participant.expect_offline_step("S4")
    expect(participant.field()).to_have_value("My knee")
    participant.type("My left knee")
    server.start()
    participant.expect_step("S4")
    expect(participant.field()).to_have_value("My left knee")
    participant.close()
    again = Participant(context, server.url)
    again.open("intake")
    again.expect_step("S4")
    expect(again.field()).to_have_value("My left knee")


def test_answer_is_sent_again_when_the_server_is_unavailable(participant: Participant) -> None:
    """After `unavailable` the command stays in the outbox, and is sent again before its successors."""
    refused: list[str] = []

    def refuse_twice(message: Message, reply: Callable[[Message], None]) -> bool:
        if message.get("step") != "Q2" or message["type"] != "answer" or len(refused) == 2:
            return True
        refused.append(message["id"])
        reply({"type": "error", "id": message["id"], "code": "unavailable", "message": "Try again later."})
        return False

    participant.intercept(refuse_twice)
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.answer("Q2", "Several days")
    expect(participant.root).to_have_attribute("data-step", "Q3")
    participant.choose("Several days")
    participant.next()
    expect(participant.root).to_have_attribute("data-step", "Q4")
    participant.expect_step("Q4")
    assert len(refused) == 2
    assert len(set(refused)) == 1
    assert participant.answered("phq9") == [("Q1", 1), ("Q2", 1), ("Q3", 1)]
    expect(participant.page.locator("#notice")).to_be_hidden()


def test_page_returns_to_the_server_s_step_when_it_rejects_a_predicted_one(participant: Participant) -> None:
    """A reject leads back to its step, with the reason and the answer; later commands are rejected with it."""
    withheld: list[str] = []

    def refuse_q2(message: Message, reply: Callable[[Message], None]) -> bool:
        if message.get("step") == "Q2" and not withheld:
            withheld.append(message["id"])
            return False
        if message.get("step") == "Q3":
            refusal = {"type": "reject", "id": withheld[0], "code": "invalid_answer", "message": "Not this one."}
            reply({**refusal, "step": None})
        return True

    participant.intercept(refuse_q2)
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.answer("Q2", "Nearly every day")
    expect(participant.root).to_have_attribute("data-step", "Q3")
    participant.choose("Not at all")
    participant.next()
    participant.expect_step("Q2")
    expect(participant.page.locator("#problem")).to_have_text("Not this one.")
    expect(participant.page.get_by_role("radio", name="Nearly every day")).to_be_checked()
    expect(participant.page.locator("#notice")).to_contain_text("Q3")


def test_pages_agree_when_one_of_two_tabs_was_offline(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """History has both tabs' answers once, and both tabs show the same step."""
    sockets: list[WebSocketRoute] = []
    cut = [False]

    def cuttable(socket: WebSocketRoute) -> None:
        if cut[0]:
            socket.close(code=1012)
            return
        socket.connect_to_server()
        sockets.append(socket)

    participant.page.route_web_socket("**/ws/survey/**", cuttable)
    participant.open("phq9")
    other = Participant(context, server.url)
    other.open("phq9")
    participant.answer("Q1", "Several days")
    other.expect_step("Q2")
    participant.expect_step("Q2")
    cut[0] = True
    sockets[0].close(code=1012)
    participant.answer_offline("Q2", "Several days")
    participant.answer_offline("Q3", "Several days")
    participant.expect_offline_step("Q4")
    other.answer("Q2", "Not at all")
    other.expect_step("Q3")
    cut[0] = False
    participant.page.evaluate("dispatchEvent(new Event('online'))")
    participant.expect_step("Q4")
    other.expect_step("Q4")
    assert participant.answered("phq9") == [("Q1", 1), ("Q2", 0), ("Q2", 1), ("Q3", 1)]


def test_answers_are_sent_when_the_browser_was_killed_offline(
    new_profile: Callable[[Path], BrowserContext], server: RunningServer, tmp_path: Path
) -> None:
    """The outbox is on disk: a browser killed with SIGKILL sends it after a restart."""
    profile = tmp_path / "profile"
    first = Participant(new_profile(profile), server.url)
    walk_offline(first, server, "Q2", "Q3", "Q4")
    first.expect_offline_step("Q5")
    first.page.wait_for_function(STORED, arg=3)
    kill_browser_of(profile)
    server.start()
    again = Participant(new_profile(profile), server.url)
    again.open("phq9")
    again.expect_step("Q5")
    assert again.answered("phq9") == [(f"Q{number}", 1) for number in range(1, 5)]


def test_participant_is_the_same_when_local_storage_is_lost(participant: Participant) -> None:
    """The id is in IndexedDB too, because Chromium writes localStorage to disk seconds later."""
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.expect_step("Q2")
    participant.page.evaluate("localStorage.clear()")
    participant.page.reload()
    participant.expect_step("Q2")


STORED = """(count) => new Promise((resolve) => {
  const opening = indexedDB.open("stepkeep");
  opening.onsuccess = () => {
    const counting = opening.result.transaction("outbox").objectStore("outbox").count();
    counting.onsuccess = () => { opening.result.close(); resolve(counting.result === count); };
  };
})"""


def browsers_of(profile: Path) -> list[int]:
    """Return the ids of the processes of the browser with this profile."""
    ids = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if f"--user-data-dir={profile}".encode() in command.split(b"\0"):
            ids.append(int(entry.parent.name))
    return ids


def kill_browser_of(profile: Path) -> None:
    """Kill the browser with this profile, and wait for its end."""
    for process in browsers_of(profile):
        os.kill(process, signal.SIGKILL)
    wait_for(lambda: browsers_of(profile) == [], "the browser did not end")
