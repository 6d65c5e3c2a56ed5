"""docs/troubleshooting.md quotes messages as the program writes them."""

import ast
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.docs.pages import tables

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
MESSAGES = [row[0] for table in tables(PAGE) if table.header[0] == "Message" for row in table.rows if "`" in row[0]]


def texts() -> Iterator[str]:
    """Yield the text constants of the application, parts of f-strings among them."""
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


TEXTS = "\n".join(texts())


@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_one_of_the_program(message: str) -> None:
    """Each part between ellipses is in a text of the program."""
    assert not [part for part in message.strip("`").split("…") if part.strip() not in TEXTS]
