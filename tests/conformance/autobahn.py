"""Runs Autobahn's fuzzing client against the echo, and reads what it found.

Autobahn is another project's judge of RFC 6455; it runs under Python 2.7 only, so it lives in an environment of
its own, ``.venv-autobahn`` (``python -m tests.conformance`` says how it is made).
"""

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.server import ROOT, EchoServer

ENVIRONMENT = ROOT / ".venv-autobahn"
CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
GOOD = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
TIME_LIMIT_S = 600
PACKAGES = ("virtualenv==20.15.1", "autobahntestsuite==25.10.1")


class NoAutobahn(Exception):
    """The environment can't be made or is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What Autobahn says of one case."""

    case: str
    behavior: str
    behavior_close: str

    @property
    def is_good(self) -> bool:
        return self.behavior in GOOD and self.behavior_close in GOOD


def install() -> None:
    """Make the environment where it is missing; some 20 seconds.

    Raises:
        NoAutobahn: there is no Python 2.7, or pip failed.
    """
    if (ENVIRONMENT / "python/bin/wstest").exists():
        return
    python = _python_2()
    virtualenv, autobahn = PACKAGES
    target = ENVIRONMENT / "virtualenv"
    _run([python, "-m", "pip", "install", "--quiet", "--target", str(target), virtualenv])
    _run([python, "-m", "virtualenv", "--quiet", str(ENVIRONMENT / "python")], PYTHONPATH=str(target))
    _run([str(ENVIRONMENT / "python/bin/pip"), "install", "--quiet", autobahn])


def judge(server: EchoServer, folder: Path) -> list[Verdict]:
    """Let Autobahn try all cases on the echo; its own reports are in ``folder`` afterwards."""
    plan = {
        "outdir": str(folder / "reports"),
        "servers": [{"agent": "stepkeep", "url": f"{server.ws_url}/echo"}],
        "cases": list(CASES),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    wstest = [str(ENVIRONMENT / "python/bin/wstest"), "-m", "fuzzingclient", "-s", str(folder / "plan.json")]
    with (folder / "wstest.log").open("wb") as log:
        subprocess.run(wstest, cwd=folder, stdout=log, stderr=log, timeout=TIME_LIMIT_S, check=True)
    found = json.loads((folder / "reports/index.json").read_text())["stepkeep"]
    return sorted(_verdicts(found), key=lambda one: [int(part) for part in one.case.split(".")])


def table(verdicts: list[Verdict]) -> Iterator[str]:
    """Give the lines of a Markdown table: a row for each group of cases, and one for all."""
    yield "| cases | number | OK | non-strict | informational | other |"
    yield "| --- | --: | --: | --: | --: | --: |"
    for group in [*(case.removesuffix("*") for case in CASES), ""]:
        of_group = [one for one in verdicts if one.case.startswith(group)]
        count = Counter(one.behavior if one.is_good else "other" for one in of_group)
        numbers = [len(of_group), *(count[kind] for kind in ("OK", "NON-STRICT", "INFORMATIONAL", "other"))]
        yield f"| {group + '*' if group else 'all'} | " + " | ".join(map(str, numbers)) + " |"


def _verdicts(found: dict[str, dict[str, str]]) -> Iterator[Verdict]:
    for case, said in found.items():
        yield Verdict(case=case, behavior=said["behavior"], behavior_close=said["behaviorClose"])


def _python_2() -> str:
    shim = shutil.which("python2.7")
    pyenv = shutil.which("pyenv")
    if pyenv is not None:  # its shim runs only where the version is chosen
        known = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=True).stdout.split()
        chosen = next((one for one in known if one.startswith("2.7")), None)
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip()
        if chosen is not None:
            return f"{root}/versions/{chosen}/bin/python2.7"
    if shim is None:
        raise NoAutobahn("Autobahn wants Python 2.7, and there is none here (pyenv install 2.7.18)")
    return shim


def _run(command: list[str], **environment: str) -> None:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
    )
    if done.returncode:
        raise NoAutobahn(f"{' '.join(command)}: {done.stderr.strip()}")
