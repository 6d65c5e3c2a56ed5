"""README.md: its blocks run as printed, beside a server in the folder of a clone."""

import contextlib
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.survey.checks import parse_survey
from tests.conftest import ROOT, Server
from tests.docs.pages import blocks, checkout, run_python, run_shell
from tests.waiting import free_port, wait_for

README = (ROOT / "README.md").read_text()
COMMANDS, REST, PRODUCTION = blocks(README, "sh")
SIMPLE, SOCKET = blocks(README, "python")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as ``make run`` starts it."""
    server = Server(tmp_path_factory.mktemp("readme"))
    server.start()
    yield server
    server.stop()


def test_commands_are_targets_of_make() -> None:
    """Both of them."""
    targets = re.findall(r"^make (\w+)", COMMANDS, re.MULTILINE)
    assert targets == ["run", "test"]
    assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for target in targets)


def test_survey_loads_and_branches() -> None:
    """One line longer than twelve would be too long for a first look."""
    (text,) = blocks(README, "yaml")
    assert len(text.splitlines()) <= 12
    graph = parse_survey(text, "visit.yaml").graph
    assert graph.next_step("seen", {"seen": False}) == ("waited", False)
    assert graph.next_step("seen", {"seen": True}) == ("felt", False)


def test_python_example_runs_as_printed(tmp_path: Path) -> None:
    """In an empty folder, on SQLite."""
    assert run_python(SIMPLE, tmp_path) == "{'S1': 'Option A'}\n"


def test_websocket_and_rest_examples_run_as_printed(running: Server, tmp_path: Path) -> None:
    """One after the other: the second continues the session of the first."""
    prompt, answers = run_python(SOCKET.replace("127.0.0.1:8000", running.url[7:]), tmp_path).splitlines()
    assert (prompt, answers) == ("Little interest or pleasure in doing things", "{'Q1': 2}")
    printed = run_shell(REST.replace("http://127.0.0.1:8000", running.url), tmp_path)
    assert printed.startswith('{"type":"ack","id":"80c1","version":3,')
    assert '"current_step":"Q3","answers":{"Q1":2,"Q2":1}' in printed


def test_production_example_serves(tmp_path: Path) -> None:
    """Until it is asked to stop; without a proxy in front of it ``/healthz`` is all that answers."""
    port = free_port()
    with started(PRODUCTION.replace("8001", str(port)), checkout(tmp_path)):
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the server did not answer")
    assert (tmp_path / "production.db").exists()


@contextlib.contextmanager
def started(script: str, folder: Path) -> Iterator[None]:
    """Run a script that serves, and end it."""
    environment = {"PATH": os.environ["PATH"]}
    with subprocess.Popen(["bash", "-euc", script], cwd=folder, env=environment, start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def answers(url: str) -> bool:
    with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=1) as answer:
        return bool(answer.status == 200)
    return False
