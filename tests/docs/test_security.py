"""docs/security.md and docs/security/asvs.md say what is so: their tables are whole, and their tests are there."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
"""ASVS 5.0.0's requirements of levels 1 and 2 by chapter and section. In each section they come first, in order."""

LEVELS = {"1": 70, "2": 183}
API_RISKS = [f"API{number}:2023" for number in range(1, 11)]

NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SHOWN = re.compile(r"`tests/[\w/]+\.py::test_\w+`(, `tests/[\w/]+\.py::test_\w+`)*")
REASON = re.compile(r"(not applicable|not met): \w.*")
ABOUT_DOCUMENTS = "tests/docs/test_security.py::test_rows_about_documents_lead_to_a_section"

DANGEROUS_CALLS = frozenset(
    "eval exec compile __import__ os.system os.popen os.fork os.execv os.execve os.spawnv os.posix_spawn".split()  # noqa: SIM905 - eleven names, not eleven quotes
)
RULED_OUT = frozenset(
    """pickle marshal shelve dill cloudpickle xml lxml ldap ldap3 smtplib imaplib poplib ftplib telnetlib subprocess
    requests httpx aiohttp urllib3 http.client http.server urllib.request xmlrpc jwt saml authlib oauthlib""".split()  # noqa: SIM905 - as above
)
SENDS_WEBHOOKS = ("app/operations/webhooks/http.py", "urllib3.")
"""The one module that sends requests, to addresses that ``addresses.py`` looked at."""

SIMULATES = frozenset(path.relative_to(ROOT).as_posix() for path in (ROOT / "app/operations/demo").glob("*.py"))
"""Modules that make up people for `flask demo fill`, the same ones again by their seed."""

JITTER = frozenset(
    {
        "app/notifications/subscriber.py",
        "app/writer/pending.py",
        "app/client/timeouts.py",
        "app/operations/webhooks/worker.py",
    }
)
"""Modules that wait a random time; no other but those may use ``random``."""

PAGE_SCRIPTS = sorted(
    path for path in (ROOT / "app" / "web" / "static").rglob("*.js") if "vendor" not in path.relative_to(ROOT).parts
)


class Row(NamedTuple):
    """One line of a table that has an id in its first cell."""

    id: str
    cells: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The tests that show it, or the reason why none does."""
        return self.cells[-1]


def rows(path: Path, first: str) -> list[Row]:
    """Return the rows whose first cell is an id of this form."""
    found = []
    for line in path.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(first, cells[0]):
            found.append(Row(cells[0], tuple(cells[1:])))
    return found


ASVS_ROWS = rows(ASVS, r"V\d+\.\d+\.\d+")
API_ROWS = rows(SECURITY, r"API\d+:2023")


@cache
def functions_of(path: str) -> frozenset[str]:
    """Return the names of a test file's functions; none where there is no such file."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    return frozenset(node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef))


@cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    """Return the application's Python, parsed, by path."""
    files = [*(ROOT / "app").rglob("*.py"), ROOT / "wsgi.py", ROOT / "gunicorn.conf.py", ROOT / "database.py"]
    return tuple((path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())) for path in sorted(files))


def calls() -> Iterator[tuple[str, str]]:
    """Give the path and the name, as written, of each call in the application."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield path, ast.unparse(node.func)


def imports() -> Iterator[tuple[str, str]]:
    """Yield the path and the full name of each module and name that the application imports from elsewhere."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_requirement_has_one_row_in_order() -> None:
    """No requirement of level 1 or 2 is left out, doubled or invented."""
    wanted = [
        f"V{chapter}.{section}.{number}"
        for chapter, sections in SECTIONS.items()
        for section, count in sections.items()
        for number in range(1, count + 1)
    ]
    assert [row.id for row in ASVS_ROWS] == wanted
    assert Counter(row.cells[0] for row in ASVS_ROWS) == LEVELS
    assert [row.id for row in API_ROWS] == API_RISKS


def test_every_row_has_a_test_or_a_reason() -> None:
    """Nothing is claimed without a test, and nothing left open without saying why."""
    unclear = [
        row.id for row in ASVS_ROWS + API_ROWS if not (SHOWN.fullmatch(row.verdict) or REASON.match(row.verdict))
    ]
    assert not unclear


def test_every_named_test_is_there() -> None:
    """Each test that the pages name is a function of its file."""
    named = {match for page in (SECURITY, ASVS) for match in NAMED_TEST.findall(page.read_text())}
    missing = sorted(f"{path}::{name}" for path, name in named if name not in functions_of(path))
    assert not missing, "not there:\n" + "\n".join(missing)


def test_the_pages_count_their_rows_right() -> None:
    """What the first lines say of the table is so."""
    head = " ".join(ASVS.read_text().partition("\n## ")[0].split())
    reasons = [REASON.match(row.verdict) for row in ASVS_ROWS]
    kinds = Counter("test" if reason is None else reason[1] for reason in reasons)
    counts = f"{kinds['test']} have a test, {kinds['not applicable']} don't apply, {kinds['not met']} are not met"
    assert f"{len(ASVS_ROWS)} requirements" in head
    assert counts in head


def test_rows_about_documents_lead_to_a_section() -> None:
    """What is asked to be documented is a section of the security page."""
    asked = [row for row in ASVS_ROWS if ABOUT_DOCUMENTS in row.verdict]
    assert asked
    assert not [row.id for row in asked if "](../security.md#" not in row.cells[2]]


def test_app_runs_no_text_and_starts_no_program() -> None:
    """The server starts itself alone, by ``make run``; no text becomes code, and no shell is asked."""
    assert {found for found in calls() if found[1] in DANGEROUS_CALLS} == {("app/serve.py", "os.execv")}


def test_app_imports_nothing_that_the_tables_rule_out() -> None:
    """No pickle, XML, LDAP, mail, OAuth; no HTTP requests but webhooks', no programs but the databases' own."""
    prefixes = tuple(f"{name}." for name in RULED_OUT)
    found = [(path, name) for path, name in imports() if f"{name}.".startswith(prefixes)]
    assert {(path, f"{name.split('.')[0]}.") for path, name in found} == {SENDS_WEBHOOKS}


def test_app_logs_to_nowhere_but_standard_error() -> None:
    """No handler writes to a file, a socket or mail."""
    written = [(path, name) for path, name in calls() if name.endswith(("Handler", "basicConfig", "dictConfig"))]
    assert not [found for found in written if not found[1].endswith("StreamHandler")]
    assert not [found for found in imports() if found[1].startswith("logging.handlers")]


def test_hashes_and_random_numbers_are_strong() -> None:
    """SHA-256 and BLAKE2b are the only hashes, and ``random`` makes nothing but waits and demo data."""
    written = [node for _, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert {node.attr for node in written if ast.unparse(node.value) == "hashlib"} == {"sha256", "blake2b"}
    assert not [found for found in imports() if found[1].startswith("hashlib.")]
    assert {path for path, name in imports() if name.split(".")[0] == "random"} <= JITTER | SIMULATES
    weak = re.compile(r"\b(md5|sha1|ECB|CBC|PKCS1v15|uuid1|uuid3)\b")
    assert not [path for path, tree in sources() if weak.search(ast.unparse(tree))]


def test_scripts_put_text_in_as_text() -> None:
    """No script of the page makes HTML or code of text, or listens to other windows."""
    made = re.compile(
        r"\.(innerHTML|outerHTML|srcdoc)\b|insertAdjacentHTML|document\.write|\beval\(|new Function|postMessage|javascript:"
    )
    assert PAGE_SCRIPTS
    assert not [script.name for script in PAGE_SCRIPTS if made.search(script.read_text())]


def test_templates_escape_everything() -> None:
    """No template turns escaping off, and none is made of text at run time."""
    templates = sorted(path for path in (ROOT / "app" / "web" / "templates").rglob("*") if path.is_file())
    assert templates
    assert {template.suffix for template in templates} == {".html"}  # for which Flask escapes
    off = re.compile(r"\|\s*safe\b|autoescape\s+false|<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=")
    in_itself = ROOT / "app/web/templates/report/report.html"  # a file to send, with its styles and a policy in it
    assert {template for template in templates if off.search(template.read_text())} == {in_itself}
    assert "<script" not in in_itself.read_text()
    unsafe = {"Markup", "render_template_string", "from_string"}
    assert not [found for found in calls() if found[1].rpartition(".")[2] in unsafe]


def test_step_can_not_be_called_as_javascript_s_prototype() -> None:
    """Scripts keep answers by step: none may reach what all objects share (prototype pollution)."""
    assert re.match(STEP_ID, "S1")
    assert not re.match(STEP_ID, "__proto__")


def test_dependencies_are_pinned_with_hashes() -> None:
    """Each line of what `make` installs names one version, and the hashes of its files."""
    for file in (ROOT / "requirements").glob("*.txt"):
        text = re.sub(r"^ *#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        loose = [line for line in text.splitlines() if line and not re.match(r"[^=;]+==\S+ .*--hash=sha256:", line)]
        assert not loose, file.name
