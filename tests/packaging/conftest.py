"""The wheel, and environments in which only it and the libraries it requires are found. Their tests run in one worker.

The libraries are links to those of the developers' environment, whose modules are compiled: an installation spends most of
its time on compiling again. Which libraries there are is what the metadata requires, as for an installer; the long tests
compare it with a real installation.
"""

import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    def distributions(self) -> set[str]:
        """The names of the installed distributions, with their versions."""
        return {path.stem.lower() for path in self.packages.glob("*.dist-info")}

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
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel is unpacked."""
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture(scope="session")
def core(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment as after ``pip install stepkeep``."""
    return link(unpacked, tmp_path_factory.mktemp("core"), "stepkeep")


@pytest.fixture(scope="session")
def served(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment as after ``pip install 'stepkeep[server]'``."""
    return link(unpacked, tmp_path_factory.mktemp("served"), "stepkeep[server]")


def link(unpacked: Path, folder: Path, *requirements: str) -> Environment:
    """Return a new environment with links to the unpacked wheel and to each library that these require."""
    environment = Environment(folder / "venv")
    venv.create(environment.folder, symlinks=True)
    for found in _required(unpacked, *requirements):
        for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (environment.packages / name).symlink_to(str(found.locate_file(name)))
        for script in found.entry_points.select(group="console_scripts", name="stepkeep"):
            program = environment.bin / script.name
            program.write_text(
                f"#!{environment.bin}/python\nfrom {script.module} import {script.attr}\n{script.attr}()\n"
            )
            program.chmod(0o755)
    return environment


def _required(unpacked: Path, *requirements: str) -> Iterable[Distribution]:
    """Return the distributions that an installer would choose, of the unpacked wheel and the developers' environment."""
    required = list(map(Requirement, requirements))
    chosen: dict[str, Distribution] = {}
    met: set[tuple[str, str]] = set()
    while required:
        one = required.pop()
        name = canonicalize_name(one.name)
        chosen[name] = chosen.get(name) or _found(name, unpacked)
        assert one.specifier.contains(chosen[name].version), one
        for extra in {"", *one.extras} - {extra for met_name, extra in met if met_name == name}:
            met.add((name, extra))
            needed = map(Requirement, chosen[name].requires or ())
            required += [each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})]
    return chosen.values()


def _found(name: str, unpacked: Path) -> Distribution:
    return next(iter(importlib.metadata.distributions(name=name, path=[str(unpacked), *sys.path])))


def install(requirement: str, folder: Path) -> Environment:
    """Return a new environment in which this is installed, with the versions of the developers' lock file.

    uv takes a tenth of pip's time. It does not read pip's configuration, so pip says where the packages are.
    """
    environment = Environment(folder / "venv")
    versions = folder / "versions.txt"
    locked = (ROOT / "requirements" / "dev.txt").read_text()
    versions.write_text("".join(f"{line}\n" for line in re.findall(r"^[a-z].*?==.*?(?= \\$)", locked, re.MULTILINE)))
    _run("uv", "venv", "--quiet", "--python", sys.executable, str(environment.folder), cwd=folder)
    options = ("--quiet", "--python", str(environment.bin / "python"), "--constraint", str(versions))
    _run("uv", "pip", "install", *options, *_index_options(), requirement, cwd=folder)
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
