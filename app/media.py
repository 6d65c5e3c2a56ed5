"""The images of surveys: files in the folder ``media`` beside the survey files."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from .core.formats import MEDIA_FILE
from .survey import Survey
from .survey.types import Image

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


def media_problems(survey: Survey, surveys_dir: Path) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the path in the file and the problem of each image that cannot be shown."""
    for number, step in enumerate(survey.steps):
        places: dict[tuple[str | int, ...], Image | None] = {("steps", number): step.image}
        for index, option in enumerate(getattr(step, "options", ())):
            places["steps", number, "options", index] = option.image
        for path, image in places.items():
            problem = None if image is None else media_problem(surveys_dir, image.file)
            if problem is not None:
                yield (*path, "image", "file"), f"image: {problem}"
