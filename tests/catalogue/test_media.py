"""The images of surveys: which files are shown."""

from pathlib import Path

import pytest
import yaml

from app.catalogue.media import MAX_BYTES, TYPES, media_problem, media_problems

SURVEY = """
id: visit
title: Visit
language: en
steps:
  - id: S1
    type: choice
    prompt: Where?
    image: {file: a.png, alt: A}
    options: [here, {value: there, image: {file: missing.png, alt: B}}]
  - id: P
    type: page
    prompt: More
    fields:
      - {id: F1, type: text, prompt: p, max_length: 9, image: {file: missing.png, alt: A}}
      - {id: F2, type: choice, prompt: p, options: [a, {value: b, image: {file: missing.png, alt: B}}]}
"""


@pytest.fixture
def surveys_dir(tmp_path: Path) -> Path:
    """A folder of surveys with images, and a file beside these."""
    media = tmp_path / "surveys" / "media"
    media.mkdir(parents=True)
    (media / "a.png").write_bytes(b"\x89PNG")
    (media.parent / "outside.png").write_bytes(b"\x89PNG")
    return media.parent


@pytest.mark.parametrize("suffix", [*TYPES, ".PNG"])
def test_image_is_shown_when_it_has_a_type_of_images(surveys_dir: Path, suffix: str) -> None:
    """Upper or lower case."""
    (surveys_dir / "media" / f"b{suffix}").write_bytes(b"image")
    assert media_problem(surveys_dir, f"b{suffix}") is None


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "folder/a.png", "", ".", "..", "a.png\n", "a\0.png"])
def test_file_is_refused_when_its_name_is_not_a_file_name(surveys_dir: Path, name: str) -> None:
    """A name leads to no other folder."""
    assert media_problem(surveys_dir, name) == f"{name!r} is not a file name"


@pytest.mark.parametrize("name", ["a.html", "a.js", "a.png.html", "a", "a.tiff"])
def test_file_is_refused_when_it_has_another_type(surveys_dir: Path, name: str) -> None:
    """Also one that exists."""
    (surveys_dir / "media" / name).write_text("<script>")
    assert f"{name!r} has no type that is shown" in str(media_problem(surveys_dir, name))


def test_file_is_refused_when_a_link_leads_out_of_the_folder(surveys_dir: Path) -> None:
    """The link is within it."""
    (surveys_dir / "media" / "link.png").symlink_to(surveys_dir / "outside.png")
    assert "there is no file 'link.png'" in str(media_problem(surveys_dir, "link.png"))


def test_file_is_refused_when_it_is_too_large(surveys_dir: Path) -> None:
    """The largest is shown."""
    with (surveys_dir / "media" / "a.png").open("wb") as image:
        image.truncate(MAX_BYTES)
        assert media_problem(surveys_dir, "a.png") is None
        image.truncate(MAX_BYTES + 1)
    assert media_problem(surveys_dir, "a.png") == "'a.png' is larger than 5 MiB"


def test_problem_of_an_option_or_field_has_its_place(surveys_dir: Path) -> None:
    """An image of the step that can be shown has none."""
    problems = dict(media_problems(yaml.safe_load(SURVEY), surveys_dir))
    assert [*problems] == [
        ("steps", 0, "options", 1, "image", "file"),
        ("steps", 1, "fields", 0, "image", "file"),
        ("steps", 1, "fields", 1, "options", 1, "image", "file"),
    ]
    assert all("there is no file 'missing.png'" in problem for problem in problems.values())
