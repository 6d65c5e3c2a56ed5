"""Where several server processes add up their metrics. For gunicorn's configuration, before it imports anything else.

prometheus_client asks for PROMETHEUS_MULTIPROC_DIR when it is imported, so nothing here may lead to it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigurationError
from ..settings import Settings

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_MADE = "_STEPKEEP_METRICS_DIR"
"""Names the folder that was made for this server, also to a configuration that is read again."""

_KINDS = ("counter", "gauge", "histogram", "summary")
"""How the names of prometheus_client's files begin."""

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of one's own is made in it
"""Where a full disk can't end a process: the files are written by way of memory maps (SIGBUS)."""


def share_metrics(settings: Settings) -> None:
    """Name the folder in the environment; it is there, maybe with the figures of an earlier server.

    A configuration that is read again by a running server (SIGHUP, SIGUSR2) leaves all as it is.

    Raises:
        ConfigurationError: STEPKEEP_METRICS_DIR can't be written to.
    """
    if os.environ.get(VARIABLE) or not (settings.metrics_dir or settings.web_concurrency > 1):
        return
    if settings.metrics_dir is None:
        within = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
        made = Path(tempfile.mkdtemp(prefix="stepkeep-metrics-", dir=within))
        os.environ[VARIABLE] = os.environ[_MADE] = str(made)
        return
    with _usable(settings.metrics_dir) as folder:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError
    os.environ[VARIABLE] = str(settings.metrics_dir)


def empty(settings: Settings) -> None:
    """Remove the figures of an earlier server from STEPKEEP_METRICS_DIR.

    Only once it is sure that no other server runs here: it would go on to write to files that nobody can see.

    Raises:
        ConfigurationError: STEPKEEP_METRICS_DIR can't be written to.
    """
    if settings.metrics_dir is None:
        return
    with _usable(settings.metrics_dir) as folder:
        for file in _of_earlier(folder):
            file.unlink(missing_ok=True)


def remove_made() -> None:
    """Remove the folder that was made for this server alone, if there is one."""
    made = os.environ.pop(_MADE, None)
    if made is not None:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _usable(folder: Path) -> Iterator[Path]:
    try:
        yield folder
    except OSError as error:
        raise ConfigurationError(
            f"STEPKEEP_METRICS_DIR: the folder {folder} can't be used ({type(error).__name__}): name one that "
            "the server may write to, for this server alone"
        ) from error


def _of_earlier(folder: Path) -> Iterable[Path]:
    return [file for kind in _KINDS for file in folder.glob(f"{kind}_*.db")]
