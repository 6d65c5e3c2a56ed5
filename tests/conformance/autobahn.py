"""Runs Autobahn's fuzzing client against the echo server, and reads its report.

Autobahn is an independent test suite for RFC 6455. It needs Python 2.7, so it is installed into a separate
environment, ``.venv-autobahn``.
"""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import public_environment
from tests.conformance.server import EchoServer
from tests.forked import ROOT

ENVIRONMENT = ROOT / ".venv-autobahn"
CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
GOOD = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
TIME_LIMIT_S = 600
PACKAGES = ("virtualenv==20.15.1", "autobahntestsuite==25.10.1")


class NoAutobahn(Exception):
    """The environment can't be created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Autobahn's verdict on a case."""

    case: str
    behavior: str
    behavior_close: str

    @property
    def is_good(self) -> bool:
        return self.behavior in GOOD and self.behavior_close in GOOD


def install() -> None:
    """Create the environment if it is missing, which takes about 20 seconds.

    Raises:
        NoAutobahn: Python 2.7 is missing, or pip failed.
    """
    if (ENVIRONMENT / "python/bin/wstest").exists():
        return
    python = _python_2()
    virtualenv, autobahn = PACKAGES
    target = ENVIRONMENT / "virtualenv"
    _run([python, "-m", "pip", "install", "--quiet", "--target", str(target), virtualenv])
    _run([python, "-m", "virtualenv", "--quiet", str(ENVIRONMENT / "python")], PYTHONPATH=str(target))
    _run([str(ENVIRONMENT / "python/bin/pip"), "install", "--quiet", autobahn])


def run(server: EchoServer, folder: Path) -> list[Verdict]:
    """Run all cases against the echo server; Autobahn writes its reports into ``folder``."""
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
    results = json.loads((folder / "reports/index.json").read_text())["stepkeep"]
    return sorted(_verdicts(results), key=lambda verdict: [int(part) for part in verdict.case.split(".")])


def table(verdicts: list[Verdict]) -> Iterator[str]:
    """Yield the lines of a Markdown table with a row for each group of cases, and one for all."""
    yield "| cases | number | OK | non-strict | informational | other |"
    yield "| --- | --: | --: | --: | --: | --: |"
    for group in [*(case.removesuffix("*") for case in CASES), ""]:
        members = [verdict for verdict in verdicts if verdict.case.startswith(group)]
        count = Counter(verdict.behavior if verdict.is_good else "other" for verdict in members)
        numbers = [len(members), *(count[kind] for kind in ("OK", "NON-STRICT", "INFORMATIONAL", "other"))]
        yield f"| {group + '*' if group else 'all'} | " + " | ".join(map(str, numbers)) + " |"


def _verdicts(results: dict[str, dict[str, str]]) -> Iterator[Verdict]:
    for case, result in results.items():
        yield Verdict(case=case, behavior=result["behavior"], behavior_close=result["behaviorClose"])


def _python_2() -> str:
    shim = shutil.which("python2.7")
    pyenv = shutil.which("pyenv")
    if pyenv is not None:  # its shim works only where the version is selected
        versions = subprocess.run(
            [pyenv, "versions", "--bare"], capture_output=True, text=True, check=True
        ).stdout.split()
        version = next((version for version in versions if version.startswith("2.7")), None)
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip()
        if version is not None:
            return f"{root}/versions/{version}/bin/python2.7"
    if shim is None:
        raise NoAutobahn('Autobahn needs Python 2.7, which is not installed. Run "pyenv install 2.7.18".')
    return shim


def _run(command: list[str], **environment: str) -> None:
    done = subprocess.run(
        command,
        env={**public_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise NoAutobahn(f"{' '.join(command)}: {done.stderr.strip()}")
