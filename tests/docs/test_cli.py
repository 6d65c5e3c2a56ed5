"""The page of the commands has each of them, and each says what it does with examples."""

from collections.abc import Iterator
from pathlib import Path

import click
import flask
import pytest

from app.__main__ import main
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


COMMANDS = {f"flask {name}": command for name, command in commands()} | {
    f"stepkeep {name}": command for name, command in below(main, "")
}
"""Those of the wheel's ``stepkeep`` that a clone's ``flask`` has are on the page under that name."""


def help_of(name: str) -> str:
    """Return what ``NAME --help`` prints."""
    context = click.Context(COMMANDS[name], info_name=name, terminal_width=80, max_content_width=80)
    return COMMANDS[name].get_help(context)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_on_the_page_and_says_what_it_does(name: str) -> None:
    """Its help as it is printed: none is added, and none changes, without the page."""
    assert f"## {name}\n\n```\n{help_of(name)}\n```" in PAGE


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str) -> None:
    """In a block of their own, each beginning with the command."""
    _, _, examples = (COMMANDS[name].help or "").partition("Examples:\n")
    assert name in examples
