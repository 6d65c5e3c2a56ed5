"""Audio mode, with fakes for speech synthesis and recognition, which a headless Chromium lacks."""

from typing import Any

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


REST = {"value": "a", "label": "Rest"}
ICE = {"value": 2, "label": "Ice"}


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


def test_speech_is_understood_when_it_fits_the_step(participant: Participant, server: RunningServer) -> None:
    """A transcript becomes an answer in its JSON type, a voice command, or nothing."""
    cases: list[tuple[dict[str, Any], str, object]] = [
        ({"type": "boolean"}, "Yes.", {"value": True}),
        ({"type": "boolean"}, "perhaps", None),
        ({"type": "number"}, "72.5 kilograms", {"value": 72.5}),
        ({"type": "number"}, "one hundred twenty one", {"value": 121}),
        ({"type": "scale", "min": 0, "max": 10}, "seven", {"value": 7}),
        ({"type": "date"}, "the 3rd of May 1980", {"value": "1980-05-03"}),
        ({"type": "text"}, "My knee hurts", {"value": "My knee hurts"}),
        ({"type": "text"}, "go back", {"command": "back"}),
        ({"type": "choice", "options": [REST, ICE]}, "two", {"value": 2}),
        ({"type": "choice", "options": [REST, {"value": 3, "label": "Next"}]}, "next", {"value": 3}),
        ({"type": "choices", "options": [REST, ICE]}, "ice and rest", {"value": ["a", 2]}),
    ]
    participant.page.goto(server.url)
    understood = participant.page.evaluate(
        """async (cases) => {
            const { interpret } = await import("/assets/page/audio-mode.js");
            return cases.map(([step, transcript]) => interpret(step, transcript));
        }""",
        [case[:2] for case in cases],
    )
    assert understood == [case[2] for case in cases]
