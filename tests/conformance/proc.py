"""What Linux tells of another process: its memory, threads and descriptors (proc(5))."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process holds at one moment.

    Attributes:
        descriptors: of sockets, pipes and selectors; not of files, which SQLite keeps open as it likes
            (sqlite.org/lockingv3.html: closing one drops the locks of all).
    """

    threads: int
    descriptors: int
    sockets: int
    resident_bytes: int
    peak_bytes: int


def usage(process: int) -> Usage:
    """Return what the process holds now."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    told = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    targets = list(_open(process))
    return Usage(
        threads=int(told["Threads"][0]),
        descriptors=sum(not target.startswith("/") for target in targets),
        sockets=sum(target.startswith("socket:") for target in targets),
        resident_bytes=int(told["VmRSS"][0]) * 1024,
        peak_bytes=int(told["VmHWM"][0]) * 1024,
    )


def only_child(process: int) -> int:
    """Return the id of the one process that this one has started: gunicorn's worker."""
    (child,) = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(child)


def _open(process: int) -> Iterator[str]:
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            yield str(entry.readlink())
