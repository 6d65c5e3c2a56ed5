"""The folder in which server processes share their metrics.

prometheus_client reads PROMETHEUS_MULTIPROC_DIR when imported: nothing here may import it, and gunicorn's configuration
uses this module first.
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
"""Lets a configuration that is read again find the temporary folder."""

_KINDS = ("counter", "gauge", "histogram", "summary")
"""Of prometheus_client's files."""

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only the parent of a private folder
"""Memory maps: on a full disk a write would end the process (SIGBUS)."""


def share_metrics(settings: Settings) -> None:
    """Set PROMETHEUS_MULTIPROC_DIR if there are several processes, and create the folder.

    Idempotent when a server reads its configuration again (SIGHUP, SIGUSR2).

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
    """Delete an earlier server's metrics from STEPKEEP_METRICS_DIR.

    Only once no other server uses it: it would go on writing to deleted files.

    Raises:
        ConfigurationError: STEPKEEP_METRICS_DIR is not writable.
    """
    if settings.metrics_dir is None:
        return
    with _usable(settings.metrics_dir) as folder:
        for file in [file for kind in _KINDS for file in folder.glob(f"{kind}_*.db")]:
            file.unlink(missing_ok=True)


def delete_temporary_folder() -> None:
    """Delete the folder that :func:`share_metrics` created, if any."""
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
