"""A survey's export and codebook over REST."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse as Response

from app.errors import DatabaseUnavailable
from app.operations.export.export import Export
from app.operations.export.request import FORMATS, SHAPES
from app.settings import Settings
from app.survey.snapshot import SessionKey
from app.web.export_messages import CodebookAnswer
from app.web.rest.models import Problem
from tests.conftest import SURVEYS
from tests.operations.export.reading import csv_rows, save
from tests.store.test_erasures import begin, set_aside
from tests.web.production import App, production_app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """The application on SQLite."""
    with production_app(Settings(database_url=f"sqlite:///{tmp_path / 'test.db'}", surveys_dir=SURVEYS)) as app:
        yield app


@pytest.mark.parametrize("format_name", FORMATS)
def test_file_comes_with_its_type_and_what_it_lacks(app: App, format_name: str) -> None:
    """In every format."""
    begin(app.store, SessionKey("phq9", "ann"))
    set_aside(app.store, SessionKey("phq9", "ann"))
    save(app.store, "phq9", "ben", {"Q1": 2})
    shape = SHAPES[format_name]  # type: ignore[index]
    answer = app.request("GET", f"/api/surveys/phq9/export?format={format_name}", app.create_key("export"))
    assert (answer.status_code, answer.content_type) == (200, shape.media_type)
    assert answer.headers["Content-Disposition"] == f"attachment; filename=phq9.{shape.suffix}"
    assert answer.headers["Stepkeep-Left-Out"] == "set_aside=1"
    if format_name == "csv":
        assert csv_rows(answer.data)[0]["Q1"] == "2"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("format=pdf", 422),
        ("since=yesterday", 422),
        ("labels=yes", 422),
        ("step=Q1", 422),
        ("format=sav&labels=true", 422),
    ],
)
def test_what_is_wrong_is_told_before_the_first_byte(app: App, query: str, status: int) -> None:
    """As problem details."""
    answer = app.request("GET", f"/api/surveys/phq9/export?{query}", app.create_key("export"))
    assert answer.status_code == status
    Problem.model_validate_json(answer.data)


def test_unknown_survey_has_no_export(app: App) -> None:
    """Nor a codebook."""
    for what in ("export", "codebook"):
        assert app.request("GET", f"/api/surveys/nothing/{what}", app.create_key("export")).status_code == 404


def test_codebook_is_json_or_markdown(app: App) -> None:
    """The JSON as its model says."""
    answer = app.request("GET", "/api/surveys/intake/codebook", app.create_key("export"))
    assert CodebookAnswer.model_validate_json(answer.data).codebook.survey_id == "intake"
    page = app.request("GET", "/api/surveys/intake/codebook?format=markdown", app.create_key("export"))
    assert page.text.startswith("# Codebook: Before your visit")


def test_exports_under_way_are_few(app: App) -> None:
    """Of those made as a file two, in all a quarter of REST's threads; each gives its place back at its end."""
    key = app.create_key("export")
    client = app.flask.test_client()

    def begin_one(form: str) -> Response:
        return client.get(
            f"/api/surveys/phq9/export?format={form}",
            headers={"Authorization": f"Bearer {key}"},
            base_url=app.flask.extensions["stepkeep"].settings.public_url or "http://localhost",
            buffered=False,
        )

    written = [begin_one("xlsx") for _ in range(2)]
    assert [one.status_code for one in written] == [200, 200]
    refused = begin_one("xlsx")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    streamed = [begin_one("csv") for _ in range(app.store.settings.rest_threads // 4 - 2)]
    assert {one.status_code for one in streamed} == {200}
    assert begin_one("csv").status_code == 429
    for one in (*written, *streamed):
        one.close()  # none was read
    assert begin_one("xlsx").status_code == 200


def test_export_that_fails_gives_its_place_back(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a few faults would end all exports."""
    monkeypatch.setattr(Export, "make", _broken)
    for _ in range(app.store.settings.rest_threads):
        assert app.request("GET", "/api/surveys/phq9/export", app.create_key("export")).status_code == 503


def _broken(*_: object) -> None:
    raise DatabaseUnavailable("away")
