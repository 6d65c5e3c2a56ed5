"""docs/webhooks.md: its code verifies requests in both languages, and rejects forged ones."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.cli.webhooks import webhooks
from app.operations.webhooks.signing import Secret, message_headers, new_secret
from app.store.outbox import EVENTS
from tests.conftest import ROOT, skip_or_fail

PAGE = (ROOT / "docs" / "webhooks.md").read_text()
BODY = b'{"type":"session.completed","data":{"user_id":"ann"}}'

Verify = Callable[[str, dict[str, str], bytes], dict[str, Any]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def signed(*secrets: str, at_s: float | None = None) -> dict[str, str]:
    at = int((time.time() if at_s is None else at_s) * 1_000_000)
    return message_headers([Secret(text, None) for text in secrets], "msg_1", at, BODY)


def in_python(name: str) -> Verify:
    scope: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, scope)  # noqa: S102 - code of the page
    verify: Verify = scope[name]
    return verify


def in_javascript() -> Verify:
    node = shutil.which("node")
    if node is None:
        skip_or_fail("Node.js is not installed (Debian: apt install nodejs)")
    (code,) = blocks("javascript")
    call = "const [s, h, b] = JSON.parse(process.argv[1]); console.log(JSON.stringify(messageOf(s, h, b)));"

    def verify(secret: str, signed_headers: dict[str, str], body: bytes) -> dict[str, Any]:
        arguments = json.dumps([secret, signed_headers, body.decode()])
        done = subprocess.run([str(node), "-e", code + call, arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(done.stderr)
        message: dict[str, Any] = json.loads(done.stdout)
        return message

    return verify


@pytest.fixture(params=["standardwebhooks", "by hand", "javascript"])
def verify(request: pytest.FixtureRequest) -> Verify:
    """Return each implementation on the page."""
    names = {"standardwebhooks": "message_of", "by hand": "message_of_by_hand"}
    return in_javascript() if request.param == "javascript" else in_python(names[request.param])


def test_code_of_the_page_accepts_valid_requests_only(verify: Verify) -> None:
    """Requests signed with one or two secrets are valid; a wrong secret, body, id or time is rejected."""
    secret, other = new_secret(), new_secret()
    assert verify(secret, signed(secret), BODY) == json.loads(BODY)
    assert verify(secret, signed(other, secret), BODY) == json.loads(BODY)
    for signed_headers, body in (
        (signed(other), BODY),
        (signed(secret), BODY.replace(b"ann", b"ben")),
        ({**signed(secret), "webhook-id": "msg_2"}, BODY),
        (signed(secret, at_s=time.time() - 3600), BODY),
    ):
        with pytest.raises(Exception, match=r"."):
            verify(secret, signed_headers, body)


def test_page_names_every_event_and_command() -> None:
    """The page documents every event and the commands for webhooks."""
    assert all(f"`{event}`" in PAGE for event in EVENTS)
    named = set(re.findall(r"flask webhooks ([a-z-]+)", PAGE))
    assert named <= set(webhooks.commands)
    assert named >= {"add", "test", "deliveries", "replay", "enable", "rotate-secret"}
