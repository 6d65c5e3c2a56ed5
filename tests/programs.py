"""Programs that run in the process of the tests, which takes a tenth of the time of a process of their own."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from unittest import mock

from tests.conftest import ROOT

Done = subprocess.CompletedProcess[str]


def run_here(main: Callable[[], object], *arguments: str, **environment: str) -> Done:
    """Run a program's entry point, as its process would: return the exit code and the output.

    Args:
        environment: variables in addition to those of this process.
    """
    code: object = None
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", [main.__module__, *arguments]),
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    if isinstance(code, str):
        err.write(f"{code}\n")
    return Done(arguments, code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue())
