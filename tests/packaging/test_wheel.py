"""``pip install stepkeep`` in an empty environment: what it puts there, and the Python API without a clone."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, SURVEYS
from tests.docs.pages import blocks
from tests.packaging.conftest import Environment, install

pytestmark = pytest.mark.xdist_group("wheel")

EXTRAS = ("client", "export", "mysql", "postgresql", "redis", "server", "tracing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has modules with the names of the clone's."""
    for name in ("app", "database", "wsgi"):
        (tmp_path / f"{name}.py").write_text('raise AssertionError("the program\'s own module was imported")\n')
    return tmp_path


def test_wheel_has_one_name_at_its_top_level(wheel: Path) -> None:
    """Other packages' ``app`` and ``database`` are theirs."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"stepkeep"}
    assert {"stepkeep/py.typed", "stepkeep/migrations/env.py", "stepkeep/surveys/phq9.yaml"} <= set(names)


def test_wheel_has_each_file_of_the_package_and_no_other(wheel: Path) -> None:
    """Templates, static files and revisions too; no cache, and no database of a developer."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("stepkeep/")}
    expected = {
        f"{target}/{path.relative_to(ROOT / source)}"
        for source, target in (
            ("app", "stepkeep"),
            ("alembic/versions", "stepkeep/migrations/versions"),
            ("surveys", "stepkeep/surveys"),
        )
        for path in (ROOT / source).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names == expected | {"stepkeep/migrations/env.py"}


def test_python_example_of_the_readme_runs_with_only_the_core(core: Environment, folder: Path) -> None:
    """In a folder with an ``app.py`` of its own, on a new SQLite file."""
    simple, *_ = blocks((ROOT / "README.md").read_text(), "python")
    assert core.does("python", "-c", simple, cwd=folder) == "{'S1': 'Option A'}\n"
    assert (folder / "survey_sessions.db").exists()


def test_examples_of_the_python_page_run_with_only_the_core(core: Environment, folder: Path) -> None:
    """Those without a server: the simple API, its errors, and many commands in one call."""
    examples = blocks((ROOT / "docs" / "python.md").read_text(), "python")
    without_server = [example for example in examples if "SurveyClient" not in example]
    assert len(without_server) >= 4
    printed = core.does("python", "-c", "\n".join(without_server), cwd=folder, STEPKEEP_SURVEYS_DIR=str(SURVEYS))
    assert "\nanswers.when: " in printed
    assert "\n{2}\n" in printed


def test_core_has_no_library_of_an_extra(core: Environment) -> None:
    """A light installation: neither a web server nor a driver, and no NumPy."""
    installed = {name.split("-")[0] for name in core.distributions}
    assert "stepkeep" in installed
    assert installed.isdisjoint({"flask", "gunicorn", "numpy", "psycopg", "pymysql", "redis", "urllib3", "websockets"})


@pytest.mark.long
@pytest.mark.parametrize("extra", ["", "[server]"])
def test_installer_chooses_the_same_libraries(
    wheel: Path, core: Environment, served: Environment, tmp_path: Path, extra: str
) -> None:
    """As the metadata requires; and the command that it writes runs."""
    installed = install(f"{wheel}{extra}", tmp_path)
    assert installed.distributions == (served if extra else core).distributions
    assert installed.does("stepkeep", "db", "upgrade", cwd=tmp_path).startswith("The schema is at revision ")


MISSING = """
import os, traceback

PROGRAMS = {
    "postgresql": "from stepkeep import get_database; get_database()",
    "mysql": "from stepkeep import get_database; get_database()",
    "client": "from stepkeep.client import SurveyClient",
    "server": "from stepkeep.web import create_app",
    "redis": "from stepkeep import open_store, read_settings; open_store(read_settings()).start_background()",
}
for extra, program in PROGRAMS.items():
    os.environ["DATABASE_URL"] = f"{extra}://u:geheim@127.0.0.1/x" if extra in {"postgresql", "mysql"} else ""
    os.environ["REDIS_URL"] = "redis://127.0.0.1:1/0" if extra == "redis" else ""
    try:
        exec(program)
    except Exception as error:
        print(extra, error)
"""


def test_errors_name_the_extra_to_install(core: Environment, folder: Path) -> None:
    """With the command, and without the password of the database."""
    lines = core.does("python", "-c", MISSING, cwd=folder).splitlines()
    assert len(lines) == 5
    for line in lines:
        extra = line.split()[0]
        assert f"`pip install 'stepkeep[{extra}]'`" in line
        assert "geheim" not in line


@pytest.mark.long
def test_types_of_the_wheel_find_a_misspelt_key(core: Environment, tmp_path: Path) -> None:
    """By ``py.typed`` and the results' types."""
    (tmp_path / "typed.py").write_text(
        'from stepkeep import get_database\n\nsession = get_database().load_session("ada")\nassert session\n'
        'print(session["curent_step"])\n'
    )
    command = [sys.executable, "-m", "mypy", "--python-executable", str(core.bin / "python"), "typed.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 'Did you mean "current_step"?' in done.stdout
    assert "Found 1 error" in done.stdout


def test_metadata_names_every_extra(wheel: Path) -> None:
    """And the Python versions, the licence and the README."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    metadata = archive.read(name).decode()
    assert set(re.findall(r"^Provides-Extra: (.+)$", metadata, re.MULTILINE)) >= set(EXTRAS)
    assert "License-Expression: MIT" in metadata
