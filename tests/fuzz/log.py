"""Finds errors in the log of a server."""

from collections import Counter
from collections.abc import Iterator

from tests.conftest import Server

ERRORS = (" 500 ", " ERROR ", "Worker (pid", "Exception", "Traceback")
TRACEBACK = "Traceback"


def errors(server: Server) -> list[str]:
    """Return a finding for each kind of error in the log, and for a server that does not answer."""
    findings = [f"{count} times in the log: {error}" for error, count in Counter(_errors(server.log)).items()]
    return findings if server._answers() else [*findings, "the server does not answer"]


def _errors(log: str) -> Iterator[str]:
    """Yield error lines, and the last three lines of each traceback, which name the location and the exception."""
    last: list[str] = []
    for line in log.splitlines():
        if line.startswith(TRACEBACK):
            last = [line]
        elif last and line.startswith(" "):
            last = [*last[-2:], line]
        elif last:
            yield "\n".join([*last, line])
            last = []
        if any(error in line for error in ERRORS):
            yield line
