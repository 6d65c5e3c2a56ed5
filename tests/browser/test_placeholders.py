"""The example that an author shows in an empty field."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.participant import Participant
from tests.browser.test_audio import VOICE
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: placeholders
title: Reach you
language: en
languages: [en, ar]
steps:
  - {id: name, type: text, prompt: Name, max_length: 20, placeholder: {en: Ann Lee, ar: آن لي}}
  - {id: story, type: text, prompt: Story, placeholder: It began in May.}
  - {id: height, type: number, prompt: Height, unit: cm, placeholder: "170"}
  - {id: mail, type: email, prompt: Email, placeholder: ann@example.org}
  - {id: phone, type: phone, prompt: Phone, placeholder: +49 30 1234567}
  - {id: more, type: text, prompt: More, required: false}
"""

ANSWERS = {"name": "Ben", "story": "In June", "height": "180", "mail": "ben@example.org", "phone": "+491234567"}

SHOWN = """(field) => {
  const luminance = (color) => {
    const [red, green, blue] = color.match(/[\\d.]+/g).map(Number).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const { color, opacity } = getComputedStyle(field, "::placeholder");
  const [low, high] = [color, getComputedStyle(field).backgroundColor].map(luminance).sort((a, b) => a - b);
  return [field.placeholder, Number(opacity), (high + 0.05) / (low + 0.05)];
}"""


@in_every_appearance
def test_placeholder_is_legible_and_never_the_only_label(
    scheme: str, viewport: dict[str, int], server: Server, new_context: Callable[..., BrowserContext]
) -> None:
    """With a contrast of 4.5 (WCAG 2.2, 1.4.3); fields without one have none."""
    participant = Participant(new_context(color_scheme=scheme, viewport=viewport), server.url)
    participant.open("placeholders")
    shown = {}

    def walk() -> Iterator[str]:
        for step, answer in ANSWERS.items():
            participant.expect_step(step)
            expect(participant.page.get_by_label(step.replace("mail", "email").capitalize())).to_be_visible()
            shown[step], opacity, contrast = participant.field().evaluate(SHOWN)
            assert (opacity, contrast >= 4.5) == (1, True)
            yield step
            participant.write(step, answer)
        participant.expect_step("more")
        assert participant.field().get_attribute("placeholder") is None

    assert_accessible(participant.page, walk())
    assert list(shown.values()) == ["Ann Lee", "It began in May.", "170", "ann@example.org", "+49 30 1234567"]


def test_placeholder_follows_the_language_and_is_not_spoken(context: BrowserContext, server: Server) -> None:
    """It is an example, not the question."""
    participant = Participant(context, server.url)
    page = participant.page
    page.add_init_script(VOICE)
    participant.open("placeholders", is_audio="true")
    expect(participant.field()).to_have_attribute("placeholder", "Ann Lee")
    page.locator("#language").select_option("ar")
    expect(participant.field()).to_have_attribute("placeholder", "آن لي")
    participant.next()
    expect(page.locator("#problem")).not_to_be_empty()
    page.wait_for_function("window.spoken.length > 0")
    assert not [text for text in page.evaluate("window.spoken") if "Ann" in text or "آن" in text]
