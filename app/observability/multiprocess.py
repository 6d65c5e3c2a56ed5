"""The folder in which several server processes share their metrics.

prometheus_client reads PROMETHEUS_MULTIPROC_DIR when it is imported. gunicorn's configuration therefore uses this
module first, and nothing here may import prometheus_client.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigurationError
from ..settings import Settings

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_TEMPORARY = "_STEPKEEP_METRICS_DIR"
"""Variable that names a temporary folder, so that a configuration that is read again still finds it."""

_KINDS = ("counter", "gauge", "histogram", "summary")
"""Prefixes of prometheus_client's files."""

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only the parent of a private folder
"""The files are memory maps: on a full disk a write would end the process (SIGBUS)."""


def share_metrics(settings: Settings) -> None:
    """Set PROMETHEUS_MULTIPROC_DIR if there are several processes, and create the folder.

    When a running server reads its configuration again (SIGHUP, SIGUSR2), nothing changes.

    Raises:
        ConfigurationError: STEPKEEP_METRICS_DIR is not writable.
    """
    if os.environ.get(VARIABLE) or not (settings.metrics_dir or settings.web_concurrency > 1):
        return
    if settings.metrics_dir is None:
        parent = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
        os.environ[VARIABLE] = os.environ[_TEMPORARY] = tempfile.mkdtemp(prefix="stepkeep-metrics-", dir=parent)
        return
    with _usable(settings.metrics_dir) as folder:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError
    os.environ[VARIABLE] = str(settings.metrics_dir)


def delete_old_metrics(settings: Settings) -> None:
    """Delete the metrics of an earlier server from STEPKEEP_METRICS_DIR.

    Only once no other server can use the folder: it would go on writing to deleted files.

    Raises:
        ConfigurationError: STEPKEEP_METRICS_DIR is not writable.
    """
    if settings.metrics_dir is None:
        return
    with _usable(settings.metrics_dir) as folder:
        for file in [file for kind in _KINDS for file in folder.glob(f"{kind}_*.db")]:
            file.unlink(missing_ok=True)


def delete_temporary_folder() -> None:
    """Delete the folder that :func:`share_metrics` created for this server, if any."""
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
