"""docs/troubleshooting.md quotes messages as the program writes them."""

import ast

import pytest

from tests.conftest import ROOT
from tests.docs.pages import tables

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
MESSAGES = [row[0] for table in tables(PAGE) if table.header[0] == "Message" for row in table.rows if "`" in row[0]]


@pytest.fixture(scope="module")
def texts() -> str:
    """The text constants of the application, parts of f-strings among them."""
    nodes = (node for path in (ROOT / "app").rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


@pytest.mark.xdist_group("texts of the program")
@pytest.mark.parametrize("message", MESSAGES)
def test_message_is_one_of_the_program(message: str, texts: str) -> None:
    """Each part between ellipses is in a text of the program."""
    assert not [part for part in message.strip("`").split("…") if part.strip() not in texts]
