"""Erases participants who answer, and shows that their tokens are refused afterwards."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import httpx

from app.core.message_ids import new_message_id
from app.survey.snapshot import SessionKey
from tests.chaos.plan import Fault
from tests.chaos.world import World
from tests.conftest import ROOT, Server
from tests.waiting import wait_for

REQUEST_TIMEOUT_S = 15
COMMAND_TIMEOUT_S = 60
EVERY_S = 0.2


@contextmanager
def erased(world: World, fault: Fault) -> Iterator[None]:
    """Erase a participant over REST; on exit show that the token from before is refused."""
    with _erased(world, fault, lambda key: _delete(world, world.server, key)):
        yield


@contextmanager
def erased_elsewhere(world: World, fault: Fault) -> Iterator[None]:
    """Erase a participant by another server process, if the database can have one, or by ``flask sessions erase``."""
    uses_server = len(world.servers) > 1 and fault.number % 2 == 0

    def erase(key: SessionKey) -> str:
        return _delete(world, world.servers[-1], key) if uses_server else _run_command(world, key)

    with _erased(world, fault, erase):
        yield


@contextmanager
def _erased(world: World, fault: Fault, erase: Callable[[SessionKey], str]) -> Iterator[None]:
    """Erase a participant.

    Args:
        erase: returns why the participant is not erased yet, or ''.
    """
    key = _chosen(world, fault.parameter)
    if key is not None:
        world.erasing.add(key)
        _retry(lambda: erase(key))
        world.erased[key] = time.monotonic()
    yield
    if key is not None:
        for server in world.servers:
            _retry(lambda server=server: _accepts_token(world, server, key))


def _chosen(world: World, share: float) -> SessionKey | None:
    """Return one of the sessions in which participants answer now."""
    newest = {log.participant: log for log in list(world.logs) if log.newest is not None}
    keys = [key for log in newest.values() if (key := log.key) not in world.erased]
    return keys[int(share * len(keys))] if keys else None


def _delete(world: World, server: Server, key: SessionKey) -> str:
    url = f"{server.url}/api/session/{key.user_id}"
    try:
        response = httpx.delete(
            url, params={"survey": key.survey_id}, headers=world.key_header, timeout=REQUEST_TIMEOUT_S
        )
    except httpx.TransportError as error:
        return repr(error)
    assert response.status_code in {200, 404, 503}, response.text
    return response.text if response.status_code == 503 else ""


def _run_command(world: World, key: SessionKey) -> str:
    command = ["flask", "sessions", "erase", key.user_id, "--survey", key.survey_id, "--yes"]
    # A process that starts while a SQLite file has another name would create a new one.
    with world.files_in_place if world.kind == "sqlite" else nullcontext():
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, **world.server.environment, "DATABASE_URL": world.direct_url},
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    return done.stderr or f"exit code {done.returncode}" if done.returncode else ""


def _accepts_token(world: World, server: Server, key: SessionKey) -> str:
    try:
        response = httpx.post(
            f"{server.url}/api/session/{key.user_id}/commands",
            params={"survey": key.survey_id},
            headers={"Authorization": f"Bearer {world.token(key)}"},
            json={"type": "mode", "id": new_message_id(), "audio": False},
            timeout=REQUEST_TIMEOUT_S,
        )
    except httpx.TransportError as error:
        return repr(error)
    assert response.status_code != 200, f"the token of the erased {key.user_id} was accepted"
    return response.text if response.status_code != 401 else ""


def _retry(attempt: Callable[[], str]) -> None:
    """Repeat while the server or its database is unavailable."""
    problem = ""

    def is_done() -> bool:
        nonlocal problem
        problem = attempt()
        return not problem

    wait_for(is_done, lambda: problem, every_s=EVERY_S)
