"""The walks of the instruments reach every rule of the originals, which are written without the program."""

import ast

import pytest

from app.survey import check_survey
from tests.instruments.oracle import FOLDER, NAMES, original
from tests.instruments.serving import TODAY
from tests.instruments.walks import covering_walks, goals

pytestmark = pytest.mark.xdist_group("instruments")  # one worker searches for the walks


@pytest.mark.parametrize("name", NAMES)
def test_walks_reach_every_rule_of_the_original(name: str) -> None:
    """Every item is shown and hidden, every rule and value takes each side, every answer is given, every end is reached."""
    reached = {goal for walk in covering_walks(name, TODAY) for goal in walk.goals}
    assert sorted(goals(original(name)) - reached) == []


@pytest.mark.parametrize("name", NAMES)
def test_original_is_written_without_the_program(name: str) -> None:
    tree = ast.parse((FOLDER / name / "original.py").read_text(encoding="utf-8"))
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [
        module for module in imported if module.startswith(("app", "tests.")) and module != "tests.instruments.oracle"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_conversion_is_checked_without_a_finding(name: str) -> None:
    file = FOLDER / name / "survey.yaml"
    survey, findings = check_survey(file.read_text(encoding="utf-8"), str(file), lambda _: [])
    assert survey is not None
    assert survey.id == name
    assert list(findings) == []


@pytest.mark.parametrize("name", NAMES)
def test_instrument_has_its_source_and_licence(name: str) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = readme.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    for heading in ("Source", "Licence", "Own words", "Shows", "Lost"):
        assert f"\n- {heading}: " in section, heading
