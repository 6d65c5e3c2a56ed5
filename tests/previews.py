"""``flask surveys preview`` as a process, and a survey for it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.waiting import START_S

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


@dataclass
class RunningPreview:
    """The command, as an author runs it on a machine with a server's settings.

    Attributes:
        temporary: the machine's folder for temporary files.
        server_database: what must not be used.
    """

    file: Path
    temporary: Path
    server_database: Path
    process: "subprocess.Popen[str]"
    url: str = ""

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(START_S)


@contextlib.contextmanager
def run_preview(folder: Path, survey: str = SURVEY) -> Iterator[RunningPreview]:
    """Run the preview of a file with this content."""
    file = folder / "visit.yaml"
    file.write_text(survey)
    temporary = folder / "tmp"
    temporary.mkdir()
    database = folder / "server.db"
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": f"sqlite:///{database}",
        "SECRET_KEY": "short",
        "STEPKEEP_PUBLIC_URL": "https://survey.example.org",
        "HOST": "192.0.2.1",
    }
    command = [sys.executable, "-m", "flask", "surveys", "preview", str(file)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = next((word for word in line.split() if word.startswith("http://")), line)
        running = RunningPreview(file, temporary, database, process, url)
        try:
            yield running
        finally:
            running.stop()
