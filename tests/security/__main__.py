"""Scan a server in production mode with Wapiti, without and with credentials (docs/security/scan.md).

    python -m tests.security WAPITI FOLDER

WAPITI is the path of the program, in a separate environment; FOLDER receives the reports. Takes up to 16 minutes.
"""

import json
import re
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.access.credentials import Credentials
from app.access.principals import SCOPES
from app.sessions.service import open_store
from app.settings import Settings
from app.store.engine import normalise_url
from app.store.migrations import upgrade_schema
from app.survey.snapshot import SessionKey
from app.web.rest.documents import openapi_document
from tests.conftest import SURVEYS, Server

MODULES = (
    "backup,brute_login_form,buster,cookieflags,crlf,csp,csrf,exec,file,htaccess,http_headers,https_redirect,ldap,"
    "methods,permanentxss,redirect,shellshock,spring4shell,sql,timesql,upload,xss"
)
"""All modules except those that need the internet (databases, callback hosts) or a certificate."""

UNLIMITED = "10000000/minute"
KEY = SessionKey("phq9", "user123")


def credentials(settings: Settings, secret: str) -> tuple[str, str]:
    """Create the session for the scan; return an API key and the cookie of a sign-in."""
    store = open_store(settings)
    store.turns.get_or_create(KEY, is_audio_mode=False)
    access = Credentials(store, [secret])
    key = access.create_key("scan", SCOPES)
    cookie, _ = access.sign_in(key)
    access.revocations.close()
    store.close()
    return key, cookie


def document(url: str) -> dict[str, Any]:
    """Return the OpenAPI document with defaults for Wapiti, so that its requests reach the session."""
    openapi: dict[str, Any] = json.loads(json.dumps(openapi_document()))
    openapi["servers"] = [{"url": url}]
    for item in openapi["paths"].values():
        for operation in [item, *(value for value in item.values() if isinstance(value, dict))]:
            parameters = operation.get("parameters", [])
            # Wapiti knows no valid cursor.
            parameters[:] = [parameter for parameter in parameters if parameter["schema"].get("format") != "cursor"]
            for parameter in parameters:
                default = parameter.get("example", *parameter["schema"].get("enum", [None])[:1])
                if default is not None:
                    parameter["schema"]["default"] = default
    for schema in openapi["components"]["schemas"].values():
        if "hours" in schema.get("properties", ()):
            schema["properties"]["hours"] = {"type": "integer", "default": 1}
    openapi["components"]["schemas"]["Command"] = {
        "type": "object",
        "properties": {
            "type": {"type": "string", "default": "answer"},
            "id": {"type": "string", "default": "scan"},
            "step": {"type": "string", "default": "Q1"},
            "value": {"type": "string", "default": "1"},
        },
    }
    return openapi


def scan(wapiti: str, url: str, folder: Path, name: str, *headers: str) -> None:
    """Scan the server and write the report, without local paths and credentials."""
    swagger, report = folder / "openapi.json", folder / f"{name}.json"
    swagger.write_text(json.dumps(document(url)))
    options = {
        "-u": f"{url}/",
        "--swagger": swagger,
        "--scope": "domain",
        "-m": MODULES,
        "-s": f"{url}/sign-in",  # which no page links to
        "-x": f"{url}/sign-out",  # otherwise the rest of the scan would be signed out
        "--max-scan-time": 480,
        "--max-attack-time": 60,
        "--store-session": folder / name,
        "--store-config": folder / name,
        "-dr": 1,
        "-f": "json",
        "-o": report,
    }
    arguments = [str(part) for option in options.items() for part in option]
    arguments += [part for header in headers for part in ("-H", header)]
    subprocess.run([wapiti, *arguments, "--flush-session", "--no-bugreport"], check=False)
    report.write_text(json.dumps(trimmed(json.loads(report.read_text()), url), indent=1) + "\n")


def trimmed(report: dict[str, Any], url: str) -> dict[str, Any]:
    """Return the pages and findings of a report, without local paths and random ids."""
    pages = [page["request"] for page in report["infos"]["crawled_pages"]]
    findings = {
        kind: [
            _without_ids(f"{title}: {entry['method']} {entry['path']}: {entry['info']}", url)
            for title, entries in report[kind].items()
            for entry in entries
        ]
        for kind in ("vulnerabilities", "anomalies", "additionals")
    }
    seen = sorted(_without_ids(f"{page['method']} {page['url']} {page['status_code']}", url) for page in pages)
    return {"version": report["infos"]["version"], "pages": seen, **findings}


def _without_ids(text: str, url: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<uuid>", text.replace(url, ""))


def main(wapiti: str, out: str) -> None:
    """Scan a server with an empty database twice, and copy the reports."""
    with tempfile.TemporaryDirectory() as name:
        folder, secret = Path(name), secrets.token_urlsafe(32)
        server = Server(folder, environment={"STEPKEEP_ENVIRONMENT": "production", "SECRET_KEY": secret})
        server.environment |= {
            "STEPKEEP_PUBLIC_URL": server.url,
            "STEPKEEP_ADDRESS_REQUESTS": UNLIMITED,
            "STEPKEEP_ADDRESS_FAILURES": UNLIMITED,
        }
        upgrade_schema(normalise_url(server.database_url))
        settings = Settings(database_url=server.database_url, surveys_dir=SURVEYS, secret_key=SecretStr(secret))
        key, cookie = credentials(settings, secret)
        server.start()
        try:
            scan(wapiti, server.url, folder, "scan-anyone")
            headers = (f"Authorization: Bearer {key}", f"Cookie: __Host-stepkeep-sign-in={cookie}")
            scan(wapiti, server.url, folder, "scan-signed-in", *headers)
        finally:
            server.stop()
        errors = [line for line in server.log.splitlines() if " ERROR " in line]
        for report in folder.glob("scan-*.json"):
            (Path(out) / report.name).write_text(report.read_text())
    sys.stderr.write(f"{len(errors)} errors in the server's log\n" + "".join(f"{line}\n" for line in errors))


main(*sys.argv[1:])
