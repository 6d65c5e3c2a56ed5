"""A survey's export and codebook over REST."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse as Response

from app.errors import DatabaseUnavailable
from app.operations.export.export import Export
from app.operations.export.request import FORMATS
from app.settings import Settings
from app.survey.snapshot import SessionKey
from app.web.rest.export import CodebookResponse
from app.web.rest.models import Problem
from tests.conftest import SURVEYS
from tests.databases import create_sqlite
from tests.operations.export.reading import csv_rows, save
from tests.store.test_erasures import begin, set_aside
from tests.web.production import App, production_app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with production_app(Settings(database_url=create_sqlite(tmp_path / "test.db"), surveys_dir=SURVEYS)) as app:
        yield app


@pytest.mark.parametrize("format_name", FORMATS)
def test_export_has_its_media_type_and_the_counts_of_omitted_sessions(app: App, format_name: str) -> None:
    """In every format."""
    begin(app.store, SessionKey("phq9", "ann"))
    set_aside(app.store, SessionKey("phq9", "ann"))
    save(app.store, "phq9", "ben", {"Q1": 2})
    info = FORMATS[format_name]  # type: ignore[index]
    answer = app.request("GET", f"/api/surveys/phq9/export?format={format_name}", app.create_key("export"))
    assert (answer.status_code, answer.content_type) == (200, info.media_type)
    assert answer.headers["Content-Disposition"] == f"attachment; filename=phq9.{info.suffix}"
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
def test_invalid_parameters_are_refused_before_the_first_byte(app: App, query: str, status: int) -> None:
    answer = app.request("GET", f"/api/surveys/phq9/export?{query}", app.create_key("export"))
    assert answer.status_code == status
    Problem.model_validate_json(answer.data)


def test_unknown_survey_has_no_export_and_no_codebook(app: App) -> None:
    for resource in ("export", "codebook"):
        assert app.request("GET", f"/api/surveys/nothing/{resource}", app.create_key("export")).status_code == 404


def test_codebook_is_json_or_markdown(app: App) -> None:
    answer = app.request("GET", "/api/surveys/intake/codebook", app.create_key("export"))
    assert CodebookResponse.model_validate_json(answer.data).codebook.survey_id == "intake"
    page = app.request("GET", "/api/surveys/intake/codebook?format=markdown", app.create_key("export"))
    assert page.text.startswith("# Codebook: Before your visit")


@pytest.mark.parametrize("resource", ["export?format=sav&", "export?", "codebook?", "codebook?format=markdown&"])
def test_language_of_labels_is_one_of_the_survey(app: App, resource: str) -> None:
    """Another is refused with those that there are; what is no language tag is refused as such."""
    key = app.create_key("export")
    assert app.request("GET", f"/api/surveys/gad7/{resource}language=de-AT", key).status_code == 200
    refused = app.request("GET", f"/api/surveys/gad7/{resource}language=fr", key)
    assert refused.status_code == 422
    assert "no texts in fr; it has de, en" in Problem.model_validate_json(refused.data).detail
    assert app.request("GET", f"/api/surveys/gad7/{resource}language=d!", key).status_code == 422


def test_concurrent_exports_are_limited(app: App) -> None:
    """Two of those written to a file first, in all a quarter of the REST threads; closing one frees its place."""
    key = app.create_key("export")
    client = app.flask.test_client()

    def start_export(form: str) -> Response:
        return client.get(
            f"/api/surveys/phq9/export?format={form}",
            headers={"Authorization": f"Bearer {key}"},
            base_url=app.flask.extensions["stepkeep"].store.settings.public_url or "http://localhost",
            buffered=False,
        )

    written = [start_export("xlsx") for _ in range(2)]
    assert [response.status_code for response in written] == [200, 200]
    refused = start_export("xlsx")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    streamed = [start_export("csv") for _ in range(app.store.settings.rest_threads // 4 - 2)]
    assert {response.status_code for response in streamed} == {200}
    assert start_export("csv").status_code == 429
    for response in (*written, *streamed):
        response.close()  # none was read
    assert start_export("xlsx").status_code == 200


def test_failed_export_frees_its_place(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Export, "write", _fail)
    for _ in range(app.store.settings.rest_threads):
        assert app.request("GET", "/api/surveys/phq9/export", app.create_key("export")).status_code == 503


def _fail(*_: object) -> None:
    raise DatabaseUnavailable("test")
