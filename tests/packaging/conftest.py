"""The wheel, and environments in which only it is installed. All tests that use them run in one worker.

uv makes an environment in two seconds, a tenth of pip's time. It does not read pip's configuration, so pip says where the
packages are, and the lock file says which versions.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import public_environment
from tests.conftest import ROOT

INSTALL_S = 300


@dataclass(frozen=True)
class Environment:
    """A virtual environment without this repository."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def packages(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def run(self, program: str, *arguments: str, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run one of its programs in a folder, with no variables but these."""
        return subprocess.run(
            [str(self.bin / program), *arguments],
            cwd=cwd,
            env={"PATH": f"{self.bin}:{os.environ['PATH']}", **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_S,
        )

    def does(self, program: str, *arguments: str, cwd: Path, **variables: str) -> str:
        """Return the output of a program that must succeed."""
        done = self.run(program, *arguments, cwd=cwd, **variables)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    _run("hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment after ``pip install stepkeep``."""
    return install(str(wheel), tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="session")
def served(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment after ``pip install 'stepkeep[server]'``."""
    return install(f"{wheel}[server]", tmp_path_factory.mktemp("served"))


def install(requirement: str, folder: Path, *more: str) -> Environment:
    """Return a new environment in which these are installed, with the versions of the developers' lock file."""
    environment = Environment(folder / "venv")
    versions = folder / "versions.txt"
    locked = (ROOT / "requirements" / "dev.txt").read_text()
    versions.write_text("".join(f"{line}\n" for line in re.findall(r"^[a-z].*?==.*?(?= \\$)", locked, re.MULTILINE)))
    _run("uv", "venv", "--quiet", "--python", sys.executable, str(environment.folder), cwd=folder)
    options = ("--quiet", "--python", str(environment.bin / "python"), "--constraint", str(versions))
    _run("uv", "pip", "install", *options, *_index_options(), requirement, *more, cwd=folder)
    return environment


def _index_options() -> list[str]:
    """Return uv's options for the indexes of pip's configuration."""
    lines = _run("pip", "config", "list", cwd=ROOT).splitlines()
    values = {
        name.rpartition(".")[2]: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines)
    }
    options = ["--index-strategy", "unsafe-best-match"]  # as pip
    for name, option in {
        "index-url": "--index-url",
        "extra-index-url": "--extra-index-url",
        "find-links": "--find-links",
    }.items():
        for url in values.get(name, "").split():
            options += [option, url]
    return options


def _run(module: str, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=public_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_S,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
