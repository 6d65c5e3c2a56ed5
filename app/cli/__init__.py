"""The ``flask`` commands of operators (docs/cli.md).

Exit codes: 0 success; 1 refused, or a check failed; 2 usage error; 3 not found; 4 database unavailable: retry.
"""

from .commands import register
from .output import exit_code

__all__ = ["exit_code", "register"]
