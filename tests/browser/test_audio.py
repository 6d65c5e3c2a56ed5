"""Audio mode, with fakes for speech synthesis and recognition, which a headless Chromium lacks."""

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.participant import Participant, RunningServer

pytestmark = pytest.mark.browser

VOICE = """
window.spoken = [];
Object.defineProperty(window, "speechSynthesis", {value: {
  cancel() {},
  speak(utterance) {
    window.spoken.push(utterance.text);
    queueMicrotask(() => utterance.dispatchEvent(new Event("end")));
  },
}});
"""
EAR = """
window.SpeechRecognition = class {
  start() {
    document.documentElement.dataset.listens = "yes";
    window.say = (text) => {
      document.documentElement.dataset.listens = "no";
      this.onresult({results: [[{transcript: text}]]});
    };
  }
  abort() {}
};
"""
DEAF_AND_DUMB = """
for (const name of ["speechSynthesis", "SpeechRecognition", "webkitSpeechRecognition"]) delete window[name];
"""


def hear(participant: Participant, text: str) -> None:
    """Wait until the page listens, and say this text."""
    expect(participant.page.locator("html")).to_have_attribute("data-listens", "yes")
    participant.page.evaluate("(text) => window.say(text)", text)


def test_question_is_read_and_answered_when_audio_is_on(participant: Participant) -> None:
    """The page reads the step, fills in the answer that it heard, and continues after a confirmation."""
    participant.page.add_init_script(VOICE + EAR)
    participant.open("phq9")
    participant.page.get_by_role("button", name="Audio").click()
    hear(participant, "several days")
    expect(participant.page.get_by_role("radio", name="Several days")).to_be_checked()
    hear(participant, "Next.")
    participant.expect_step("Q2")
    hear(participant, "back")
    participant.expect_step("Q1")
    spoken = participant.page.evaluate("window.spoken")
    assert spoken[0].startswith("Little interest or pleasure in doing things. Not at all, several days,")
    assert spoken[1].startswith("Several days. Say next")
    assert spoken[2] == (
        "Feeling down, depressed, or hopeless? Not at all. Several days. More than half the days. Or: Nearly every day."
    )


def test_mode_is_kept_when_the_page_is_reopened(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """Audio mode is part of the session."""
    participant.open("phq9")
    toggle = participant.page.get_by_role("button", name="Audio")
    expect(toggle).to_have_attribute("aria-pressed", "false")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    participant.expect_step("Q1")
    participant.close()
    again = Participant(context, server.url)
    again.open("phq9")
    expect(again.page.get_by_role("button", name="Audio")).to_have_attribute("aria-pressed", "true")
    expect(again.page.locator("#voice")).to_be_visible()


def test_note_is_shown_when_the_browser_cannot_speak(participant: Participant) -> None:
    """Without the Web Speech API, the page shows a note and the survey is answered by hand."""
    participant.page.add_init_script(DEAF_AND_DUMB)
    participant.open("phq9")
    participant.page.get_by_role("button", name="Audio").click()
    expect(participant.page.locator("#voice-note")).to_contain_text("can't read aloud")
    participant.answer("Q1", "Several days")
    participant.expect_step("Q2")


def test_page_asks_when_it_does_not_understand(participant: Participant) -> None:
    """It repeats what it heard, and neither fills in nor sends an answer."""
    participant.page.add_init_script(VOICE + EAR)
    participant.open("phq9")
    participant.page.get_by_role("button", name="Audio").click()
    note = participant.page.locator("#voice-note")
    hear(participant, "not several days")
    expect(note).to_contain_text("We heard “not several days”, and do not know which answer that is. Please say it")
    expect(participant.page.locator("#step input:checked")).to_have_count(0)
    hear(participant, "several days")
    expect(note).to_contain_text("Listening")
    hear(participant, "nearly every day or not at all")
    expect(note).to_contain_text("Your answer is still: Several days.")
    for _ in range(2):  # then it may be hearing other people
        hear(participant, "constructor")
    expect(note).to_contain_text("Press “Answer by voice” to try again")
    participant.expect_step("Q1")
    assert participant.answered("phq9") == []
    assert participant.page.evaluate("window.spoken[1]") == (
        "We heard “not several days”, and do not know which answer that is. Please say it in another way."
    )


def test_page_says_why_a_command_does_not_continue(participant: Participant) -> None:
    """A required question can be neither skipped nor left without an answer; the page listens again."""
    participant.page.add_init_script(VOICE + EAR)
    participant.open("phq9")
    participant.page.get_by_role("button", name="Audio").click()
    hear(participant, "skip")
    expect(participant.page.locator("#voice-note")).to_contain_text("This question needs an answer. Listening")
    hear(participant, "next")
    expect(participant.page.locator("#voice-note")).to_contain_text("Please choose an answer to continue. Listening")
    hear(participant, "several days")
    hear(participant, "next")
    participant.expect_step("Q2")
    assert participant.answered("phq9") == [("Q1", 1)]
