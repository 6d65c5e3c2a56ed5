"""How this program is installed: as a wheel or clone, with which extras."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ..errors import ConfigurationError

__version__ = "0.1.0"

_OWN_PACKAGE = __name__.partition(".")[0]

_IS_WHEEL = _OWN_PACKAGE != "app"

COMMAND = "stepkeep" if _IS_WHEEL else "flask"
"""Before the operators' commands, such as ``sessions list``."""

UPGRADE = "stepkeep db upgrade" if _IS_WHEEL else "alembic upgrade head"
DOWNGRADE = "stepkeep db downgrade" if _IS_WHEEL else "alembic downgrade"
LOSSY_DOWNGRADE = "stepkeep db downgrade --lossy" if _IS_WHEEL else "alembic -x lossy=yes downgrade"
STAMP = "stepkeep db stamp" if _IS_WHEEL else "alembic stamp --purge"


def install_extra(extra: str) -> str:
    return f"`pip install 'stepkeep[{extra}]'`" if _IS_WHEEL else f"`pip install '.[{extra}]'` in the program's folder"


class MissingExtra(ConfigurationError, ImportError):
    """A library is not installed; the message names its extra."""

    def __init__(self, purpose: str, library: str, extra: str) -> None:
        super().__init__(f"{purpose} needs the library {library}, which is not installed. Run {install_extra(extra)}.")


@contextmanager
def needs_extra(name: str, purpose: str) -> Iterator[None]:
    """Raise MissingExtra if an import in the block finds no library; ``purpose`` starts its message."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in {"", _OWN_PACKAGE}:
            raise
        raise MissingExtra(purpose, library, name) from error


def require(module: str, name: str, purpose: str) -> None:
    """Raise MissingExtra unless a library is installed."""
    if find_spec(module) is None:
        raise MissingExtra(purpose, module, name)
