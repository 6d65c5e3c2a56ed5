"""``flask surveys preview``: a survey file in the browser while its author writes it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.conftest import ROOT
from tests.waiting import START_S, wait_for

SURVEY = """
id: visit
title: {en: Your visit, de: Ihr Besuch}
language: en
languages: [en, de]
steps:
  - id: seen
    type: boolean
    prompt: {en: "Did you see a doctor?", de: "Waren Sie beim Arzt?"}
    next: [{when: answer == false, go: waited}]
  - {id: felt, type: text, prompt: {en: "How do you feel?", de: "Wie geht es Ihnen?"}, next: [{go: end}]}
  - {id: waited, type: number, prompt: {en: "How long did you wait?", de: "Wie lange haben Sie gewartet?"}}
"""


@dataclass
class RunningPreview:
    """The command, as an author runs it on a machine with a server's settings."""

    file: Path
    folder: Path
    process: "subprocess.Popen[str]"
    url: str = ""

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(START_S)


@pytest.fixture
def preview(tmp_path: Path) -> Iterator[RunningPreview]:
    file = tmp_path / "visit.yaml"
    file.write_text(SURVEY)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'server.db'}",
        "SECRET_KEY": "short",
        "STEPKEEP_PUBLIC_URL": "https://survey.example.org",
        "HOST": "192.0.2.1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "surveys", "preview", str(file)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = RunningPreview(file, temporary, process)
    assert process.stdout is not None
    line = process.stdout.readline()
    running.url = next((word for word in line.split() if word.startswith("http://")), line)
    yield running
    running.stop()
    process.stdout.close()


@pytest.fixture
def page(preview: RunningPreview, context: object) -> Page:
    """Return the author's page."""
    page: Page = context.new_page()  # type: ignore[attr-defined]  # a BrowserContext
    page.goto(preview.url)
    return page


def test_state_is_shown_beside_the_page_as_it_changes(page: Page) -> None:
    """Answers, route, version, drafts; the page is the participants' own."""
    survey = page.frame_locator("#survey")
    expect(survey.get_by_role("heading", name="Did you see a doctor?")).to_be_visible()
    survey.get_by_text("Yes", exact=True).click()
    survey.get_by_role("button", name="Next").click()
    expect(survey.get_by_role("heading", name="How do you feel?")).to_be_visible()
    expect(page.locator("#answers")).to_have_text('{\n  "seen": true\n}')
    expect(page.locator("#route")).to_have_text("seen → felt")
    survey.get_by_role("textbox").fill("Well")
    expect(page.locator("#drafts")).to_have_text('{\n  "felt": "Well"\n}')
    page.get_by_role("button", name="Restart").click()
    expect(page.locator("#answers")).to_have_text("{}")
    expect(survey.get_by_role("heading", name="Did you see a doctor?")).to_be_visible()


def test_author_jumps_to_any_step_and_switches_the_language(page: Page) -> None:
    """The steps before it are answered so that the route leads there."""
    survey = page.frame_locator("#survey")
    expect(survey.get_by_role("heading", name="Did you see a doctor?")).to_be_visible()
    page.get_by_role("button", name="waited: How long did you wait?").click()
    expect(survey.get_by_role("heading", name="How long did you wait?")).to_be_visible()
    expect(page.locator("#answers")).to_have_text('{\n  "seen": false\n}')
    page.get_by_label("Language").select_option("de")
    expect(survey.get_by_role("heading", name="Wie lange haben Sie gewartet?")).to_be_visible()
    page.get_by_role("button", name="seen: Waren Sie beim Arzt?").click()
    expect(survey.get_by_role("heading", name="Waren Sie beim Arzt?")).to_be_visible()


def test_changed_file_is_shown_at_once_and_a_broken_one_with_its_findings(page: Page, preview: RunningPreview) -> None:
    """The answers that still fit stay; while the file is broken, the survey stays as it was."""
    survey = page.frame_locator("#survey")
    page.get_by_role("button", name="waited: How long did you wait?").click()
    expect(survey.get_by_role("heading", name="How long did you wait?")).to_be_visible()
    preview.file.write_text(SURVEY.replace("How long did you wait?", "For how many minutes?"))
    expect(survey.get_by_role("heading", name="For how many minutes?")).to_be_visible()
    expect(page.locator("#answers")).to_have_text('{\n  "seen": false\n}')
    preview.file.write_text(SURVEY.replace("type: number, prompt", "type: number, promt"))
    expect(page.locator("#findings")).to_contain_text("step waited: unknown field promt; did you mean prompt?")
    expect(survey.get_by_role("heading", name="For how many minutes?")).to_be_visible()
    preview.file.write_text(SURVEY)
    expect(page.locator("#findings")).to_be_hidden()
    expect(survey.get_by_role("heading", name="How long did you wait?")).to_be_visible()


def test_preview_is_on_loopback_only_and_keeps_nothing(preview: RunningPreview, tmp_path: Path) -> None:
    """It takes no settings of a server, and removes its folder."""
    assert httpx.get(f"{preview.url}/state").json()["survey"] == "visit"
    address = urlsplit(preview.url)
    assert address.hostname == "127.0.0.1"
    assert address.port is not None
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", address.port), START_S):
        pass
    assert httpx.get(f"{preview.url}/state", headers={"Host": "survey.example.org"}).status_code == 403
    assert len(list(preview.folder.iterdir())) == 1
    preview.stop()
    wait_for(lambda: not list(preview.folder.iterdir()), "the folder was not removed")
    assert not (tmp_path / "server.db").exists()
