"""The page of the commands has each of them, and each says what it does with examples where it is ours to say."""

from collections.abc import Iterator
from pathlib import Path

import click
import flask
import pytest

from app.cli import register
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text()


def commands() -> Iterator[tuple[str, click.Command]]:
    app = flask.Flask(Path(__file__).stem)
    register(app)
    yield from below(app.cli, "")


def below(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from below(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_on_the_page_and_says_what_it_does(name: str) -> None:
    """None is added without a word of it."""
    assert f"\n## flask {name}\n" in PAGE
    assert COMMANDS[name].help


WITH_EXAMPLES = (
    "sessions list",
    "sessions show",
    "sessions history",
    "sessions verify",
    "sessions rebuild",
    "demo fill",
    "demo clear",
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_help_has_examples(name: str) -> None:
    """In a block of their own, each beginning with the command."""
    _, _, examples = (COMMANDS[name].help or "").partition("Examples:\n")
    assert f"flask {name}" in examples
