"""The browser client as an npm package: packed, installed in an empty project, and used in Node.js and in Chromium."""

import functools
import http.server
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from app import __version__
from app.survey.client_steps import RULES
from app.survey.types import STEP_TYPES
from app.survey.types.choice import Option
from app.survey.types.step import Image
from tests.browser.programs import program
from tests.conftest import ROOT, Server
from tests.docs.pages import blocks

CLIENT = ROOT / "app" / "web" / "static" / "client"
IMPORT = re.compile(r'^(?:import|export)\b[^;"]* from "(\.[^"]+)";', re.MULTILINE)

MEMBERS = """
import { SurveyClient } from "stepkeep-client";
const names = Object.getOwnPropertyNames(SurveyClient.prototype);
console.log(JSON.stringify([names, typeof WebSocket === "function"]));
"""

USAGE = """
import { SurveyClient, type Outcome } from "stepkeep-client";

const client = new SurveyClient({ origin: location.origin, surveyId: "phq9", userId: "p-1", timeouts: { connectAttempts: 1 } });
client.addEventListener("ack", (event) => console.log(event.detail.version.toFixed(), event.detail.step?.prompt));
const outcome: Outcome = await client.answer("Q1", 2);
if (outcome.type === "ack") console.log(outcome.session.answers);
"""
MISSPELT = (
    USAGE.replace("surveyId", "surveyID").replace("detail.version", "detail.versoin").replace("answers", "answer")
)


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def node_command() -> list[str]:
    """Return Node.js's command, with its WebSocket, which versions 20.10 to 21 hide behind an option."""
    node = program("node")
    version = tuple(map(int, run(ROOT, node, "--version").strip("v\n").split(".")))
    return [node, "--experimental-websocket"] if (20, 10) <= version < (22,) else [node]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project with the packed client as its only dependency, installed without a network."""
    folder = tmp_path_factory.mktemp("project")
    npm = [
        program("npm"),
        "--offline",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        f"--cache={folder / 'cache'}",
    ]
    tarball = run(folder, *npm, "pack", "--silent", str(CLIENT)).strip()
    run(folder, *npm, "install", f"./{tarball}")
    return folder


@pytest.fixture
def installed(project: Path) -> Path:
    """The installed package."""
    return project / "node_modules" / "stepkeep-client"


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def origin(project: Path) -> Iterator[str]:
    """Another site's origin, where the project's files are."""
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=os.fspath(project)))
    thread = threading.Thread(target=site.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{site.server_port}"
    site.shutdown()
    thread.join()
    site.server_close()


@pytest.fixture(scope="module")
def allowing(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that allows the other site."""
    server = Server(tmp_path_factory.mktemp("server"), environment={"STEPKEEP_ALLOWED_ORIGINS": origin})
    server.start()
    yield server
    server.stop()


def test_package_has_the_server_s_version_and_licence() -> None:
    manifest = json.loads((CLIENT / "package.json").read_text())
    assert manifest["version"] == __version__
    assert (CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert f"stepkeep-client-{__version__}.tgz" in (ROOT / "docs" / "browser-client.md").read_text()
    assert not manifest.keys() & {"dependencies", "scripts", "devDependencies"}


def test_package_has_exactly_the_modules_that_the_client_imports(installed: Path) -> None:
    """The page's own modules are left out; the licence of each library is beside it."""
    imported, queue = set(), ["client.js"]
    while queue:
        name = queue.pop()
        imported.add(name)
        source = (installed / name).read_text()
        found = {os.path.normpath(os.path.join(os.path.dirname(name), path)) for path in IMPORT.findall(source)}  # noqa: PTH118, PTH120 - a pure path has no normalization
        queue += found - imported
    assert {path.relative_to(installed).as_posix() for path in installed.rglob("*.js")} == imported
    assert all((path / "LICENSE").is_file() for path in (installed / "vendor").iterdir())
    assert all((installed / name).read_bytes() == (CLIENT / name).read_bytes() for name in imported)


def test_class_has_the_members_of_its_types(project: Path) -> None:
    """Node.js, of any version, imports the package by its name; each member is in the types, and the reverse."""
    (project / "members.mjs").write_text(MEMBERS)
    names, _ = json.loads(run(project, program("node"), "members.mjs"))
    declared = (CLIENT / "client.d.ts").read_text().partition("export class SurveyClient")[2]
    typed = set(re.findall(r"^  (?:get )?(\w+)\(", declared, re.MULTILINE)) | set(
        re.findall(r"^  (\w+)<K", declared, re.MULTILINE)
    )
    assert typed - {"addEventListener", "removeEventListener"} == set(names)


def test_types_have_every_field_of_a_step() -> None:
    """As clients get it, of every type; of its options too."""
    declared = (CLIENT / "client.d.ts").read_text()
    for name, models in (("Step", STEP_TYPES.values()), ("Option", (Option,)), ("Image", (Image,))):
        body = declared.partition(f"export interface {name} {{")[2].partition("\n}")[0]
        typed = set(re.findall(r"^  (\w+)\??:", body, re.MULTILINE))
        assert {field for model in models for field in model.model_fields} - RULES.keys() <= typed, name


def test_types_find_misspelt_names(project: Path) -> None:
    """A program in TypeScript is accepted; misspelt options, fields of events and fields of outcomes are not."""
    (project / "usage.mts").write_text(USAGE)
    (project / "misspelt.mts").write_text(MISSPELT)
    options = ["--noEmit", "--strict", "--skipDefaultLibCheck", "--target", "es2022", "--module", "node16"]
    check = [program("tsc"), *options]
    done = subprocess.run(
        [*check, "usage.mts", "misspelt.mts"], cwd=project, capture_output=True, text=True, check=False
    )
    places = re.findall(r"^(\S+)\(\d+,\d+\): error", done.stdout, re.MULTILINE)
    assert places == ["misspelt.mts"] * 3, done.stdout
    assert re.findall(r"'(surveyID|versoin|answer)' does not exist", done.stdout) == ["surveyID", "versoin", "answer"]


def test_example_of_the_package_runs_in_node(project: Path, allowing: Server) -> None:
    """The README's example answers a step with a participant's token; before 22, Node.js has no WebSocket by default."""
    node = node_command()
    (project / "members.mjs").write_text(MEMBERS)
    _, has_websocket = json.loads(run(project, *node, "members.mjs"))
    if not has_websocket:
        pytest.skip("this version of Node.js has no WebSocket")
    person = httpx.post(f"{allowing.url}/api/surveys/phq9/participants", json={}).raise_for_status().json()
    (example,) = blocks((CLIENT / "README.md").read_text(), "js")
    names = f"const [userId, token] = {json.dumps([person['user_id'], person['token']])};\n"
    last = "console.log(JSON.stringify(outcome)); client.stop();"
    (project / "example.mjs").write_text(names + example.replace("https://survey.example.org", allowing.url) + last)
    *shown, outcome = run(project, *node, "example.mjs").splitlines()
    assert len(shown) == 1
    assert json.loads(outcome)["session"]["answers"] == {"Q1": 2}


@pytest.mark.browser
def test_example_page_of_the_documentation_walks_a_survey(
    project: Path, origin: str, allowing: Server, context: BrowserContext
) -> None:
    """A page of another origin imports the installed package by an import map, and completes the PHQ-9."""
    pages = blocks((ROOT / "docs" / "browser-client.md").read_text(), "html")
    (page_text,) = (text for text in pages if "importmap" in text)
    (project / "index.html").write_text(page_text.replace("http://127.0.0.1:8000", allowing.url))
    page = context.new_page()
    page.goto(f"{origin}/index.html")
    heading = page.get_by_role("heading")
    for _ in range(9):
        expect(heading).not_to_be_empty()
        prompt = heading.inner_text()
        page.get_by_role("button", name="Not at all").click()
        expect(heading).not_to_have_text(prompt)
    expect(heading).to_have_text("Thank you")
    session = httpx.get(f"{allowing.url}/api/session/user123?survey=phq9").json()
    assert session["session"]["status"] == "completed"
