"""Programs of the machine that some tests need."""

import shutil

from tests.conftest import skip_or_fail

PACKAGES = {"node": "nodejs", "npm": "npm", "tsc": "node-typescript"}
"""Debian's package of each program."""


def program(name: str) -> str:
    """Return a program's path; skip or fail the test without it."""
    path = shutil.which(name)
    if path is None:
        skip_or_fail(f"{name} is not installed (Debian: apt install {PACKAGES[name]})")
    return str(path)
