"""Memory, threads and descriptors of another process on Linux (proc(5))."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import children


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The resources of a process at one moment.

    Attributes:
        descriptors: sockets, pipes and selectors, but not files, which SQLite keeps open since closing one drops
            the locks of all (sqlite.org/lockingv3.html).
    """

    threads: int
    descriptors: int
    sockets: int
    resident_bytes: int
    peak_bytes: int


def usage(pid: int) -> Usage:
    """Return the current resources of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    targets = list(_open(pid))
    return Usage(
        threads=int(status["Threads"][0]),
        descriptors=sum(not target.startswith("/") for target in targets),
        sockets=sum(target.startswith("socket:") for target in targets),
        resident_bytes=int(status["VmRSS"][0]) * 1024,
        peak_bytes=int(status["VmHWM"][0]) * 1024,
    )


def only_child(pid: int) -> int:
    """Return the pid of the process's only child, such as gunicorn's worker."""
    (child,) = children(pid)
    return child


def _open(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            yield str(entry.readlink())
