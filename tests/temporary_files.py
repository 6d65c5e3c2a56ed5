"""Where the tests write: in memory, because creating databases on a disk takes most of their time."""

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 << 30
"""Two workers fill 2 GB; Linux lets /dev/shm have half of the machine's memory, a container often 64 MB."""


def write_to_memory() -> None:
    """Let this process and its children create temporary files in memory, unless TMPDIR is set or there is no room."""
    if "TMPDIR" in os.environ or not _is_usable(MEMORY):
        return
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # read TMPDIR again


def _is_usable(folder: Path) -> bool:
    """Return whether the folder has room, and programs in it can be executed."""
    return (
        os.access(folder, os.W_OK)
        and not os.statvfs(folder).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(folder).free > ROOM_BYTES
    )
