"""Which responses are compressed, and which never are."""

import gzip

import pytest

from app.settings import Settings
from tests.web.production import App, production_app

GZIP = {"Accept-Encoding": "br, gzip"}


@pytest.mark.parametrize("path", ["/s/phq9", "/", "/docs", "/api/surveys/phq9"])
def test_page_and_json_are_compressed_for_clients_that_take_it(app: App, path: str) -> None:
    """Caches keep both forms apart."""
    plain, packed = app.request("GET", path), app.request("GET", path, headers=GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content_length == len(packed.data) < len(plain.data) / 2
    assert gzip.decompress(packed.data)[:100] == plain.data[:100]
    assert "Content-Encoding" not in plain.headers
    assert "Accept-Encoding" in plain.vary
    assert "Accept-Encoding" in packed.vary


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0"])
def test_client_without_gzip_gets_the_plain_body(app: App, accepted: str) -> None:
    """Also one that refuses it."""
    for path in ("/s/phq9", "/assets/style.css"):
        answer = app.request("GET", path, headers={"Accept-Encoding": accepted})
        assert "Content-Encoding" not in answer.headers
        assert b"{" in answer.data


def test_page_with_a_token_is_not_compressed(app: App) -> None:
    """Its compressed size would tell about it (BREACH)."""
    key = app.create_key()
    signed_in = app.request("POST", "/sign-in", data={"key": key})
    cookie = signed_in.headers["Set-Cookie"].split(";")[0]
    for path in ("/dashboard", "/dashboard/sessions", "/dashboard/surveys/phq9"):
        answer = app.request("GET", path, headers={**GZIP, "Cookie": cookie})
        assert "csrf" in answer.text
        assert "Content-Encoding" not in answer.headers


def test_body_with_an_etag_is_not_compressed(app: App) -> None:
    """A strong ETag names one sequence of bytes (RFC 9110, 8.8.1), and clients send a session's in If-Match."""
    app.begin_session("somebody")
    token = app.create_token("somebody")
    answer = app.request("GET", "/api/session/somebody?survey=phq9", token, headers=GZIP)
    assert answer.headers["ETag"]
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("path", "is_compressed"),
    [
        ("/?lang=REPEATED", False),
        ("/?other=REPEATED", True),
        ("/s/phq9?lang=de-REPEATED", True),
        ("/left?lang=de-REPEATED", False),
        ("/assets/texts/0/de-REPEATED.json", False),
    ],
)
def test_compressed_body_repeats_no_text_of_its_request(app: App, path: str, *, is_compressed: bool) -> None:
    """Links to surveys pass on what their sessions begin with."""
    answer = app.request("GET", path, headers=GZIP)
    assert ("Content-Encoding" in answer.headers) == is_compressed
    assert not is_compressed or b"REPEATED" not in gzip.decompress(answer.data)


def test_embedded_page_is_not_compressed(sqlite_settings: Settings) -> None:
    """Neither that with the token nor the one before it, which repeats its address."""
    with production_app(sqlite_settings.model_copy(update={"frame_ancestors": "https://www.example.org"})) as app:
        for path in ("/embed/phq9/page", "/embed/phq9?lang=de", "/embed/unknown"):
            answer = app.request("GET", path, headers={**GZIP, "Sec-Fetch-Site": "same-origin"})
            assert answer.status_code == 200
            assert ("data-token" in answer.text) == path.endswith("/page")
            assert "Content-Encoding" not in answer.headers
