"""Database servers that tests kill."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import SERVER_KINDS, skip_or_fail
from tests.database_servers import NoServer, OwnServer, own_server

KillableServers = Callable[[str], OwnServer]


def killable_group(kind: str) -> pytest.MarkDecorator:
    """Let one xdist worker run all tests that kill a database server of this kind."""
    return pytest.mark.xdist_group(f"killable {kind}")


@pytest.fixture(scope="session")
def killable_servers() -> Iterator[KillableServers]:
    """The durable database servers of this worker by kind, which tests may kill; its tests have `killable_group`."""
    started: dict[str, OwnServer] = {}

    def server_of_kind(kind: str) -> OwnServer:
        try:
            if kind not in started:
                started[kind] = own_server(kind, durable=True)
        except NoServer as error:
            skip_or_fail(str(error))
        if started[kind].process is None:  # a test failed after it had killed the server
            started[kind].start()
        return started[kind]

    yield server_of_kind
    for server in started.values():
        server.close()


@pytest.fixture(params=[pytest.param(kind, marks=killable_group(kind)) for kind in SERVER_KINDS])
def killable(request: pytest.FixtureRequest, killable_servers: KillableServers) -> OwnServer:
    """A durable database server that the test may kill; it starts it again."""
    return killable_servers(request.param)
