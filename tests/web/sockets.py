"""WebSockets to the application in this process, as clients of its own address open them."""

import contextlib
import json
import socket
from collections.abc import Iterator

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect


@contextlib.contextmanager
def socket_to(
    port: int, user_id: str, token: str | None = None, *, host: str = "survey.test", **headers: str
) -> Iterator[ClientConnection]:
    """Give an open connection; a token goes into Authorization, as other headers stand, ``_`` in them for ``-``."""
    shown = {} if token is None else {"Authorization": f"Bearer {token}"}
    with connect(
        f"ws://{host}/ws/survey/{user_id}?survey=phq9",
        sock=socket.create_connection(("127.0.0.1", port)),
        additional_headers={**{name.replace("_", "-"): text for name, text in headers.items()}, **shown},
        open_timeout=30,
    ) as ws:
        yield ws


def refusal(ws: ClientConnection) -> int | None:
    """Return by which code the server refuses the connection; None where it shows the session."""
    try:
        while json.loads(ws.recv(timeout=30))["type"] != "state":
            pass
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code
    return None
