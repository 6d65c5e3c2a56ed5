"""WebSockets to the application in this process, from its own origin, and close codes."""

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from app.web.ws.asyncapi import SERVER_MESSAGE


@contextlib.contextmanager
def socket_to(
    port: int,
    user_id: str,
    token: str | None = None,
    *,
    host: str = "survey.test",
    address: str = "127.0.0.1",
    **headers: str,
) -> Iterator[ClientConnection]:
    """Yield an open connection, with the token in Authorization; ``_`` in the names of headers stands for ``-``."""
    authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
    with connect(
        f"ws://{host}/ws/survey/{user_id}?survey=phq9",
        sock=socket.create_connection(("127.0.0.1", port), source_address=(address, 0)),
        additional_headers={**{name.replace("_", "-"): text for name, text in headers.items()}, **authorization},
        open_timeout=30,
    ) as ws:
        yield ws


def close_code(ws: ClientConnection) -> int | None:
    """Receive until the server closes the connection, and return its code."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            SERVER_MESSAGE.validate_python(json.loads(ws.recv(timeout=30)))
    return None if closed.value.rcvd is None else closed.value.rcvd.code


def refusal(ws: ClientConnection) -> int | None:
    """Return the code with which the server closes the connection, or None if it sends the state."""
    try:
        while json.loads(ws.recv(timeout=30))["type"] != "state":
            pass
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code
    return None
