"""Where several server processes add up their metrics. For gunicorn's configuration, before it imports anything else.

prometheus_client asks for PROMETHEUS_MULTIPROC_DIR when it is imported, so nothing here may lead to it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from app.errors import ConfigurationError
from app.settings import Settings

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_KINDS = ("counter", "gauge", "histogram", "summary")
"""How the names of prometheus_client's files begin."""

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of one's own is made in it
"""Where a full disk can't end a process: the files are written by way of memory maps (SIGBUS)."""


def share_metrics(settings: Settings) -> Path | None:
    """Name the folder in the environment, there and without the figures of an earlier server.

    A configuration that is read again by a running server (SIGHUP, SIGUSR2) leaves all as it is.

    Returns:
        A folder that was made for this server alone, to be given to :func:`remove`; None where there is none.

    Raises:
        ConfigurationError: METRICS_DIR can't be written to.
    """
    if os.environ.get(VARIABLE) or not (settings.metrics_dir or settings.web_concurrency > 1):
        return None
    if settings.metrics_dir is None:
        within = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
        made = Path(tempfile.mkdtemp(prefix="stepkeep-metrics-", dir=within))
        os.environ[VARIABLE] = str(made)
        return made
    try:
        settings.metrics_dir.mkdir(parents=True, exist_ok=True)
        for file in _of_earlier(settings.metrics_dir):
            file.unlink(missing_ok=True)
        if not os.access(settings.metrics_dir, os.W_OK):
            raise PermissionError
    except OSError as error:
        raise ConfigurationError(
            f"METRICS_DIR: the folder {settings.metrics_dir} can't be used ({type(error).__name__}): name one that "
            "the server may write to, for this server alone"
        ) from error
    os.environ[VARIABLE] = str(settings.metrics_dir)
    return None


def remove(made: Path | None) -> None:
    """Remove the folder that was made for this server alone."""
    if made is not None:
        shutil.rmtree(made, ignore_errors=True)


def _of_earlier(folder: Path) -> Iterable[Path]:
    return [file for kind in _KINDS for file in folder.glob(f"{kind}_*.db")]
