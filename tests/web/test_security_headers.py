"""The response headers of a server in production: cookies, CORS, HSTS, Content-Security-Policy, types and caching."""

import re

from werkzeug.test import TestResponse

from app.settings import Settings
from tests.conftest import ROOT
from tests.web.http_client import all_responses, send_row
from tests.web.matrix import ROWS
from tests.web.production import EVIL, SITE, App, production_app

COOKIE = "__Host-stepkeep.phq9"


SIGN_IN_COOKIE = "__Host-stepkeep-sign-in"


YEAR_S = 365 * 86_400


def test_cookies_are_host_only_secure_and_same_site(app: App) -> None:
    """And HttpOnly; with the prefix __Host- no other host can set them."""
    answers = [
        (app.request("GET", "/s/phq9"), COOKIE, "Lax"),
        (app.request("POST", "/s/phq9/anew"), COOKIE, "Lax"),
        (app.request("POST", "/resume", json={"token": app.create_token("somebody"), "confirm": True}), COOKIE, "Lax"),
        (app.request("POST", "/leave?survey=phq9"), COOKIE, "Lax"),
        (app.request("POST", "/sign-in", data={"key": app.create_key()}), SIGN_IN_COOKIE, "Strict"),
    ]
    for answer, name, site in answers:
        cookies = answer.headers.getlist("Set-Cookie")
        (cookie,) = (each for each in cookies if "Path=/embed/" not in each)  # tests/web/pages/test_embed.py has that
        parts = [part.strip() for part in cookie.split(";")]
        assert parts[0].startswith(f"{name}=")
        assert {"Secure", "HttpOnly", "Path=/", f"SameSite={site}"} <= set(parts)
        assert not [part for part in parts if part.lower().startswith("domain")]


def cors_headers(answer: TestResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("access-control-")}


def test_cors_is_off_unless_the_origin_is_allowed(app: App, sqlite_settings: Settings) -> None:
    """By STEPKEEP_ALLOWED_ORIGINS, exactly, for REST only and without cookies."""
    preflight = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "Authorization"}
    for origin in (SITE, EVIL, "null"):
        for row in ROWS:
            assert not cors_headers(send_row(app, row, Origin=origin)), row
        assert not cors_headers(app.request("OPTIONS", "/api/sessions", headers={"Origin": origin, **preflight}))
    with production_app(
        sqlite_settings, allowed_origins="https://app.test,https://two.test,http://[::1]:3000"
    ) as other:
        for origin in ("https://app.test", "https://two.test", "http://[::1]:3000"):
            headers = cors_headers(other.request("OPTIONS", "/api/sessions", headers={"Origin": origin, **preflight}))
            assert headers["Access-Control-Allow-Origin"] == origin
            assert "Access-Control-Allow-Credentials" not in headers
            assert not cors_headers(other.request("GET", "/", headers={"Origin": origin}))
        wrong = [
            "http://app.test",
            "https://app.test.evil.test",
            "https://appxtest",
            "https://app.test:8443",
            "http://1:3000",
            "null",
        ]
        for origin in [*wrong, "https://evil.test/https://app.test", SITE]:
            assert not cors_headers(
                other.request("OPTIONS", "/api/sessions", headers={"Origin": origin, **preflight})
            ), origin
            assert not cors_headers(other.request("GET", "/api/surveys", headers={"Origin": origin})), origin


def test_every_response_has_hsts_for_a_year(app: App) -> None:
    """Including subdomains (RFC 6797)."""
    for label, answer in all_responses(app):
        header = answer.headers.get("Strict-Transport-Security", "")
        match = re.fullmatch(r"max-age=(\d+); includeSubDomains", header)
        assert match, label
        assert int(match[1]) >= YEAR_S


def test_every_response_has_the_security_headers(app: App) -> None:
    expected = {
        "X-Content-Type-Options": {"nosniff"},
        "Referrer-Policy": {"no-referrer", "same-origin"},
        "Cross-Origin-Opener-Policy": {"same-origin"},
        "Cross-Origin-Resource-Policy": {"same-origin"},
    }
    for label, answer in all_responses(app):
        for name, values in expected.items():
            assert answer.headers.get(name) in values, f"{label}: {name}"
        policy = answer.headers.get("Content-Security-Policy", "")
        assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy.split("; ")), label
        assert "microphone=(self)" in answer.headers.get("Permissions-Policy", ""), label
        assert "X-Powered-By" not in answer.headers


def test_every_response_has_its_content_type(app: App) -> None:
    """With the character set if it is text; assets by their file name."""
    for label, answer in all_responses(app):
        if answer.data:
            kind = answer.headers.get("Content-Type", "")
            assert re.fullmatch(r"[a-z]+/[a-z+-]+(; version=0\.0\.4)?(; charset=utf-8)?", kind), f"{label}: {kind}"
            assert kind.endswith("; charset=utf-8") or not kind.startswith("text/"), label
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
    folder = ROOT / "app" / "web" / "static"
    for file in sorted(path for path in folder.rglob("*") if path.suffix in kinds):
        answer = app.request("GET", f"/assets/{file.relative_to(folder)}")
        assert answer.mimetype == kinds[file.suffix], file
        assert answer.headers["Content-Type"].endswith("; charset=utf-8") or file.suffix == ".woff2", file


def test_content_security_policy_allows_own_files_only(app: App) -> None:
    """No page has inline code or requests another host; embedded data is no code."""
    policy = dict(part.split(" ", 1) for part in app.request("GET", "/").headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    for label, answer in all_responses(app):
        if answer.mimetype != "text/html":
            continue
        page = answer.text
        assert not re.search(
            r"<script(?![^>]*\bsrc=|\stype=\"application/json\")|<style|\sstyle=|\son[a-z]+=|javascript:", page
        ), label
        sources = re.findall(r"<(?:script|img|link|iframe|form)\b[^>]*\b(?:src|href|action)=\"([^\"]*)\"", page)
        assert not [source for source in sources if re.match(r"//|[a-z]+:", source)], label


def test_responses_are_not_cached(app: App) -> None:
    """All but the assets; conditional requests included."""
    for label, answer in all_responses(app):
        if not label.startswith("GET /assets"):
            assert answer.headers.get("Cache-Control") == "no-store", label
    app.begin_session("somebody")
    token = app.create_token("somebody")
    first = app.request("GET", "/api/session/somebody?survey=phq9", token)
    again = app.request(
        "GET", "/api/session/somebody?survey=phq9", token, headers={"If-None-Match": first.headers["ETag"]}
    )
    assert again.headers["Cache-Control"] == "no-store"
