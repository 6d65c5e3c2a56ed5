"""Libraries of the extra ``export``."""

import importlib
from typing import Any

from ...errors import InvalidInput


def require(module: str, format_name: str) -> Any:  # noqa: ANN401 - some of them have no types
    """Return the module; raise InvalidInput naming the extra."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"{format_name} files require an extra: run `pip install '.[export]'` in the program's folder, or use csv, "
            "long or jsonl"
        ) from error
