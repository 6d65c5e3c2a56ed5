"""The commands of operators (docs/cli.md).

Exit codes: 0 success; 1 refused, or a check failed; 2 usage error; 3 not found; 4 database unavailable: retry.
"""

from . import access, backup, demo, export, maintenance, privacy, sessions, surveys, webhooks  # noqa: F401 - each adds its commands
from .group import commands, register

__all__ = ["commands", "register"]
