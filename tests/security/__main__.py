"""Scan a server in production mode with Wapiti, without credentials and with them: docs/security/scan.md.

    python -m tests.security WAPITI FOLDER

WAPITI is the program, of an environment of its own; the reports come into FOLDER. Takes up to twice eight minutes.
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
from app.store.migrations import upgrade_schema
from app.survey.snapshot import SessionKey
from app.web.rest.openapi.document import openapi_document
from tests.conftest import SURVEYS, Server

MODULES = (
    "backup,brute_login_form,buster,cookieflags,crlf,csp,csrf,exec,file,htaccess,http_headers,https_redirect,ldap,"
    "methods,permanentxss,redirect,shellshock,spring4shell,sql,timesql,upload,xss"
)
"""All but those that need the internet (their databases, or a host that notes who calls it) or a certificate."""

OFTEN = "10000000/minute"
KEY = SessionKey("phq9", "user123")


def credentials(settings: Settings, secret: str) -> tuple[str, str]:
    """Begin the session that the scan is to look at; return an API key and the cookie of a sign-in."""
    store = open_store(settings)
    store.turns.get_or_create(KEY, is_audio_mode=False)
    made = Credentials(store, [secret])
    key = made.create_key("scan", SCOPES)
    cookie, _ = made.sign_in(key)
    made.revocations.close()
    store.close()
    return key, cookie


def document(url: str) -> dict[str, Any]:
    """Return the OpenAPI document with what Wapiti fills in where it would guess: the session that is there."""
    made: dict[str, Any] = json.loads(json.dumps(openapi_document()))
    made["servers"] = [{"url": url}]
    for item in made["paths"].values():
        for operation in [item, *(one for one in item.values() if isinstance(one, dict))]:
            found = operation.get("parameters", [])
            found[:] = [one for one in found if one["schema"].get("format") != "cursor"]  # of which it knows none
            for parameter in found:
                given = parameter.get("example", *parameter["schema"].get("enum", [None])[:1])
                if given is not None:
                    parameter["schema"]["default"] = given
    for name in ("LinkAsked", "Invitation"):
        made["components"]["schemas"][name]["properties"]["hours"] = {"type": "integer", "default": 1}
    made["components"]["schemas"]["Command"] = {
        "type": "object",
        "properties": {
            "type": {"type": "string", "default": "answer"},
            "id": {"type": "string", "default": "scan"},
            "step": {"type": "string", "default": "Q1"},
            "value": {"type": "string", "default": "1"},
        },
    }
    return made


def scan(wapiti: str, url: str, folder: Path, name: str, *shown: str) -> None:
    """Scan the server once and write the report, without this machine's paths and what was shown."""
    swagger, report = folder / "openapi.json", folder / f"{name}.json"
    swagger.write_text(json.dumps(document(url)))
    options = {
        "-u": f"{url}/",
        "--swagger": swagger,
        "--scope": "domain",
        "-m": MODULES,
        "-s": f"{url}/sign-in",  # to which no link leads
        "-x": f"{url}/sign-out",  # else the rest of the scan is signed out
        "--max-scan-time": 480,
        "--max-attack-time": 60,
        "--store-session": folder / name,
        "--store-config": folder / name,
        "-dr": 1,
        "-f": "json",
        "-o": report,
    }
    given = [str(part) for option in options.items() for part in option]
    headers = [part for header in shown for part in ("-H", header)]
    subprocess.run([wapiti, *given, *headers, "--flush-session", "--no-bugreport"], check=False)
    report.write_text(json.dumps(trimmed(json.loads(report.read_text()), url), indent=1) + "\n")


def trimmed(report: dict[str, Any], url: str) -> dict[str, Any]:
    """Return what Wapiti saw and found: nothing of this machine, and no random ids."""
    pages = [page["request"] for page in report["infos"]["crawled_pages"]]
    found = {
        kind: [
            _without_ids(f"{title}: {one['method']} {one['path']}: {one['info']}", url)
            for title, entries in report[kind].items()
            for one in entries
        ]
        for kind in ("vulnerabilities", "anomalies", "additionals")
    }
    seen = sorted(_without_ids(f"{page['method']} {page['url']} {page['status_code']}", url) for page in pages)
    return {"version": report["infos"]["version"], "pages": seen, **found}


def _without_ids(text: str, url: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<uuid>", text.replace(url, ""))


def main(wapiti: str, out: str) -> None:
    """Start the server on an empty database, scan it twice, and copy the reports."""
    with tempfile.TemporaryDirectory() as name:
        folder, secret = Path(name), secrets.token_urlsafe(32)
        server = Server(folder, environment={"STEPKEEP_ENVIRONMENT": "production", "SECRET_KEY": secret})
        server.environment |= {
            "STEPKEEP_PUBLIC_URL": server.url,
            "STEPKEEP_ADDRESS_REQUESTS": OFTEN,
            "STEPKEEP_ADDRESS_FAILURES": OFTEN,
        }
        upgrade_schema(server.database_url)
        settings = Settings(database_url=server.database_url, surveys_dir=SURVEYS, secret_key=SecretStr(secret))
        key, cookie = credentials(settings, secret)
        server.start()
        try:
            scan(wapiti, server.url, folder, "scan-anyone")
            shown = (f"Authorization: Bearer {key}", f"Cookie: __Host-stepkeep-sign-in={cookie}")
            scan(wapiti, server.url, folder, "scan-signed-in", *shown)
        finally:
            server.stop()
        faults = [line for line in server.log.splitlines() if " ERROR " in line]
        for report in folder.glob("scan-*.json"):
            (Path(out) / report.name).write_text(report.read_text())
    sys.stderr.write(f"{len(faults)} faults in the server's log\n" + "".join(f"{line}\n" for line in faults))


main(*sys.argv[1:])
