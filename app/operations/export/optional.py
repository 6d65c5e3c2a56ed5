"""Libraries that only some formats need: the extra ``export``."""

import importlib
from typing import Any

from ...errors import InvalidInput


def needed(module: str, format_name: str) -> Any:  # noqa: ANN401 - some of them have no types
    """Return the module.

    Raises:
        InvalidInput: it is not installed; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"this server can't make {format_name} files: install its extra, `pip install 'stepkeep[export]'`; "
            "csv, long and jsonl need nothing"
        ) from error
