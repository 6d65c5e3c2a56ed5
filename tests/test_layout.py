"""The layout rules of docs/architecture.md."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import ROOT

APP = ROOT / "app"
MAX_LINES = 400

MODULES_ARE_THE_API = {"core", "observability", "serve"}
"""Packages of independent mechanisms, imported module by module: importing one must not import the others."""

PACKAGES_OF_PACKAGES = {"operations"}
"""Each package in them has a face of its own."""


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def package_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(ROOT).parent.parts


def imports(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the line and the absolute module path of each relative import."""
    package = package_of(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            parent = package[: len(package) - node.level + 1]
            yield node.lineno, parent + tuple((node.module or "").split(".") if node.module else ())


def test_packages_import_each_other_by_their_faces() -> None:
    """A face is a package's ``__init__.py``; modules inside one top-level package may import each other's modules."""
    wrong = []
    for path in sources(APP):
        own = package_of(path)
        for line, module in imports(path):
            is_other_package = len(module) > 1 and (APP / module[1]).is_dir() and own[1:2] != module[1:2]
            if is_other_package and module[1] not in MODULES_ARE_THE_API and not ROOT.joinpath(*module).is_dir():
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {'.'.join(module)}")
    assert not wrong, "\n".join(wrong)


def packages() -> Iterator[str]:
    for face in sorted(APP.glob("*/__init__.py")):
        if face.parent.name in PACKAGES_OF_PACKAGES:
            yield from (str(inner.parent.relative_to(APP)) for inner in sorted(face.parent.glob("*/__init__.py")))
        elif face.parent.name not in MODULES_ARE_THE_API:
            yield face.parent.name


@pytest.mark.parametrize("package", list(packages()))
def test_package_has_a_face_without_logic(package: str) -> None:
    tree = ast.parse((APP / package / "__init__.py").read_text(encoding="utf-8"))
    assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    assert ast.get_docstring(tree)
    assert "__all__" in {target.id for target in assigned if isinstance(target, ast.Name)}
    assert not [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


API_MODULES = ("", "aio", "database", "errors", "flask", "testing")
"""Beside the packages, what programs import: app itself and these modules."""


@pytest.mark.parametrize("module", [*API_MODULES, *packages()])
def test_public_functions_and_classes_have_docstrings(module: str) -> None:
    face = import_module(".".join(filter(None, ("app", *Path(module).parts))))
    public = getattr(face, "__all__", [name for name in vars(face) if not name.startswith("_")])
    members = {name: getattr(face, name) for name in public}
    wrong = [
        name
        for name, member in members.items()
        if (inspect.isfunction(member) or inspect.isclass(member))
        and member.__module__.startswith("app.")
        and (not member.__doc__ or member.__doc__.startswith(f"{name}("))  # as a dataclass without its own
    ]
    assert not wrong


def scripts() -> list[Path]:
    """Return the pages' own scripts, as they are before they are bundled."""
    static, others = APP / "web" / "static", {"bundle", "vendor"}
    return sorted(path for path in static.rglob("*.js") if others.isdisjoint(path.relative_to(static).parts))


@pytest.mark.parametrize("paths", [sources(APP), sources(ROOT / "tests"), scripts()], ids=["app", "tests", "scripts"])
def test_no_module_is_too_long(paths: list[Path]) -> None:
    assert paths
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert not {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > MAX_LINES}


COMMANDS_OF_A_CLONE = re.compile(
    r"(?<!`)`flask |^ +(\w+=\S+ )?flask |\balembic (upgrade|downgrade|stamp|-x)|`pip install", re.MULTILINE
)
NAMES_COMMANDS = {APP / "core" / "installation.py", APP / "store" / "migrations.py"}


def test_messages_name_commands_by_the_constants_of_their_installation() -> None:
    """Else those of the wheel would name commands that it does not have. In help texts, ``%(prog)s`` stands for them."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in set(sources(APP)) - NAMES_COMMANDS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and COMMANDS_OF_A_CLONE.search(str(node.value))
    ]
    assert not wrong, "\n".join(wrong)
