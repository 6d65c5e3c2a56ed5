"""The images of surveys: which files are served, and that nothing in them runs."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.catalogue.media import MAX_BYTES
from app.sessions.service import open_store
from app.settings import Settings
from app.web.factory import create_app
from tests.databases import create_sqlite

PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
SCRIPT = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the images."""
    media = tmp_path / "surveys" / "media"
    media.mkdir(parents=True)
    return media


@pytest.fixture
def client(tmp_path: Path, folder: Path) -> FlaskClient:
    settings = Settings(
        database_url=create_sqlite(tmp_path / "sessions.db"), surveys_dir=folder.parent, environment="development"
    )
    return create_app(settings, open_store(settings)).test_client()


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("a.png", "image/png"), ("b.JPG", "image/jpeg"), ("c.webp", "image/webp"), ("d.gif", "image/gif")],
)
def test_image_is_served_with_its_type(client: FlaskClient, folder: Path, name: str, content_type: str) -> None:
    """And may be kept for an hour."""
    (folder / name).write_bytes(PIXEL)
    response = client.get(f"/media/{name}", buffered=True)
    assert (response.status_code, response.data) == (200, PIXEL)
    assert response.content_type == content_type
    assert response.headers["Cache-Control"] == "public, max-age=3600"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert (
        client.get(f"/media/{name}", headers={"If-None-Match": response.headers["ETag"]}, buffered=True).status_code
        == 304
    )


def test_nothing_in_an_svg_runs(client: FlaskClient, folder: Path) -> None:
    """Even in a window of its own."""
    (folder / "a.svg").write_text(SCRIPT)
    response = client.get("/media/a.svg", buffered=True)
    assert response.content_type.startswith("image/svg+xml")
    policy = response.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'none'"} <= set(policy)
    assert not [part for part in policy if part.startswith("script-src")]


def test_other_files_are_not_served(client: FlaskClient, folder: Path, tmp_path: Path) -> None:
    """Neither of other types and folders, nor links to them, nor files that are too large."""
    (folder / "a.html").write_text("x")
    (folder / "sub").mkdir()
    (folder / "sub" / "a.png").write_bytes(PIXEL)
    (folder.parent / "a.png").write_bytes(PIXEL)
    (tmp_path / "secret.png").write_bytes(PIXEL)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with (folder / "large.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for path in ("a.html", "sub/a.png", "../a.png", "..%2fa.png", "%2e%2e/a.png", "..%5ca.png", "link.png"):
        assert client.get(f"/media/{path}").status_code == 404, path
    for path in ("large.png", "none.png", "sub", ".png", "a.png%00.html", "%00"):
        assert client.get(f"/media/{path}").status_code == 404, path
