"""The commands of operators, with the exit codes of docs/cli.md."""

from . import access, backup, demo, export, maintenance, privacy, sessions, surveys, webhooks  # noqa: F401 - each adds its commands
from .group import commands, register

__all__ = ["commands", "register"]
