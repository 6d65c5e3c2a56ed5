"""The README's Python runs as printed, and the operators' table has every setting."""

import re
import subprocess
import sys
from pathlib import Path

from app.settings import Settings
from tests.conftest import ROOT, SURVEYS, Server

README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(example: str, folder: Path) -> str:
    """Return what the example prints."""
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "SURVEYS_DIR": str(SURVEYS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_examples_run_as_printed(tmp_path: Path) -> None:
    """Each in a process of its own, in a folder that was empty before the first."""
    first, _, third = EXAMPLES
    printed = [run(example, tmp_path) for example in (first, third)]
    assert printed[0].splitlines()[0].startswith("answer_saved S5 Option C ")
    assert (tmp_path / "survey_sessions.db").exists()


def test_client_example_runs_as_printed(server: Server, tmp_path: Path) -> None:
    """Against a server that runs, as its address says."""
    folder = tmp_path / "client"
    folder.mkdir()
    assert run(EXAMPLES[1].replace("http://127.0.0.1:8000", server.url), folder) == "Q2\n"
    assert (folder / "user123.outbox").exists()


def test_every_setting_is_in_the_table() -> None:
    """A setting can't ship undocumented."""
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE))
    assert documented == {name.upper() for name in Settings.model_fields}
