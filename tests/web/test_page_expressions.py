"""The page evaluates conditions as the server does, or leaves them to it (app/web/static/page/expressions)."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from app.survey.expressions import compile_expression, divide
from app.web import __file__ as web
from tests.conftest import skip_or_fail
from tests.survey.test_expressions import SCOPE, names, scope
from tests.survey.test_partial_expressions import ANSWERS, cases

MODULE = Path(web).parent / "static" / "page" / "expressions" / "expressions.js"
SCRIPT = """
import { readFileSync } from "node:fs";
const { compile } = await import(process.argv[1]);
const { scope, expressions } = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(expressions.map((expression) => compile(expression)(scope))));
"""


def outcomes(expressions: list[str]) -> list[dict[str, Any] | None]:
    """Return what the page makes of each: a value, none, or null where it leaves the decision to the server."""
    node = shutil.which("node")
    if node is None:
        skip_or_fail("Node.js is not installed (Debian: apt install nodejs)")
    given = json.dumps({"scope": {name: SCOPE[name] for name in ("answers", "parameters")}, "expressions": expressions})
    command = [node, "--input-type=module", "--eval", SCRIPT, MODULE.as_uri()]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=60)
    found: list[dict[str, Any] | None] = json.loads(done.stdout)
    return found


def wanted(case: dict[str, Any]) -> dict[str, Any]:
    return {} if "no_value" in case else {"value": case["value"]}


def test_page_agrees_with_the_corpus() -> None:
    """On values, and on which have none; about a quarter of the cases are the server's alone."""
    pairs = [*zip(cases(), outcomes([case["expression"] for case in cases()]), strict=True)]
    assert [(case["expression"], got) for case, got in pairs if got not in (None, wanted(case))] == []
    assert sum(got is not None for _, got in pairs) > 350


def test_page_agrees_on_what_the_server_leaves_of_the_corpus() -> None:
    """Where the server has put in the time, parameters and values."""
    compiled = [compile_expression(case["expression"], names(case, texts=False)) for case in cases()]
    left = [divide(one, names({}, texts=False), ANSWERS).source(scope({})) for one in compiled]
    pairs = [*zip(cases(), outcomes(left), strict=True)]
    assert [(case["expression"], got) for case, got in pairs if got not in (None, wanted(case))] == []
    unknown = [case["expression"] for case, got in pairs if got is None]
    assert not [source for source in unknown if any(name in source for name in ("values.", "parameters.", "now"))]
    assert len(unknown) < 40


TEXTS = ["", "A12", "a12", "12\n", "x-1", "é", "😀", "a b", "a\u00a0b", "\u2028", "x" * 301]
PATTERNS = [
    *(
        "^[A-Z]",
        "^[0-9]+$",
        "^.$",
        r"a\sb",
        r"\d{2}$",
        r"^\w+$",
        r"\-",
        r"[\-x]",
        "A|x",
        "^(?:A|a)1",
        r"\.",
        "é?",
        "[^a]",
        "",
    ),
    *("(a+)+$", r"\bA", r"\pL", "(?i)A12", "a*a*a*b", "[[:alpha:]]", r"\QA", "^(a|A)*"),
]


def test_page_agrees_on_regular_expressions() -> None:
    """With RE2, on those that need no long time and texts that are not long; the others are the server's."""
    quoted = [json.dumps(text, ensure_ascii=False) for text in TEXTS]
    expressions = [
        f"{text}.matches({json.dumps(pattern, ensure_ascii=False)})" for pattern in PATTERNS for text in quoted
    ]
    results = [compile_expression(one, names({}, texts=False)).value(scope({})) for one in expressions]
    pairs = [*zip(expressions, outcomes(expressions), results, strict=True)]
    assert [one for one in pairs if one[1] not in (None, {"value": one[2]})] == []
    undecided = {source for source, got, _ in pairs if got is None}
    assert [f'"A12".matches({json.dumps(pattern, ensure_ascii=False)})' in undecided for pattern in PATTERNS] == [
        False
    ] * 14 + [True] * 8
