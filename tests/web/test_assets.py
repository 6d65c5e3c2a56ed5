"""Static files: addresses that change with them, compression, and bundles."""

import gzip
import hashlib
import json
import re
import subprocess
from pathlib import Path

import flask
import pytest
from werkzeug.exceptions import NotFound

from app.web.assets import Assets
from tests.certificates import public_environment
from tests.conftest import ROOT, skip_or_fail
from tests.web.production import App

STATIC = ROOT / "app" / "web" / "static"

IMMUTABLE = "public, max-age=31536000, immutable"

GZIP = {"Accept-Encoding": "gzip, br"}


def page_assets(page: str) -> list[str]:
    """Return the addresses of a page's static files."""
    return re.findall(r'"(/assets/[^"]+\.(?:js|css|svg))"', page)


def test_assets_of_pages_are_kept_for_good(app: App) -> None:
    """Each address has a digest, so browsers need not ask again."""
    for path in ("/", "/s/phq9", "/sign-in", "/docs"):
        addresses = page_assets(app.request("GET", path).text)
        assert len(addresses) >= 3, path
        for address in addresses:
            answer = app.request("GET", address)
            assert answer.status_code == 200, address
            assert answer.headers["Cache-Control"] == IMMUTABLE, address


def test_survey_page_names_one_script_and_one_stylesheet(app: App) -> None:
    """Their bundles; without a module, so that nothing waits for another file."""
    names = [address.partition("/bundle/")[2] for address in page_assets(app.request("GET", "/s/phq9").text)]
    assert sorted(filter(None, names)) == ["page/survey-page.css", "page/survey-page.js"]


@pytest.mark.parametrize("path", ["style.css", "0123456789abcdef/style.css"])
def test_address_without_the_current_version_is_asked_for_again(app: App, path: str) -> None:
    """It shows the current file, e.g. to a page of another release."""
    answer = app.request("GET", f"/assets/{path}")
    assert answer.data == (STATIC / "style.css").read_bytes()
    assert answer.headers["Cache-Control"] == "no-cache"
    again = app.request("GET", f"/assets/{path}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_compressed_asset_is_the_file(app: App) -> None:
    """In gzip for clients that take it; caches keep both apart."""
    for file in sorted(path for path in STATIC.rglob("*") if path.is_file()):
        address = f"/assets/{file.relative_to(STATIC)}"
        plain, packed = app.request("GET", address), app.request("GET", address, headers=GZIP)
        content = file.read_bytes()
        assert plain.data == content, file
        assert "Content-Encoding" not in plain.headers
        if packed.headers.get("Content-Encoding") == "gzip":
            assert gzip.decompress(packed.data) == content, file
            assert packed.headers["ETag"] != plain.headers["ETag"]
            assert "Accept-Encoding" in packed.vary
            assert "Accept-Encoding" in plain.vary
        else:
            assert len(content) < 1000 or file.suffix not in {".js", ".css"}, file
        assert packed.content_length == len(packed.data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of static files: two modules, and their bundle."""
    files = {"page.js": 'import "./part.js";\n', "part.js": "print();\n", "bundle/page.js": "print();\n"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    digests = {name: hashlib.sha256(files[name].encode()).hexdigest()[:16] for name in ("page.js", "part.js")}
    (tmp_path / "bundle" / "manifest.json").write_text(json.dumps({"page.js": digests}))
    return tmp_path


def test_changed_file_changes_the_addresses(folder: Path) -> None:
    """All of them, since a script's address is part of those that it imports; only while files are watched."""
    watched, fixed = Assets(folder, is_watched=True), Assets(folder, is_watched=False)
    before = watched.path("part.js")
    assert fixed.path("part.js") == before
    assert watched.path("part.js") == before
    (folder / "page.js").write_text("print(2);\n")
    assert watched.path("part.js") != before
    assert fixed.path("part.js") == before


def test_page_gets_the_modules_when_a_source_of_the_bundle_changed(folder: Path) -> None:
    """Or when there is no bundle, as while developing."""
    assets = Assets(folder, is_watched=True)
    assert assets.path("page.js").endswith("/bundle/page.js")
    assert "bundle" not in assets.path("part.js")
    part = (folder / "part.js").read_text()
    (folder / "part.js").write_text("print(2);\n")
    assert "bundle" not in assets.path("page.js")
    (folder / "part.js").write_text(part)
    assert "bundle" in assets.path("page.js")
    (folder / "bundle" / "manifest.json").unlink()
    assert "bundle" not in assets.path("page.js")


def test_missing_file_is_not_found(folder: Path) -> None:
    """With the current version too."""
    assets = Assets(folder, is_watched=False)
    version = assets.path("part.js").split("/")[0]
    with flask.Flask(__name__).test_request_context():
        assert assets.respond(f"{version}/part.js").get_data() == b"print();\n"
        for path in ("none.js", f"{version}/none.js", f"{version}/", f"{version}/../{folder.name}/part.js"):
            with pytest.raises(NotFound):
                assets.respond(path)


def test_bundles_are_current() -> None:
    """If this fails: `make bundle`. Until then, pages load each module by itself."""
    assets = Assets(STATIC, is_watched=False)
    manifest = json.loads((STATIC / "bundle" / "manifest.json").read_text())
    templates = "".join(path.read_text() for path in (ROOT / "app" / "web" / "templates").rglob("*.html"))
    named = {name for name in re.findall(r"asset_url\('(.+?\.(?:js|css))'\)", templates) if "vendor/" not in name}
    assert set(manifest) == named
    assert [name for name in named if "/bundle/" not in assets.path(name)] == []


def test_bundles_are_what_the_tool_makes(tmp_path: Path) -> None:
    """By the versions of the lock file, byte for byte: nobody has edited one."""
    tool = ROOT / "bundle"
    for name in ("package.json", "package-lock.json", "build.mjs"):
        (tmp_path / "bundle").mkdir(exist_ok=True)
        (tmp_path / "bundle" / name).write_bytes((tool / name).read_bytes())
    (tmp_path / "app").symlink_to(ROOT / "app")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        subprocess.run(
            ["npm", "ci", *options],
            cwd=tmp_path / "bundle",
            env=public_environment(),
            check=True,
            capture_output=True,
            timeout=120,
        )
    except FileNotFoundError:
        skip_or_fail("npm was not found (Debian: apt install npm)")
    made = tmp_path / "made"
    subprocess.run(["node", "build.mjs", str(made)], cwd=tmp_path / "bundle", check=True, capture_output=True)
    paths = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
    assert {str(path): (made / path).read_text() for path in paths} == {
        str(path): (STATIC / "bundle" / path).read_text() for path in paths
    }
