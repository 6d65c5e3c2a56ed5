"""What authors put beside a question: Markdown, help and images. No HTML but that of Markdown reaches the page."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.participant import Participant
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: rich
title: "*Before* your visit"
description: "Takes **two** minutes. [About us](https://clinic.example/about)"
language: en
markdown: true
steps:
  - id: S1
    type: info
    prompt: |
      What we *keep*

      We store:

      - your answers
      - nothing **else**

      Read [all of it](https://clinic.example/privacy).
    image: {file: body.svg, alt: A body}
  - id: S2
    type: choice
    prompt: "Where does it **hurt**?"
    help: "See [the picture](https://clinic.example/picture)."
    options: ["*Head*", {value: back, label: "The **back**", image: {file: body.svg, alt: A back}}]
  - {id: S3, type: text, prompt: "And `since` <b>when</b>?", help: "1. a\\n2. b"}
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200"><rect width="300" height="200" fill="#888"/></svg>'
MEDIA = {"body": SVG}

ATTACK = """
<p onclick="alert(1)" style="color:red" class="x">Kept <script>alert(1)</script><style>p { color: red }</style>
<svg onload="alert(1)"><a href="javascript:alert(1)">drawn</a></svg><img src=x onerror="alert(1)">
<a href="javascript:alert(1)" onclick="alert(1)">js</a> <a href=" &#106;avascript:alert(1)">js2</a>
<a href="data:text/html,x">data</a> <a href="https://clinic.example" onmouseover="alert(1)" target="_self">safe</a>
<iframe srcdoc="x"></iframe><math><mi xlink:href="javascript:alert(1)">m</mi></math><b>bold</b><template><p>t</p></template></p>
"""

INSERT = """async ([name, html]) => {
  const module = await import("/assets/page/rich-text.js");
  const nodes = name === "divideText" ? module.divideText(html, "").first : module[name](html, "");
  const holder = document.createElement("div");
  holder.append(...nodes);
  document.body.append(holder);
  return [...holder.querySelectorAll("*")].map((element) => {
    const attributes = element.getAttributeNames().map((name) => `${name}=${element.getAttribute(name)}`);
    return [element.tagName, ...attributes].join(" ");
  });
}"""


def description_of(page: Page, selector: str) -> str:
    """Return the text that describes an element to screen readers."""
    described: str = page.locator(selector).evaluate(
        "(element) => (element.getAttribute('aria-describedby') ?? '').split(' ').filter(Boolean)"
        ".map((id) => document.getElementById(id).textContent.trim()).filter(Boolean).join(' | ')"
    )
    return described


def test_prompt_has_paragraphs_and_lists(participant: Participant) -> None:
    """Its first paragraph is the heading. Links open in a new tab, which learns nothing of the page."""
    participant.open("rich")
    participant.expect_step("S1")
    page = participant.page
    expect(participant.heading).to_have_text("What we keep")
    expect(participant.heading.locator("em")).to_have_text("keep")
    expect(page.locator("#prompt-rest li")).to_have_text(["your answers", "nothing else"])
    link = page.get_by_role("link", name="all of it")
    for name, value in (
        ("href", "https://clinic.example/privacy"),
        ("target", "_blank"),
        ("rel", "noopener noreferrer"),
    ):
        expect(link).to_have_attribute(name, value)
    expect(page.get_by_role("link", name="About us")).to_have_attribute("target", "_blank")
    expect(page.locator("h1")).to_have_text("Before your visit")
    expect(page).to_have_title("Step 1 of 3 · Before your visit · Stepkeep")


def test_image_has_its_alternative_text(participant: Participant) -> None:
    """Of the question and of an option, whose name it is part of."""
    participant.open("rich")
    expect(participant.page.get_by_role("img", name="A body")).to_have_js_property("naturalWidth", 300)
    participant.next()
    participant.expect_step("S2")
    image = participant.page.get_by_role("img", name="A back")
    expect(image).to_have_js_property("complete", value=True)
    expect(image).to_have_js_property("naturalWidth", 300)
    image.click()
    expect(participant.page.get_by_role("radio", name="A back The back")).to_be_checked()


def test_help_describes_the_question(participant: Participant) -> None:
    """To screen readers too; Markdown stands in labels, and other HTML is text."""
    participant.open("rich")
    participant.next()
    participant.expect_step("S2")
    page = participant.page
    assert description_of(page, "#step fieldset") == "See the picture."
    expect(page.locator("label em")).to_have_text("Head")
    participant.choose("Head")
    participant.next()
    participant.expect_step("S3")
    expect(participant.heading).to_have_text("And `since` <b>when</b>?")
    expect(page.locator("#help li")).to_have_text(["a", "b"])
    assert description_of(page, "#answer").startswith("a")
    assert ["S2", "*Head*"] in [list(answer) for answer in participant.answered("rich")]
    page.locator("#answers-panel summary").click()
    expect(page.locator("#answers .answered")).to_contain_text("Where does it hurt?")
    expect(page.locator("#answers .answer")).to_have_text("Head")


def test_no_html_but_that_of_markdown_is_inserted(participant: Participant) -> None:
    """Whatever sends it: not the server's own check alone protects the page."""
    participant.open("rich")
    dialogs: list[str] = []
    participant.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    blocks = participant.page.evaluate(INSERT, ["blockNodes", ATTACK])
    link = "A href=https://clinic.example target=_blank rel=noopener noreferrer"
    assert blocks == ["P", "A", "A", "A", link]
    assert participant.page.evaluate(INSERT, ["inlineNodes", ATTACK]) == ["A", "A", "A", link]
    assert participant.page.evaluate(INSERT, ["divideText", ATTACK]) == ["A", "A", "A", link]
    assert participant.page.evaluate(INSERT, ["blockNodes", "<ol start=3 type=a><li value=7>x</ol>"]) == [
        "OL start=3",
        "LI",
    ]
    assert dialogs == []


def test_html_of_a_message_is_checked(participant: Participant) -> None:
    """The page inserts nothing else of a step."""

    def rewrite(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()

        def forward(frame: str | bytes) -> None:
            message: dict[str, Any] = json.loads(frame)
            if message.get("step") is not None:
                message["step"]["html"] = {"prompt": ATTACK, "help": ATTACK}
                message["step"] |= {"help": "x"}
            socket.send(json.dumps(message))

        upstream.on_message(forward)

    participant.page.route_web_socket("**/ws/survey/**", rewrite)
    participant.open("rich")
    expect(participant.heading).to_contain_text("Kept")
    for selector in ("script", "style", "svg", "iframe", "img[src=x]", "[onclick]", "[style]", "[href^='j' i]"):
        expect(participant.page.locator(f"#step {selector}")).to_have_count(0)


@in_every_appearance
def test_rich_texts_are_accessible(new_context: Any, server: Server, scheme: Any, viewport: Any) -> None:
    """Axe finds no violation; nothing scrolls sideways."""
    participant = Participant(new_context(color_scheme=scheme, viewport=viewport), server.url)

    def views() -> Iterator[str]:
        participant.open("rich")
        for step in ("S1", "S2", "S3"):
            participant.expect_step(step)
            yield step
            if step == "S2":
                participant.choose("Head")
            participant.next()

    assert_accessible(participant.page, views())
