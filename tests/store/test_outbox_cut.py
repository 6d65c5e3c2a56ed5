"""A COMMIT that is cut: the delivery is in the outbox once, as the event is in history once."""

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.commands import Begin, Restart
from app.survey.snapshot import SessionKey
from tests.conftest import SERVER_KINDS, SURVEYS, Servers
from tests.proxy import Proxy, When
from tests.store.test_outbox import deliveries, hook

ANN = SessionKey("phq9", "ann")
COMMIT = {"postgresql": b"COMMIT\0", "mysql": b"\x03COMMIT"}


@pytest.fixture(params=SERVER_KINDS)
def wire(request: pytest.FixtureRequest, servers: Servers) -> Iterator[tuple[SessionStore, Proxy, bytes]]:
    """A store that reaches its database through a proxy."""
    server = servers(request.param)
    direct = server.create_migrated()
    url = make_url(direct)
    proxy = Proxy(url.host or "127.0.0.1", url.port or 0)
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    store = open_store(Settings(database_url=through, surveys_dir=SURVEYS, retry_delay_s=0.01))
    yield store, proxy, COMMIT[request.param]
    store.close()
    proxy.close()
    server.drop_database(direct)


@pytest.mark.parametrize("when", ["before", "after"])
def test_delivery_is_added_once_when_its_commit_is_cut(wire: tuple[SessionStore, Proxy, bytes], when: When) -> None:
    """Whether or not the server had committed, the retry adds no second delivery."""
    store, proxy, commit = wire
    hook(store)
    store.turns.submit(ANN, Begin(at=store.clock()))
    cut = proxy.cut_when(commit, when, 1)
    store.turns.submit(ANN, Restart(at=store.clock()))
    assert cut.happened == 1
    assert deliveries(store) == [("started", "ann", 1), ("started", "ann", 2)]
