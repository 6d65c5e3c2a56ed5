"""The texts of our conversions as they should be shown: as in the file, with what the original inserts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import yaml

from tests.instruments.oracle import FOLDER


class _AsWritten(yaml.SafeLoader):
    """Reads every scalar as a text; of what YAML resolves by itself, only merge keys are left."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:merge"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


INSERTION = re.compile(r"\{\{.*?\}\}")


@cache
def definition(name: str) -> Any:
    """Return the file of a survey."""
    return yaml.load((FOLDER / name / "survey.yaml").read_text(encoding="utf-8"), _AsWritten)  # noqa: S506 - a SafeLoader


@cache
def parts(name: str) -> Mapping[str, Any]:
    """Return the steps and fields of a survey by id."""
    return dict(_parts(definition(name)["steps"]))


def _parts(steps: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for step in steps:
        yield step["id"], step
        yield from _parts(step.get("fields", []))


def text(name: str, written: Any, language: str, inserted: Sequence[str] = ()) -> str | None:
    """Return a text in a language, with each insertion replaced.

    Raises:
        AssertionError: the original inserts another number of values.
    """
    if written is None:
        return None
    if isinstance(written, dict):
        written = written.get(language, written.get(definition(name)["language"]))
    found = INSERTION.findall(written)
    assert len(found) == len(inserted), (written, inserted)
    values = iter(inserted)
    return INSERTION.sub(lambda _: next(values), _plain(written) if has_markdown(name) else written)


def _plain(markdown: str) -> str:
    """Return Markdown of paragraphs, emphasis and lists with bullets as plain text."""
    without_marks = re.sub(r"(\*\*?)([^*]+)\1", r"\2", re.sub(r"^- ", "• ", markdown, flags=re.MULTILINE))
    return re.sub(r"(?<!\n)\n(?![\n•])", " ", without_marks.strip())


def has_markdown(name: str) -> bool:
    """Return whether the survey's texts are Markdown; those of the instruments have no links."""
    return bool(definition(name).get("markdown") == "true")


def paragraphs(name: str, written: str) -> list[str]:
    """Return the part of a prompt that is the heading, and the rest if there is one."""
    return written.split("\n\n", 1) if has_markdown(name) else [written]


def part_text(name: str, part: str, key: str, language: str, inserted: Mapping[str, Sequence[str]]) -> str | None:
    """Return the prompt or help of a step or field."""
    place = part if key == "prompt" else f"{part}.{key}"
    return text(name, parts(name)[part].get(key), language, inserted.get(place, ()))


def options(name: str, part: str, language: str) -> dict[str, str]:
    """Return the labels of a step's or field's options by value."""
    written = parts(name)[part].get("options", [])
    labels: dict[str, str] = {}
    for option in written:
        value, label = (option, option) if isinstance(option, str) else (option["value"], option.get("label"))
        labels[value] = text(name, label or value, language) or ""
    return labels


def stored(name: str, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers to steps as a session has them: a grid without any answer is null."""
    grids = {step for step in answers if parts(name)[step]["type"] == "grid"}
    return {
        step: None if step in grids and all(one is None for one in answer.values()) else answer
        for step, answer in answers.items()
    }


def rows(name: str, part: str, language: str) -> dict[str, str]:
    """Return the labels of a grid's rows by id."""
    return {row["id"]: text(name, row["label"], language) or "" for row in parts(name)[part].get("rows", [])}
