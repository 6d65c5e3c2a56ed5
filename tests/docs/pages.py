"""Reading documents: code blocks, tables, and examples in JSON that leave fields out."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, SURVEYS
from tests.forked import run_module

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
"""All documents."""

GAP = "..."
"""In an example: further fields of an object, or any text."""


@dataclass(kw_only=True)
class Table:
    """One table, its cells as they are written."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def tables(page: str) -> list[Table]:
    """Return the tables in order."""
    parsed = []
    for lines in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        header, _, *rows = [_cells(line) for line in lines.splitlines()]
        parsed.append(Table(header=header, rows=rows))
    return parsed


def first_column(page: str, heading: str) -> set[str]:
    """Return the first cells, without backticks, of the tables whose first column has this heading."""
    return {row[0].strip("`") for table in tables(page) if table.header[0] == heading for row in table.rows}


def unquoted(cell: str) -> str:
    """Return what stands in a cell between backticks."""
    assert re.fullmatch(r"`[^`]+`", cell), cell
    return cell[1:-1]


def with_gaps(text: str) -> Any:
    """Return the value of JSON in which ``...`` stands for fields that are left out."""
    return json.loads(re.sub(r"(?<=[{,])\.\.\.(?=[,}])", f'"{GAP}":0', text))


def matches(expected: Any, value: Any) -> bool:
    """Return whether a value is what an example shows; an object with a gap may have further fields."""
    if isinstance(expected, Mapping) and isinstance(value, Mapping):
        shown = {name: item for name, item in expected.items() if name != GAP}
        if GAP not in expected and shown.keys() != value.keys():
            return False
        return all(name in value and matches(item, value[name]) for name, item in shown.items())
    if isinstance(expected, list) and isinstance(value, list):
        return len(expected) == len(value) and all(map(matches, expected, value))
    return expected in {GAP, value} if isinstance(value, str) else bool(expected == value)


def _cells(line: str) -> tuple[str, ...]:
    cells = re.split(r"(?<!\\)\|", line.strip("|"))
    return tuple(cell.strip().replace("\\|", "|") for cell in cells)


def in_clone(example: str) -> str:
    """Return a Python example of the wheel with the clone's imports, as docs/python.md describes them."""
    example = re.sub(
        r"^from stepkeep import get_database\b", "from database import get_database", example, flags=re.MULTILINE
    )
    return re.sub(r"^(from|import) stepkeep\b", r"\1 app", example, flags=re.MULTILINE)


def run_python(example: str, folder: Path) -> str:
    """Return what an example prints in the clone, run in a folder with the shipped surveys."""
    environment = {"PYTHONPATH": str(ROOT), "STEPKEEP_SURVEYS_DIR": str(SURVEYS)}
    done = run_module(["-c", in_clone(example)], environment, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return what may stand behind ``#`` in a link to a page, as GitHub derives it from the headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return frozenset(map(anchor_of, headings))


def anchor_of(heading: str) -> str:
    """Return what stands behind ``#`` in a link to a heading, which may begin with its own ``#``."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower()).replace(" ", "-")


def dead_links(page: Path) -> list[str]:
    """Return a page's links that lead to no file or no heading; those to other hosts are not checked."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not link.startswith("https://") and not (target.exists() and (not anchor or anchor in anchors(target))):
            dead.append(link)
    return dead


def checkout(folder: Path) -> Path:
    """Return a folder that looks like a clone after ``make run``, for commands as the documents print them."""
    for path in ROOT.iterdir():
        if path.suffix != ".db" and path.name not in {".git", ".venv"}:
            (folder / path.name).symlink_to(path)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run_shell(script: str, folder: Path, **environment: str) -> str:
    """Return what a script prints; each of its commands has to succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout
