"""What a server's log should not have."""

from collections import Counter
from collections.abc import Iterator

from tests.conftest import Server

FAULTS = (" 500 ", "fault of ours", "Worker", "Exception", "Traceback")
TRACEBACK = "Traceback"


def faults(server: Server) -> list[str]:
    """Return what the log tells of faults, each kind once, and whether the server does not answer any more."""
    found = [f"{number} times in the log: {fault}" for fault, number in Counter(_told(server.log)).items()]
    return found if server._answers() else [*found, "the server does not answer"]


def _told(log: str) -> Iterator[str]:
    """Give the lines that tell of a fault; of a traceback its last three, which name the place and the error."""
    last: list[str] = []
    for line in log.splitlines():
        if line.startswith(TRACEBACK):
            last = [line]
        elif last and line.startswith(" "):
            last = [*last[-2:], line]
        elif last:
            yield "\n".join([*last, line])
            last = []
        if any(fault in line for fault in FAULTS):
            yield line
