"""The images of surveys: files in the folder ``media`` beside the survey files."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.formats import MEDIA_FILE

FOLDER = "media"

MAX_BYTES = 5 * 1024 * 1024

TYPES: Mapping[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
"""The content type by suffix: what every browser shows as an image."""


def media_problem(surveys_dir: Path, name: str) -> str | None:
    """Return why a file cannot be shown; None if it can."""
    if re.fullmatch(MEDIA_FILE, name) is None:
        return f"{name!r} is not a file name"
    folder = (surveys_dir / FOLDER).resolve()
    path = (folder / name).resolve()
    if path.suffix.lower() not in TYPES:
        return f"{name!r} has no type that is shown; use {', '.join(sorted(TYPES))}"
    if path.parent != folder or not path.is_file():
        return f"there is no file {name!r} in {surveys_dir / FOLDER}"
    if path.stat().st_size > MAX_BYTES:
        return f"{name!r} is larger than {MAX_BYTES // 1024 // 1024} MiB"
    return None


def media_problems(data: Mapping[str, Any], surveys_dir: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the path and the problem of each image of a survey file, right or wrong, that cannot be shown."""
    for number, step in _items(data, "steps"):
        parts: dict[tuple[str | int, ...], Mapping[str, Any]] = {("steps", number): step}
        parts |= {("steps", number, "fields", index): field for index, field in _items(step, "fields")}
        for path, asked in [*parts.items()]:
            parts |= {(*path, "options", index): option for index, option in _items(asked, "options")}
        for path, part in parts.items():
            image = part.get("image")
            file = image.get("file") if isinstance(image, Mapping) else None
            is_name = isinstance(file, str) and re.fullmatch(MEDIA_FILE, file)
            problem = media_problem(surveys_dir, str(file)) if is_name else None
            if problem is not None:
                yield (*path, "image", "file"), f"image: {problem}"


def _items(part: Mapping[str, Any], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    items = part.get(name)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, Mapping):
            yield index, item
