"""A real server that is killed between a commit and its delivery delivers after the next start."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, select, update

from app.operations.webhooks import dispatcher, management
from app.sessions.service import open_store
from app.settings import Settings
from app.store.tables import leases, webhook_deliveries
from tests.conftest import SERVER_KINDS, SURVEYS, Server, Servers, migrated_database
from tests.operations.webhooks.receiver import Receiver


@pytest.fixture(params=["sqlite", *(pytest.param(kind, marks=pytest.mark.long) for kind in SERVER_KINDS)])
def server(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path, receiver: Receiver) -> Iterator[Server]:
    """Yield a development server with a webhook to the receiver."""
    with migrated_database(request.param, servers, tmp_path) as url:
        store = open_store(Settings(database_url=url, surveys_dir=SURVEYS, environment="development"))
        management.add_webhook(store, receiver.url, ["session.started"])
        store.close()
        running = Server(tmp_path, database=url)
        running.start()
        yield running
        running.stop()


def begin(server: Server, user_id: str) -> None:
    """Start a session by REST; return when it is committed."""
    command = json.dumps({"type": "mode", "id": f"m-{user_id}", "audio": True}).encode()
    request = urllib.request.Request(f"{server.url}/api/session/{user_id}/commands?survey=phq9", command, method="POST")
    request.add_header("Content-Type", "application/json")
    with contextlib.closing(urllib.request.urlopen(request, timeout=20)) as answer:
        assert json.load(answer)["type"] == "ack"


def expire_lease(connection: Connection) -> None:
    """Let the killed server's lease end, as LEASE_S after the kill."""
    expired = update(leases).where(leases.c.name == dispatcher.LEASE).values(until=1)
    assert connection.execute(expired).rowcount == 1


def test_committed_events_are_delivered_after_a_kill(server: Server, receiver: Receiver) -> None:
    """Requests in flight are repeated with the same id."""
    receiver.behaviours = [receiver.hang] * 4
    users = [f"u{number}" for number in range(8)]
    for user_id in users:
        begin(server, user_id)
    receiver.wait_for(4)
    server.kill()
    store = open_store(Settings(database_url=server.database_url, surveys_dir=SURVEYS, answers_keys=SecretStr("")))
    column = webhook_deliveries.c.delivered_at
    assert store.run_read(lambda connection: connection.execute(select(column)).scalars().all()) == [None] * 8
    store.run_transaction(expire_lease)
    store.close()
    before = {request.id for request in receiver.received}
    server.start()
    receiver.wait_for(4 + 8)
    after = receiver.received[4:]
    assert before <= {request.id for request in after}
    assert {request.message["data"]["user_id"] for request in after} == set(users)


def test_two_workers_deliver_each_event_once(servers: Servers, tmp_path: Path, receiver: Receiver) -> None:
    """Whichever worker committed it."""
    with migrated_database("postgresql", servers, tmp_path) as url:
        store = open_store(Settings(database_url=url, surveys_dir=SURVEYS, environment="development"))
        management.add_webhook(store, receiver.url, ["session.started"])
        store.close()
        running = Server(tmp_path, database=url, environment={"WEB_CONCURRENCY": "2"})
        running.start()
        for number in range(40):
            begin(running, f"u{number}")
        received = receiver.wait_for(40)
        assert running.terminate() == 0
        assert sorted(request.message["data"]["user_id"] for request in received) == sorted(
            f"u{number}" for number in range(40)
        )
        assert len(receiver.received) == 40
