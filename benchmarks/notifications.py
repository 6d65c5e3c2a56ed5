"""The cost and the latency of notifications between processes; prints two tables.

    python -m benchmarks.notifications

Polling: the versions of 10,000 subscribed sessions are read once. Latency: a second process commits a change to each
of some hundred sessions, one after the other; from the return of its ``submit`` until the subscriber in this process
is notified, with the session loaded (the WebSocket's frame is sent right after).
"""

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from app.notifications.notifier import ChangeNotifier
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey.snapshot import SessionKey, Snapshot
from benchmarks import databases
from benchmarks.stepkeep import accepted, answer, begin_many, store_on
from benchmarks.workload import STEPS, SURVEY_ID
from tests.notifications.redis_server import RedisServer

SUBSCRIBED = 10_000
ROUNDS = 21
CHANGES = 200
PAUSE_S = (0.02, 0.06)
"""Random pause between two changes, so that they are spread over the polling interval."""

TRANSPORTS = (("postgresql", "LISTEN/NOTIFY"), ("mariadb", "Redis"), ("mariadb", "polling every 0.5 s"))
WAIT_S = 30


def keys(count: int) -> list[SessionKey]:
    """Return the sessions of the measurement."""
    return [SessionKey(SURVEY_ID, f"participant-{number:06d}") for number in range(count)]


def poll_cost(kind: str, folder: Path) -> Mapping[str, float]:
    """Return the cost of one poll of all subscribed sessions: milliseconds of wall time and of this process's CPU."""
    with databases.fresh(kind, "notifications", folder) as url:
        store = store_on(url)
        begin_many(store, keys(SUBSCRIBED))
        databases.refresh_statistics(url)
        notifier = ChangeNotifier(
            store.settings, normalise_url(url), store.queries.versions, lambda _key, _version: None, lambda _key: None
        )
        notifier._versions = dict.fromkeys(keys(SUBSCRIBED), 1)
        wall_ms, cpu_ms = [], []
        for _ in range(ROUNDS):
            began, used = time.perf_counter(), time.process_time()
            notifier._poll(threading.Event())
            cpu_ms.append((time.process_time() - used) * 1e3)
            wall_ms.append((time.perf_counter() - began) * 1e3)
        notifier.close()
        store.close()
        return {"wall_ms": median(wall_ms), "cpu_ms": median(cpu_ms)}


class TimedSubscriber:
    """Shows one session, and records when it was notified of its change."""

    stored: Snapshot | None = None
    notified_at: float | None = None

    def publish(self, snapshot: Snapshot) -> None:
        """Record the time."""
        self.stored = snapshot
        self.notified_at = time.perf_counter()

    def drop(self) -> None:
        """Do nothing: no session is erased."""


def latency(kind: str, redis_url: str, folder: Path) -> Mapping[str, float]:
    """Return the percentiles of the time from commit to notification in another process, in milliseconds."""
    with databases.fresh(kind, "notifications", folder) as url:
        store_on(url).close()
        store = open_store(Settings(database_url=url, redis_url=redis_url or None))
        begin_many(store, keys(CHANGES))
        timed = {key: TimedSubscriber() for key in keys(CHANGES)}
        for key, subscriber in timed.items():
            subscriber.stored = store.queries.load(key)
            store.subscribers.subscribe(key, subscriber)
        time.sleep(1)  # until the notifier listens
        times = _delays_ms(timed, _commit_in_another_process(url, redis_url))
        store.close()
        return {"p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)], "max": times[-1]}


def _commit_in_another_process(url: str, redis_url: str) -> list[float]:
    """Return the times of the commits of another process, by the monotonic clock that processes share."""
    command = [sys.executable, "-m", "benchmarks.notifications", "write", url, redis_url]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this program
    return [float(line) for line in done.stdout.splitlines()]


def _delays_ms(timed: Mapping[SessionKey, TimedSubscriber], committed_at: list[float]) -> list[float]:
    deadline = time.monotonic() + WAIT_S
    while any(subscriber.notified_at is None for subscriber in timed.values()):
        assert time.monotonic() < deadline, "a change was never notified"
        time.sleep(0.01)
    notified_at = [subscriber.notified_at or 0.0 for subscriber in timed.values()]
    return sorted((notified - committed) * 1e3 for notified, committed in zip(notified_at, committed_at, strict=True))


def write(store: SessionStore) -> None:
    """Change each session once, and print the time of each commit."""
    rng = random.Random(7)
    for key in keys(CHANGES):
        accepted(store.turns.submit(key, answer(STEPS[0])))
        print(time.perf_counter())
        time.sleep(rng.uniform(*PAUSE_S))


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    server = RedisServer(folder)
    server.start()
    try:
        yield server.url
    finally:
        server.kill()


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name, _redis(Path(name)) as redis_url:
        print("| One poll of 10,000 sessions | ms | ms of CPU in this process |\n|---|--:|--:|")
        for kind in databases.KINDS:
            cost = poll_cost(kind, Path(name))
            print(f"| {kind} | {cost['wall_ms']:.0f} | {cost['cpu_ms']:.0f} |", flush=True)
        print("\n| From commit to notification | p50 ms | p99 ms | max ms |\n|---|--:|--:|--:|")
        for kind, transport in TRANSPORTS:
            delay = latency(kind, redis_url if transport == "Redis" else "", Path(name))
            print(
                f"| {transport} ({kind}) | {delay['p50']:.1f} | {delay['p99']:.1f} | {delay['max']:.1f} |", flush=True
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        writing_store = open_store(Settings(database_url=sys.argv[2], redis_url=sys.argv[3] or None))
        write(writing_store)
        writing_store.close()
    else:
        main()
