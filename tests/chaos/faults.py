"""The faults themselves: each is put into the world, lasts, and is ended; the world recovers by itself."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.chaos.plan import DISK_FULL, Fault
from tests.chaos.world import World, children
from tests.databases import OwnServer
from tests.proxy import Proxy, When

COMMITS = {"postgresql": b"COMMIT\0", "mysql": b"\x03COMMIT"}
"""As it is on the wire: the whole statement."""

PIECE = bytes(1024 * 1024)

LOCKER = """
import sys
try:
    import pysqlite3.dbapi2 as sqlite3
except ImportError:
    import sqlite3
connection = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
connection.execute(f"BEGIN {sys.argv[2]}")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""
"""Holds a lock until its input ends; in a process of its own, because POSIX locks are a process's."""

Making = Callable[[World, Fault], AbstractContextManager[None]]


def made(world: World, fault: Fault) -> AbstractContextManager[None]:
    """Put the fault into the world; at its end, end it, and return when all processes are up again."""
    return MAKINGS[fault.kind](world, fault)


@contextmanager
def _server_killed(world: World, _fault: Fault) -> Iterator[None]:
    world.server.kill()
    yield
    world.server.go_on()


@contextmanager
def _server_stopped(world: World, _fault: Fault) -> Iterator[None]:
    world.server.terminate()
    yield
    world.server.go_on()


@contextmanager
def _server_reloaded(world: World, _fault: Fault) -> Iterator[None]:
    world.server.reload()
    yield
    world.server.wait_until_it_answers()


@contextmanager
def _worker_killed(world: World, _fault: Fault) -> Iterator[None]:
    _signal(world.server.workers(), signal.SIGKILL)
    yield
    world.server.wait_until_it_answers()


@contextmanager
def _worker_frozen(world: World, _fault: Fault) -> Iterator[None]:
    frozen = world.server.workers()
    _signal(frozen, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(frozen, signal.SIGCONT)


@contextmanager
def _clock_jumped(world: World, fault: Fault) -> Iterator[None]:
    world.clock.write_text(str(fault.parameter))
    yield


@contextmanager
def _frames_doubled(world: World, fault: Fault) -> Iterator[None]:
    world.front.repeat_frames(int(fault.parameter) * 8)
    yield
    world.front.repeat_frames(0)


def _on_proxy(
    proxy_of: Callable[[World], Proxy], make: Callable[[Proxy, Fault], object], *, cuts: bool = False
) -> Making:
    """Return a fault of a proxy that ends when the proxy is healed."""

    @contextmanager
    def making(world: World, fault: Fault) -> Iterator[None]:
        proxy = proxy_of(world)
        make(proxy, fault)
        if cuts:
            proxy.cut_all()
        try:
            yield
        finally:
            proxy.heal()

    return making


def _commit_cut(when: When) -> Making:
    @contextmanager
    def making(world: World, fault: Fault) -> Iterator[None]:
        proxy = _behind(world)
        proxy.cut_when(COMMITS[world.kind], when, int(fault.parameter))
        try:
            yield
        finally:
            proxy.heal()

    return making


@contextmanager
def _database_killed(world: World, _fault: Fault) -> Iterator[None]:
    database = _database(world)
    database.kill()
    yield
    database.start()


@contextmanager
def _database_stopped(world: World, _fault: Fault) -> Iterator[None]:
    database = _database(world)
    database.stop()
    yield
    database.start()


@contextmanager
def _database_frozen(world: World, _fault: Fault) -> Iterator[None]:
    process = _database(world).process
    assert process is not None
    frozen = [process.pid, *children(process.pid)]
    _signal(frozen, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(frozen, signal.SIGCONT)


def _file_locked(how: str) -> Making:
    @contextmanager
    def making(world: World, _fault: Fault) -> Iterator[None]:
        path = world.direct_url.removeprefix("sqlite:///")
        command = [sys.executable, "-c", LOCKER, path, how]
        locker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert locker.stdout is not None
            locker.stdout.readline()  # empty where the server wrote for too long, or the disk is full: no lock then
            yield
        finally:
            locker.communicate()

    return making


@contextmanager
def _disk_full(world: World, _fault: Fault) -> Iterator[None]:
    assert world.disk is not None
    filling = world.disk / "filling"
    try:
        _fill(filling)
        yield
    finally:
        filling.unlink(missing_ok=True)


def _fill(path: Path) -> None:
    """Write until nothing more fits, in ever smaller pieces."""
    with path.open("wb", buffering=0) as file:
        piece = PIECE
        while piece:
            try:
                file.write(piece)
            except OSError:
                piece = piece[: len(piece) // 2]


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _front(world: World) -> Proxy:
    return world.front


def _behind(world: World) -> Proxy:
    assert world.behind is not None
    return world.behind


def _database(world: World) -> OwnServer:
    assert world.database is not None
    return world.database


def _late(proxy: Proxy, fault: Fault) -> None:
    proxy.delay(fault.parameter)


MAKINGS: Mapping[str, Making] = {
    "clients cut": _on_proxy(_front, lambda proxy, _: proxy.cut_all()),
    "frames duplicated": _frames_doubled,
    "clients delayed": _on_proxy(_front, _late),
    "clients throttled": _on_proxy(_front, lambda proxy, _: proxy.hold()),
    "clients in a black hole": _on_proxy(_front, lambda proxy, _: proxy.swallow()),
    "clients refused": _on_proxy(_front, lambda proxy, _: proxy.stop_accepting(), cuts=True),
    "clock jumped": _clock_jumped,
    "worker frozen": _worker_frozen,
    "worker killed": _worker_killed,
    "server killed": _server_killed,
    "server stopped": _server_stopped,
    "server reloaded": _server_reloaded,
    "database cut": _on_proxy(_behind, lambda proxy, _: proxy.cut_all()),
    "COMMIT cut before": _commit_cut("before"),
    "COMMIT cut after": _commit_cut("after"),
    "database delayed": _on_proxy(_behind, _late),
    "database throttled": _on_proxy(_behind, lambda proxy, _: proxy.hold()),
    "database in a black hole": _on_proxy(_behind, lambda proxy, _: proxy.swallow()),
    "database's replies dropped": _on_proxy(_behind, lambda proxy, _: proxy.drop_replies()),
    "database refused": _on_proxy(_behind, lambda proxy, _: proxy.stop_accepting(), cuts=True),
    "database frozen": _database_frozen,
    "database killed": _database_killed,
    "database stopped": _database_stopped,
    "file locked": _file_locked("IMMEDIATE"),
    "file locked for long": _file_locked("IMMEDIATE"),
    "file locked exclusively": _file_locked("EXCLUSIVE"),
    "file locked exclusively for long": _file_locked("EXCLUSIVE"),
    DISK_FULL: _disk_full,
}
