"""The preview as a process, and a survey for it."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.forked import ForkedProcess, start_module
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

WITH_ERROR = SURVEY.replace("type: number, prompt", "type: number, promt")

WITH_WARNING = SURVEY.replace("{en: Your visit, de: Ihr Besuch}", "Your visit")


WITH_PARAMETERS = f"""{SURVEY}
parameters:
  clinic: {{type: choice, from: url, options: [{{value: 1, label: North}}, {{value: 2, label: South}}]}}
  first_name: {{type: text, from: invitation, required: false}}
  urgent: {{type: boolean, from: api, default: false}}
values:
  greeting: coalesce(parameters.first_name, "dear guest")
  minutes: answers.waited * 1
"""


@dataclass
class RunningPreview:
    """The preview; by the command, as an author runs it on a machine with a server's settings.

    Attributes:
        temporary: the machine's folder for temporary files.
        server_database: what must not be used.
    """

    file: Path
    temporary: Path
    server_database: Path
    process: "subprocess.Popen[bytes] | ForkedProcess"
    url: str = ""

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(START_S)


@contextlib.contextmanager
def run_preview(folder: Path, survey: str = SURVEY, *, by_command: bool = False) -> Iterator[RunningPreview]:
    """Run the preview of a file with this content.

    Args:
        by_command: run the operator's command, whose program then starts anew, instead of forking that program.
    """
    file = folder / "visit.yaml"
    file.write_text(survey)
    temporary = folder / "tmp"
    temporary.mkdir()
    database = folder / "server.db"
    log = folder / "preview.log"
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    command = ["app.web.preview"]
    if by_command:
        command = ["flask", "surveys", "preview"]
        environment |= {
            "DATABASE_URL": f"sqlite:///{database}",
            "SECRET_KEY": "short",
            "STEPKEEP_PUBLIC_URL": "https://survey.example.org",
            "HOST": "192.0.2.1",
        }
    running = RunningPreview(file, temporary, database, start_module([*command, str(file)], environment, log))
    try:
        wait_for(lambda: "\n" in log.read_text() or running.process.poll() is not None, "no address was printed")
        running.url = next((word for word in log.read_text().split() if word.startswith("http://")), log.read_text())
        yield running
    finally:
        running.stop()
