"""The folder in which server processes share their metrics.

prometheus_client reads PROMETHEUS_MULTIPROC_DIR when imported: nothing here may import it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigurationError

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_TEMPORARY = "_STEPKEEP_METRICS_DIR"  # lets a configuration that is read again find the temporary folder
_KINDS = ("counter", "gauge", "histogram", "summary")  # of prometheus_client's files
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only the parent of a private folder
"""Memory maps: on a full disk a write would end the process (SIGBUS)."""


def share_metrics(metrics_dir: Path | None, *, processes: int) -> None:
    """Set PROMETHEUS_MULTIPROC_DIR; idempotent when a server reads its configuration again."""
    if os.environ.get(VARIABLE) or (metrics_dir is None and processes == 1):
        return
    if metrics_dir is None:
        parent = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
        os.environ[VARIABLE] = os.environ[_TEMPORARY] = tempfile.mkdtemp(prefix="stepkeep-metrics-", dir=parent)
        return
    with _usable(metrics_dir) as folder:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError
    os.environ[VARIABLE] = str(metrics_dir)


def delete_old_metrics(metrics_dir: Path | None) -> None:
    """Delete an earlier server's metrics; another server would go on writing to deleted files."""
    if metrics_dir is None:
        return
    with _usable(metrics_dir) as folder:
        for file in [file for kind in _KINDS for file in folder.glob(f"{kind}_*.db")]:
            file.unlink(missing_ok=True)


def delete_temporary_folder() -> None:
    folder = os.environ.pop(_TEMPORARY, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _usable(folder: Path) -> Iterator[Path]:
    try:
        yield folder
    except OSError as error:
        raise ConfigurationError(
            f"STEPKEEP_METRICS_DIR: folder {folder} can't be used ({type(error).__name__}). "
            "Choose a folder that the server can write to and that no other server uses."
        ) from error
