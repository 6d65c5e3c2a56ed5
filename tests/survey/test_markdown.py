"""Texts of surveys with `markdown: true`: their HTML, which needs no further check, and their plain form."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.survey.checks import parse_survey
from app.survey.definition import Survey, parse_structure
from app.survey.markdown import MarkdownText
from tests.conftest import examples

FILE = r"""
id: a
title: "*Consent*"
language: en
languages: [en, de]
markdown: true
description: "Read **this**."
steps:
  - id: S1
    type: choice
    prompt: {en: "Do you **agree**?\n\nRead [the page](https://a.example/x).", de: "*Ja*?"}
    help: "- one\n- two"
    options: [{value: 1, label: "1. *Yes*"}, "1\\. no"]
"""

LINK = '<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>'


def survey(text: str = FILE) -> Survey:
    return parse_survey(text, "mine.yaml")


@pytest.mark.parametrize(
    ("source", "html", "plain"),
    [
        ("Hello", "<p>Hello</p>", "Hello"),
        ("One\ntwo\n\nthree", "<p>One\ntwo</p>\n<p>three</p>", "One two\n\nthree"),
        ("One\\\ntwo", "<p>One<br>\ntwo</p>", "One\ntwo"),
        ("*a* and __b__", "<p><em>a</em> and <strong>b</strong></p>", "a and b"),
        ("Why:\n\n- a\n- b", "<p>Why:</p>\n<ul>\n<li>a</li>\n<li>b</li>\n</ul>", "Why:\n\n• a\n• b"),
        ("3. a\n4. b", '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>', "3. a\n4. b"),
        ("[a](mailto:b@c.example 'title')", f"<p>{LINK.format('mailto:b@c.example', 'a')}</p>", "a"),
        ("<https://a.example/?a=1&b>", f"<p>{LINK.format('https://a.example/?a=1&amp;b', 'https://a.example/?a=1&amp;b')}</p>", "https://a.example/?a=1&b"),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>", "[a](javascript:alert(1))"),
        ("[a](data:text/html,x)", "<p>[a](data:text/html,x)</p>", "[a](data:text/html,x)"),
        ("[a](/x)", "<p>[a](/x)</p>", "[a](/x)"),
        ("<b onclick=x>a</b>", "<p>&lt;b onclick=x&gt;a&lt;/b&gt;</p>", "<b onclick=x>a</b>"),
        ("![a](https://a.example/x.png)", f"<p>!{LINK.format('https://a.example/x.png', 'a')}</p>", "!a"),
        ("# a\n> b\n```\nc", "<p># a\n&gt; b\n```\nc</p>", "# a > b ``` c"),
    ],
)  # fmt: skip
def test_text_has_html_and_a_plain_form(source: str, html: str, plain: str) -> None:
    """Paragraphs, emphasis, lists and links; all else stays as it is written."""
    text = MarkdownText(source)
    assert (text.html, str(text)) == (html, plain)


def test_text_of_one_line_has_no_blocks() -> None:
    """A label such as "1. Yes" is no list."""
    text = MarkdownText("1. *Yes*\nno", is_inline=True)
    assert (text.html, str(text)) == ("1. <em>Yes</em>\nno", "1. Yes no")


@given(st.text(st.sampled_from("<>/\"'&abp=:()[]!*_`#- \n\\;")))
@examples(400)
def test_html_has_allowed_elements_only(source: str) -> None:
    """Whatever an author writes."""
    allowed = r'</?(p|em|strong|ul|ol|li|br)>|<ol start="\d+">|</a>'
    link = r'<a href="(https?:|mailto:)[^"<>]*" target="_blank" rel="noopener noreferrer">'
    for is_inline in (False, True):
        rest = re.sub(f"{allowed}|{link}", "", MarkdownText(source, is_inline=is_inline).html)
        assert "<" not in rest
        assert ">" not in rest


def test_step_has_plain_texts_and_html_beside_them() -> None:
    """Of the step, and of each option."""
    step: Any = survey().client_steps["S1"]
    assert step["prompt"] == "Do you agree?\n\nRead the page."
    assert step["html"] == {
        "prompt": f"<p>Do you <strong>agree</strong>?</p>\n<p>Read {LINK.format('https://a.example/x', 'the page')}.</p>",
        "help": "<ul>\n<li>one</li>\n<li>two</li>\n</ul>",
    }
    assert [(one["label"], one["html"]) for one in step["options"]] == [
        ("1. Yes", {"label": "1. <em>Yes</em>"}),
        ("1. no", {"label": "1. no"}),
    ]
    german: Any = survey().in_language("de").client_steps["S1"]
    assert (german["prompt"], german["html"]["prompt"]) == ("Ja?", "<p><em>Ja</em>?</p>")


def test_placeholder_is_plain_text_only() -> None:
    """Browsers show it as it is; there is no HTML in a field."""
    step = survey(f"{FILE}  - {{id: S2, type: text, prompt: P, placeholder: '*as* here'}}\n").client_steps["S2"]
    assert (step["placeholder"], step["html"]) == ("as here", {"prompt": "<p>P</p>"})


def test_texts_of_the_survey_and_labels_of_exports_are_plain() -> None:
    assert survey().title == "Consent"
    step: Any = survey().steps[0]
    assert list(step.labels().values()) == ["1. Yes", "1. no"]


def test_definition_keeps_the_source() -> None:
    """A stored revision means the same as its file."""
    stored = json.loads(survey().definition)
    assert stored["title"] == "*Consent*"
    assert stored["steps"][0]["prompt"]["de"] == "*Ja*?"
    assert stored["steps"][0]["options"][1]["label"] == "1\\. no"
    again = parse_structure(survey().definition)
    assert again.revision == survey().revision
    assert again.client_steps == survey().client_steps


def test_texts_stay_as_written_without_markdown() -> None:
    """No `html`, and asterisks are asterisks."""
    plain = survey(FILE.replace("markdown: true", "markdown: false"))
    step: Any = plain.client_steps["S1"]
    assert (plain.title, step["options"][0]["label"]) == ("*Consent*", "1. *Yes*")
    assert "html" not in step
    assert "html" not in step["options"][0]
