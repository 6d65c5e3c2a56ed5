"""The README's Python runs as printed, and its table has every setting."""

import re
import subprocess
import sys
from pathlib import Path

from app.settings import Settings
from tests.conftest import ROOT, SURVEYS

README = (ROOT / "README.md").read_text()


def test_python_example_runs_as_printed(tmp_path: Path) -> None:
    """In a process of its own, in an empty folder."""
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    done = subprocess.run(
        [sys.executable, "-c", example[1]],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "SURVEYS_DIR": str(SURVEYS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("answer_saved S5 Option C ")
    assert (tmp_path / "survey_sessions.db").exists()


def test_every_setting_is_in_the_table() -> None:
    """A setting can't ship undocumented."""
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE))
    assert documented == {name.upper() for name in Settings.model_fields}
