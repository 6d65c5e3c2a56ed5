"""The types of the survey page's scripts: TypeScript checks the comments that say them."""

import subprocess
from pathlib import Path

from tests.browser.programs import program
from tests.conftest import ROOT

STATIC = ROOT / "app" / "web" / "static"
OPTIONS = [
    *("--noEmit", "--allowJs", "--checkJs", "--strict", "--skipDefaultLibCheck"),
    *("--target", "es2022", "--module", "esnext", "--moduleResolution", "node", "--lib", "esnext,dom,dom.iterable"),
]

NEWER = """
declare namespace Intl {
  function getCanonicalLocales(locales: string): string[];
  function supportedValuesOf(key: string): string[];
}
"""
"""What browsers have, and TypeScript only since 5.1."""


def test_scripts_of_the_page_fit_their_types(tmp_path: Path) -> None:
    """The only error is one that is made on purpose: else nothing might be checked."""
    newer = tmp_path / "newer.d.ts"
    newer.write_text(NEWER)
    wrong = tmp_path / "wrong.js"
    wrong.write_text(f'import {{ text }} from "{STATIC / "page" / "texts.js"}";\nexport const n = text(1);\n')
    scripts = sorted((STATIC / "page").glob("**/*.js"))
    assert all(script.read_text().startswith("// @ts-check\n") for script in scripts)
    command = [program("tsc"), *OPTIONS, newer, wrong, *scripts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if ": error" in line and "/vendor/" not in line]
    assert ["wrong.js" in line for line in errors] == [True], errors
