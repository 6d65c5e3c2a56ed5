"""The ``flask`` commands of operators (docs/cli.md).

Exit codes: 0 success; 1 refused, or a check failed; 2 usage error; 3 not found; 4 database unavailable: retry.
"""

from . import access, backup, demo, expiry, export, privacy, report, sessions, sessions_check, webhooks  # noqa: F401 - each adds its commands
from .group import exit_code, register

__all__ = ["exit_code", "register"]
