"""The page of the commands has each of them, and each says what it does with examples."""

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


def help_of(name: str) -> str:
    """Return what ``flask NAME --help`` prints."""
    context = click.Context(COMMANDS[name], info_name=f"flask {name}", terminal_width=80, max_content_width=80)
    return COMMANDS[name].get_help(context)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_on_the_page_and_says_what_it_does(name: str) -> None:
    """Its help as it is printed: none is added, and none changes, without the page."""
    assert f"## flask {name}\n\n```\n{help_of(name)}\n```" in PAGE


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str) -> None:
    """In a block of their own, each beginning with the command."""
    _, _, examples = (COMMANDS[name].help or "").partition("Examples:\n")
    assert f"flask {name}" in examples
