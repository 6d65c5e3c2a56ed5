"""docs/security.md and docs/security/asvs.md: their tables are complete, and the tests that they name exist."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from app.core.formats import STEP_ID
from tests.conftest import ROOT

SECURITY = ROOT / "docs" / "security.md"
ASVS = ROOT / "docs" / "security" / "asvs.md"

SECTIONS = {
    1: {1: 2, 2: 9, 3: 11, 4: 3, 5: 2},
    2: {1: 3, 2: 3, 3: 4, 4: 1},
    3: {2: 2, 3: 4, 4: 6, 5: 5, 7: 2},
    4: {1: 3, 2: 1, 3: 2, 4: 4},
    5: {1: 1, 2: 3, 3: 2, 4: 3},
    6: {1: 3, 2: 12, 3: 4, 4: 4, 5: 5, 6: 3, 8: 4},
    7: {1: 3, 2: 4, 3: 2, 4: 5, 5: 2, 6: 2},
    8: {1: 2, 2: 3, 3: 1, 4: 1},
    9: {1: 3, 2: 4},
    10: {1: 2, 2: 2, 3: 4, 4: 11, 5: 5, 6: 2, 7: 3},
    11: {1: 2, 2: 3, 3: 3, 4: 4, 5: 1, 6: 1},
    12: {1: 3, 2: 2, 3: 4},
    13: {1: 1, 2: 5, 3: 2, 4: 5},
    14: {1: 2, 2: 4, 3: 3},
    15: {1: 3, 2: 3, 3: 7},
    16: {1: 1, 2: 5, 3: 4, 4: 3, 5: 3},
    17: {1: 1, 2: 4, 3: 2},
}
"""Number of ASVS 5.0.0 requirements of levels 1 and 2, which are the first ones of each section, by chapter and section."""

LEVELS = {"1": 70, "2": 183}
API_RISKS = [f"API{number}:2023" for number in range(1, 11)]

NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
TEST_LIST = re.compile(r"`tests/[\w/]+\.py::test_\w+`(, `tests/[\w/]+\.py::test_\w+`)*")
REASON = re.compile(r"(not applicable|not met): \w.*")
ABOUT_DOCUMENTS = "tests/docs/test_security.py::test_rows_about_documentation_link_to_a_section"

DANGEROUS_CALLS = frozenset(
    "eval exec compile __import__ os.system os.popen os.fork os.execv os.execve os.spawnv os.posix_spawn".split()  # noqa: SIM905 - eleven names, not eleven quotes
)
EXCLUDED = frozenset(
    """pickle marshal shelve dill cloudpickle xml lxml ldap ldap3 smtplib imaplib poplib ftplib telnetlib subprocess
    requests httpx aiohttp urllib3 http.client http.server urllib.request xmlrpc jwt saml authlib oauthlib""".split()  # noqa: SIM905 - as above
)
SENDS_WEBHOOKS = ("app/operations/webhooks/http.py", "urllib3.")
"""The only module that sends HTTP requests, to addresses that ``url_policy.py`` has checked."""

CHECKS_RELEASE = ("app/serve/gunicorn_config.py", "subprocess.")
"""A reload runs ``app.serve --check`` of the installed release."""

DEMO = {
    "app/testing.py",
    *(path.relative_to(ROOT).as_posix() for path in (ROOT / "app/operations/demo").glob("*.py")),
}
"""Modules of `flask demo fill` and of integrators' tests, which generate participants from a seed."""

PAGE_SCRIPTS = sorted(
    path
    for path in (ROOT / "app" / "web" / "static").rglob("*.js")
    if not {"bundle", "vendor"} & {*path.relative_to(ROOT).parts}
)


class Row(NamedTuple):
    """A table row with an id in its first cell."""

    id: str
    cells: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The tests that verify the row, or the reason why there are none."""
        return self.cells[-1]


def rows(path: Path, first: str) -> list[Row]:
    """Return the rows whose first cell matches a pattern."""
    matching = []
    for line in path.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(first, cells[0]):
            matching.append(Row(cells[0], tuple(cells[1:])))
    return matching


ASVS_ROWS = rows(ASVS, r"V\d+\.\d+\.\d+")
API_ROWS = rows(SECURITY, r"API\d+:2023")


@cache
def function_names(path: str) -> frozenset[str]:
    """Return the names of the functions in a file; none if it does not exist."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    return frozenset(node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef))


SOURCES = pytest.mark.xdist_group("sources of the program")
"""Tests that read all sources, in one worker."""


@cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    """Return the application's parsed Python files with their paths."""
    files = [*(ROOT / "app").rglob("*.py"), ROOT / "wsgi.py", ROOT / "gunicorn.conf.py", ROOT / "database.py"]
    return tuple((path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())) for path in sorted(files))


@cache
def calls() -> tuple[tuple[str, str], ...]:
    """Return the path and the function expression of each call in the application."""
    nodes = ((path, node) for path, tree in sources() for node in ast.walk(tree))
    return tuple((path, ast.unparse(node.func)) for path, node in nodes if isinstance(node, ast.Call))


def imports() -> Iterator[tuple[str, str]]:
    """Yield the path and the full name of each absolute import in the application."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_requirement_has_one_row_in_order() -> None:
    """The tables have each requirement of levels 1 and 2 exactly once."""
    expected = [
        f"V{chapter}.{section}.{number}"
        for chapter, sections in SECTIONS.items()
        for section, count in sections.items()
        for number in range(1, count + 1)
    ]
    assert [row.id for row in ASVS_ROWS] == expected
    assert Counter(row.cells[0] for row in ASVS_ROWS) == LEVELS
    assert [row.id for row in API_ROWS] == API_RISKS


def test_every_row_has_a_test_or_a_reason() -> None:
    """Each row names a test, or says why it does not apply or is not met."""
    unclear = [
        row.id for row in ASVS_ROWS + API_ROWS if not (TEST_LIST.fullmatch(row.verdict) or REASON.match(row.verdict))
    ]
    assert not unclear


def test_every_named_test_exists() -> None:
    """Each test that the pages name is a function in its file."""
    named = {match for page in (SECURITY, ASVS) for match in NAMED_TEST.findall(page.read_text())}
    missing = sorted(f"{path}::{name}" for path, name in named if name not in function_names(path))
    assert not missing, "missing:\n" + "\n".join(missing)


def test_counts_in_the_introduction_match_the_table() -> None:
    """The introduction counts the rows with tests, without, and not applicable correctly."""
    head = " ".join(ASVS.read_text().partition("\n## ")[0].split())
    reasons = [REASON.match(row.verdict) for row in ASVS_ROWS]
    kinds = Counter("test" if reason is None else reason[1] for reason in reasons)
    counts = f"{kinds['test']} have a test, {kinds['not applicable']} don't apply, {kinds['not met']} are not met"
    assert f"{len(ASVS_ROWS)} requirements" in head
    assert counts in head


def test_rows_about_documentation_link_to_a_section() -> None:
    """Each requirement of documentation links to a section of the security page."""
    about_documents = [row for row in ASVS_ROWS if ABOUT_DOCUMENTS in row.verdict]
    assert about_documents
    assert not [row.id for row in about_documents if "](../security.md#" not in row.cells[2]]


@SOURCES
def test_app_neither_evaluates_code_nor_starts_programs() -> None:
    """Only processes that replace themselves: by gunicorn, a new release or the preview of a file. No eval, no shell."""
    replacing = {
        ("app/serve/server.py", "os.execv"),
        ("app/serve/gunicorn_config.py", "os.execve"),
        ("app/cli/surveys.py", "os.execve"),
    }
    assert {call for call in calls() if call[1] in DANGEROUS_CALLS} == replacing


@SOURCES
def test_app_imports_no_excluded_module() -> None:
    """There is no pickle, XML, LDAP, mail or OAuth; only webhooks send HTTP requests, only a reload starts a program."""
    prefixes = tuple(f"{name}." for name in EXCLUDED)
    excluded = [(path, name) for path, name in imports() if f"{name}.".startswith(prefixes)]
    assert {(path, f"{name.split('.')[0]}.") for path, name in excluded} == {SENDS_WEBHOOKS, CHECKS_RELEASE}


@SOURCES
def test_app_logs_only_to_standard_error() -> None:
    """No handler writes to a file, a socket or mail."""
    handlers = [(path, name) for path, name in calls() if name.endswith(("Handler", "basicConfig", "dictConfig"))]
    assert not [handler for handler in handlers if not handler[1].endswith("StreamHandler")]
    assert not [name for _, name in imports() if name.startswith("logging.handlers")]


@SOURCES
def test_hashes_and_random_numbers_are_strong() -> None:
    """SHA-256 and BLAKE2b are the only hashes; ``random`` is only used for jitter, demo data and tests."""
    attributes = [node for _, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    of_modules = [(node.value.id, node.attr) for node in attributes if isinstance(node.value, ast.Name)]
    assert {name for module, name in of_modules if module == "hashlib"} == {"sha256", "blake2b"}
    assert not [name for _, name in imports() if name.startswith("hashlib.")]
    assert {path for path, name in imports() if name.split(".")[0] == "random"} <= {"app/core/jitter.py"} | DEMO
    weak = re.compile(r"\b(md5|sha1|ECB|CBC|PKCS1v15|uuid1|uuid3)\b")
    named = [(path, tree) for path, tree in sources() if weak.search((ROOT / path).read_text())]
    assert not [path for path, tree in named if weak.search(ast.unparse(tree))]  # not in a comment


def test_scripts_insert_text_only_as_text() -> None:
    """No script creates HTML or code from text, or receives messages from other windows.

    In a frame, embed.js takes over a page of this server's own templates, and sends its height to the sites that may
    show it: to no other (``*``).
    """
    unsafe = re.compile(
        r"\.(innerHTML|outerHTML|srcdoc)\b|insertAdjacentHTML|document\.write|\beval\(|new Function|javascript:"
    )
    assert PAGE_SCRIPTS
    assert not [script.name for script in PAGE_SCRIPTS if unsafe.search(script.read_text())]
    between_windows = re.compile(r"postMessage\(|addEventListener\(.message|onmessage|parseFromString\(.*text/html")
    found = {(each.name, line) for each in PAGE_SCRIPTS for line in between_windows.findall(each.read_text())}
    sockets = {
        ("connection.js", 'addEventListener("message'),
        ("reference.js", "onmessage"),
        ("ws.js", 'addEventListener("message'),
    }
    assert {(name, line.partition("(")[0]) for name, line in found - sockets} == {
        ("embed.js", "postMessage"),
        ("embed.js", "parseFromString"),
        ("rich-text.js", "parseFromString"),  # it copies known elements only: tests/browser/test_rich_text.py
    }
    (embed,) = (script.read_text() for script in PAGE_SCRIPTS if script.name == "embed.js")
    assert "parent.postMessage(message, origin)" in embed


def test_templates_escape_everything() -> None:
    """No template disables escaping, and none is created from text at run time.

    A survey's Markdown is HTML that the server's own renderer has escaped (tests/survey/test_markdown.py).
    """
    templates = sorted(path for path in (ROOT / "app" / "web" / "templates").rglob("*") if path.is_file())
    assert templates
    assert {template.suffix for template in templates} == {".html"}  # for which Flask escapes
    off = re.compile(
        r"\|\s*safe\b|autoescape\s+false|<script(?![^>]*\b(?:src=|type=.application/json.))|\son\w+=|<style|\sstyle="
    )
    standalone = ROOT / "app/web/templates/report/report.html"  # a self-contained file with its styles and a policy
    assert {template for template in templates if off.search(template.read_text())} == {standalone}
    assert "<script" not in standalone.read_text()
    unsafe = {"Markup", "render_template_string", "from_string"}
    unescaped = {call for call in calls() if call[1].rpartition(".")[2] in unsafe}
    assert unescaped == {("app/web/pages/survey.py", "Markup")}


def test_step_can_not_be_named_like_the_javascript_prototype() -> None:
    """Scripts index answers by step, so ``__proto__`` must be invalid (prototype pollution)."""
    assert re.match(STEP_ID, "S1")
    assert not re.match(STEP_ID, "__proto__")


def test_dependencies_are_pinned_with_hashes() -> None:
    """Each line of the lock files has an exact version and hashes."""
    for file in (ROOT / "requirements").glob("*.txt"):
        text = re.sub(r"^ *#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        loose = [line for line in text.splitlines() if line and not re.match(r"[^=;]+==\S+ .*--hash=sha256:", line)]
        assert not loose, file.name
