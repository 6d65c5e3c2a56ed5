"""The commands of operators, ``flask ...``: each calls the session service or an operation and prints the result.

Errors are one line. Exit codes: 0 success; 1 refused, or a check failed; 2 usage error; 3 not found; 4 the database is
unavailable, so that a retry may succeed. docs/cli.md documents every command.
"""

from .commands import register
from .output import exit_code

__all__ = ["exit_code", "register"]
