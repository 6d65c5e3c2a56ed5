"""The limit of descriptors is raised as far as possible, and a warning says how many connections fit; so many can wait."""

import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.web.worker import descriptor_warning, spare_descriptors
from tests.conftest import ROOT, Server
from tests.waiting import children, wait_for

RECONNECTING = 2500
"""Clients at once."""

RAISE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
from app.web.worker import raise_descriptor_limit
print(raise_descriptor_limit())
"""


def test_soft_limit_is_raised_to_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", RAISE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "128\n"


@pytest.mark.parametrize(
    ("limit", "fitting"), [(1224, None), (1223, 999), (700, 476), (100, 0)], ids=["enough", "1 less", "half", "few"]
)
def test_warning_names_the_connections_that_fit(limit: int, fitting: int | None) -> None:
    warning = descriptor_warning(limit, max_connections=1000, rest_threads=24)
    if fitting is None:
        assert warning is None
    else:
        assert warning is not None
        assert f"enough for {fitting} of STEPKEEP_MAX_CONNECTIONS=1000" in warning
        assert "1224 or more" in warning
        assert "LimitNOFILE" in warning


def test_no_limit_is_enough() -> None:
    assert spare_descriptors(-1, max_connections=10**6, rest_threads=24) > 10**6


@pytest.mark.skipif(
    int(Path("/proc/sys/net/core/somaxconn").read_text()) < RECONNECTING, reason="the kernel drops more connects"
)
def test_as_many_clients_as_the_server_admits_connect_at_once(tmp_path: Path) -> None:
    """After a restart, before anything is accepted; gunicorn's own limit is 2048."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2 * RECONNECTING, hard)), hard))
    server = Server(tmp_path, environment={"STEPKEEP_MAX_CONNECTIONS": str(RECONNECTING)})
    with contextlib.ExitStack() as clients:
        clients.callback(server.stop)
        server.start()
        assert server.process is not None
        (worker,) = children(server.process.pid)
        os.kill(worker, signal.SIGSTOP)
        clients.callback(os.kill, worker, signal.SIGCONT)
        connecting = select.poll()
        for _ in range(RECONNECTING):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", server.port))
            connecting.register(client, select.POLLOUT)
        wait_for(lambda: len(connecting.poll(0)) == RECONNECTING, "the kernel dropped connects")
