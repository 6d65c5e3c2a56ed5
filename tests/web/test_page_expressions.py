"""The page evaluates conditions as the server does, or leaves them to it (app/web/static/page/expressions)."""

import json
import shutil
import subprocess
from pathlib import Path

from app.web import __file__ as web
from tests.conftest import skip_or_fail

CORPUS = Path(__file__).parents[1] / "survey" / "expressions.json"
MODULE = Path(web).parent / "static" / "page" / "expressions" / "expressions.js"
SCRIPT = """
import { readFileSync } from "node:fs";
const { compile } = await import(process.argv[1]);
const { scope, expressions } = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(expressions.map((expression) => compile(expression)(scope))));
"""
BOUNDED = "An evaluation has at most"


def test_page_agrees_with_the_corpus() -> None:
    """On values, and on which have none; about half of the cases are the server's alone."""
    node = shutil.which("node")
    if node is None:
        skip_or_fail("Node.js is not installed (Debian: apt install nodejs)")
    corpus = json.loads(CORPUS.read_text())
    groups = [group for group in corpus["groups"] if not group["about"].startswith(BOUNDED)]
    cases = [case for group in groups for case in group["cases"] if "answer" not in case and "refused" not in case]
    given = json.dumps({"scope": corpus["scope"], "expressions": [case["expression"] for case in cases]})
    command = [node, "--input-type=module", "--eval", SCRIPT, MODULE.as_uri()]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=60)
    outcomes = json.loads(done.stdout)
    wanted = [{} if "no_value" in case else {"value": case["value"]} for case in cases]
    pairs = zip(cases, outcomes, wanted, strict=True)
    assert [(case["expression"], got) for case, got, want in pairs if got not in (None, want)] == []
    assert sum(outcome is not None for outcome in outcomes) > 250
