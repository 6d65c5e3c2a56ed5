"""Libraries that only some formats need: the extra ``export``."""

import importlib
from typing import Any

from ...errors import InvalidInput


def require(module: str, format_name: str) -> Any:  # noqa: ANN401 - some of them have no types
    """Return the module, or raise InvalidInput with the extra to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"{format_name} files require an extra: run `pip install 'stepkeep[export]'`; csv, long and jsonl do not"
        ) from error
