"""The faults: each is injected, lasts, and ends; the processes then recover by themselves."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.chaos.erasures import erased, erased_elsewhere
from tests.chaos.plan import DISK_FULL, Fault
from tests.chaos.world import World
from tests.database_servers import OwnServer
from tests.proxy import Proxy, When
from tests.waiting import children, wait_for

COMMITS = {"postgresql": b"COMMIT\0", "mysql": b"\x03COMMIT"}
"""The complete statement on the wire."""

PIECE = bytes(1024 * 1024)

SUFFIXES = ("", "-wal", "-shm")

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
"""Holds a lock until its input ends, in a separate process because POSIX locks belong to a process."""

Injector = Callable[[World, Fault], AbstractContextManager[None]]


def inject(world: World, fault: Fault) -> AbstractContextManager[None]:
    """Inject the fault; on exit end it, and wait until all processes are running again."""
    return INJECTORS[fault.kind](world, fault)


@contextmanager
def _server_killed(world: World, _fault: Fault) -> Iterator[None]:
    with world.files_in_place:
        world.server.kill()
        yield
        world.server.resume()


@contextmanager
def _server_stopped(world: World, _fault: Fault) -> Iterator[None]:
    with world.files_in_place:
        world.server.terminate()
        yield
        world.server.resume()


@contextmanager
def _server_reloaded(world: World, _fault: Fault) -> Iterator[None]:
    with world.files_in_place:
        world.server.reload()
        yield


@contextmanager
def _worker_killed(world: World, _fault: Fault) -> Iterator[None]:
    with world.files_in_place:
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
    world.client_proxy.repeat_frames(int(fault.parameter) * 8)
    yield
    world.client_proxy.repeat_frames(0)


def _on_proxy(
    get_proxy: Callable[[World], Proxy], start: Callable[[Proxy, Fault], object], *, cuts: bool = False
) -> Injector:
    """Return an injector of a proxy's fault, which ends when the proxy is healed."""

    @contextmanager
    def injector(world: World, fault: Fault) -> Iterator[None]:
        proxy = get_proxy(world)
        start(proxy, fault)
        if cuts:
            proxy.cut_all()
        try:
            yield
        finally:
            proxy.heal()

    return injector


def _commit_cut(when: When) -> Injector:
    @contextmanager
    def injector(world: World, fault: Fault) -> Iterator[None]:
        proxy = _database_proxy(world)
        proxy.cut_when(COMMITS[world.kind], when, int(fault.parameter))
        try:
            yield
        finally:
            proxy.heal()

    return injector


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


def _file_locked(mode: str) -> Injector:
    @contextmanager
    def injector(world: World, _fault: Fault) -> Iterator[None]:
        command = [sys.executable, "-c", LOCKER, str(world.file), mode]
        locker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert locker.stdout is not None
            locker.stdout.readline()  # empty without a lock: the server kept writing, or the disk is full
            yield
        finally:
            locker.communicate()

    return injector


def _file_lost(lose: Callable[[Path], object], restore: Callable[[Path], object], problem: str) -> Injector:
    """Return an injector that takes the file's name away, waits until /readyz says so, and gives it back."""

    @contextmanager
    def injector(world: World, _fault: Fault) -> Iterator[None]:
        with world.files_in_place:
            wait_for(lambda: "checks" in world.readiness(), "/readyz does not answer")  # caches the API key, too
            lose(world.file)
            try:
                wait_for(lambda: problem in world.readiness(), lambda: f"/readyz does not say so: {world.readiness()}")
                yield
            finally:
                restore(world.file)

    return injector


def _move(file: Path) -> None:
    """Move the file with its write-ahead log, as ``mv sessions.db* elsewhere`` does."""
    (file.parent / "elsewhere").mkdir(exist_ok=True)
    for name in (file.name + suffix for suffix in SUFFIXES):
        if (file.parent / name).exists():
            (file.parent / name).rename(file.parent / "elsewhere" / name)


def _move_back(file: Path) -> None:
    for name in (file.name + suffix for suffix in SUFFIXES):
        if (file.parent / "elsewhere" / name).exists():
            (file.parent / "elsewhere" / name).rename(file.parent / name)


def _replace(file: Path) -> None:
    """Put a copy in its place, as an editor's save does; keep the original."""
    copy = file.with_suffix(".copy")
    shutil.copyfile(file, copy)
    file.with_suffix(".original").hardlink_to(file)
    copy.rename(file)


def _put_back(file: Path) -> None:
    file.with_suffix(".copy").unlink(missing_ok=True)
    if file.with_suffix(".original").exists():
        file.with_suffix(".original").rename(file)


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
    """Write until the disk is full, in ever smaller pieces."""
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


def _client_proxy(world: World) -> Proxy:
    return world.client_proxy


def _database_proxy(world: World) -> Proxy:
    assert world.database_proxy is not None
    return world.database_proxy


def _database(world: World) -> OwnServer:
    assert world.database is not None
    return world.database


def _delay(proxy: Proxy, fault: Fault) -> None:
    proxy.delay(fault.parameter)


INJECTORS: Mapping[str, Injector] = {
    "clients cut": _on_proxy(_client_proxy, lambda proxy, _: proxy.cut_all()),
    "frames duplicated": _frames_doubled,
    "clients delayed": _on_proxy(_client_proxy, _delay),
    "clients throttled": _on_proxy(_client_proxy, lambda proxy, _: proxy.hold()),
    "clients in a black hole": _on_proxy(_client_proxy, lambda proxy, _: proxy.swallow()),
    "clients refused": _on_proxy(_client_proxy, lambda proxy, _: proxy.stop_accepting(), cuts=True),
    "clock jumped": _clock_jumped,
    "worker frozen": _worker_frozen,
    "worker killed": _worker_killed,
    "server killed": _server_killed,
    "server stopped": _server_stopped,
    "server reloaded": _server_reloaded,
    "database cut": _on_proxy(_database_proxy, lambda proxy, _: proxy.cut_all()),
    "COMMIT cut before": _commit_cut("before"),
    "COMMIT cut after": _commit_cut("after"),
    "database delayed": _on_proxy(_database_proxy, _delay),
    "database throttled": _on_proxy(_database_proxy, lambda proxy, _: proxy.hold()),
    "database in a black hole": _on_proxy(_database_proxy, lambda proxy, _: proxy.swallow()),
    "database's replies dropped": _on_proxy(_database_proxy, lambda proxy, _: proxy.drop_replies()),
    "database refused": _on_proxy(_database_proxy, lambda proxy, _: proxy.stop_accepting(), cuts=True),
    "database frozen": _database_frozen,
    "database killed": _database_killed,
    "database stopped": _database_stopped,
    "file locked": _file_locked("IMMEDIATE"),
    "file locked for long": _file_locked("IMMEDIATE"),
    "file locked exclusively": _file_locked("EXCLUSIVE"),
    "file locked exclusively for long": _file_locked("EXCLUSIVE"),
    DISK_FULL: _disk_full,
    "file moved": _file_lost(_move, _move_back, "was deleted or moved"),
    "file replaced": _file_lost(_replace, _put_back, "was replaced by another file"),
    "participant erased": erased,
    "participant erased by another process": erased_elsewhere,
}
