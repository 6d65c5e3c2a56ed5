"""Compare servers of WebSockets in interleaved rounds; writes docs/performance/sockets.md and its plots.

The clients are a process of their own on the same machine, so turns a second are those of server and clients together;
the processor time of a turn is the server's alone.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from time import monotonic, sleep

from benchmarks import databases, socket_report
from benchmarks.socket_clients import Load, Measured
from benchmarks.socket_results import Point, Result
from benchmarks.socket_servers import (
    BASELINE,
    ECHO,
    OTREE,
    OTREE_PYTHON,
    OURS,
    ROOT,
    SOCKET_IO,
    SURVEY_ID,
    Contestant,
    Running,
    running,
)

PORT = 8790
SAMPLE_S = 0.25

LONGEST_S = 400.0
"""For one point, with its connections."""

CLOSED_LOOP = (1, 64, 256, 1000)
OFFERED = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Shares of the turns a second of 1,000 sockets in a closed loop."""

STORM_AFTER_S = 5.0
STORM_S = 50.0

EXPORTED_SESSIONS = 20_000


def closed_loop() -> Iterator[Point]:
    """Yield the points of a closed loop: each client sends when it has its answer."""
    for clients in CLOSED_LOOP:
        yield Point(Contestant(ECHO), clients)
        yield Point(Contestant(BASELINE), clients)
        yield Point(Contestant(SOCKET_IO), clients)
        if OTREE_PYTHON.with_name("otree").exists():
            yield Point(Contestant(OTREE), clients)
        for kind in ("sqlite", *databases.available(("postgresql",))):
            yield Point(Contestant(OURS, kind), clients)
    for kind in databases.available(("postgresql",)):
        yield Point(Contestant(OURS, kind, workers=2), CLOSED_LOOP[-1])


def offered(seconds: float) -> Iterator[Point]:
    """Yield the points of a load up to three times of what the server can do."""
    full = measure(Point(Contestant(OURS), 1000), seconds).rate
    for share in OFFERED:
        yield Point(Contestant(OURS), 1000, round(full * share, -1))


def many(clients: int) -> Iterator[Point]:
    """Yield many sessions that answer now and then; slow disks; a long export beside; a restart."""
    rate = clients / 10
    kinds = ("sqlite", *databases.available(("postgresql",)))
    for kind in kinds:
        yield Point(Contestant(OURS, kind), clients, rate)
    for flush_ms in (5, 20):
        yield Point(Contestant(OURS, flush_ms=flush_ms), 1000, 500)
    for kind in kinds:
        yield Point(Contestant(OURS, kind), 1000, 500, "export")
    for kind in kinds:
        yield Point(Contestant(OURS, kind), clients, rate / 2, "restart")


def measure(point: Point, seconds: float) -> Result:
    """Start the contestant, load it, and stop it."""
    _say(f"{point.contestant.name}: {point.clients:,} sockets {point.beside}")
    with running(point.contestant, PORT, EXPORTED_SESSIONS if point.beside == "export" else 0) as server:
        before_kib = server.memory_kib()
        load = point.contestant.load(PORT, point.clients, seconds, point.offered)
        if point.beside == "restart":
            load = replace(load, seconds=STORM_S, reconnects=True)
        with _exporting() if point.beside == "export" else nullcontext():
            measured, cpu_s, kib = _run_clients(server, load)
    result = Result(point, measured, cpu_s / max(1, measured.turns) * 1e6, (kib - before_kib) / point.clients)
    _say(f"  {result.rate:,.0f} turns/s, p99 {measured.p99 * 1000:.0f} ms, {measured.errors} errors")
    return result


def _run_clients(server: Running, load: Load) -> tuple[Measured, float, int]:
    """Return what the clients measured, and the server's processor time and memory in those seconds."""
    clients = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.socket_clients"],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert clients.stdin is not None
    assert clients.stdout is not None
    clients.stdin.write(json.dumps(asdict(load)))
    clients.stdin.close()
    opened = threading.Event()
    threading.Thread(target=_pass_on_progress, args=(clients, opened), daemon=True).start()
    samples: list[tuple[float, float, int]] = []
    began_at = monotonic()
    restart_at = None
    while clients.poll() is None:
        sleep(SAMPLE_S)
        if monotonic() > began_at + LONGEST_S:
            clients.kill()
        if load.reconnects and opened.is_set() and restart_at is None:
            restart_at = monotonic() + STORM_AFTER_S
        if restart_at is not None and restart_at < monotonic():
            restart_at = float("inf")
            server.kill_workers()
        samples.append((monotonic(), server.cpu_s(), server.memory_kib()))
    measured = Measured(**json.loads(clients.stdout.read()))
    last = samples[-2]
    first = max((sample for sample in samples if sample[0] <= last[0] - measured.seconds + 1), default=samples[0])
    return measured, (last[1] - first[1]) * measured.seconds / (last[0] - first[0]), last[2]


def _pass_on_progress(clients: "subprocess.Popen[str]", opened: threading.Event) -> None:
    assert clients.stderr is not None
    for line in clients.stderr:
        if "open after" in line:
            opened.set()
        sys.stderr.write(f"  {line}")


@contextmanager
def _exporting() -> Iterator[None]:
    """Ask for exports of the demo sessions, one after the other."""
    has_ended = threading.Event()

    def export() -> None:
        url = f"http://127.0.0.1:{PORT}/api/surveys/{SURVEY_ID}/export?format=long"
        while not has_ended.is_set():
            with urllib.request.urlopen(url, timeout=300) as response:
                while not has_ended.is_set() and response.read(65536):
                    pass

    exporting = threading.Thread(target=export, daemon=True)
    exporting.start()
    try:
        yield
    finally:
        has_ended.set()
        exporting.join(30)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the rounds and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sockets", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each point")
    parser.add_argument("--clients", type=int, default=10_000, help="sessions of the large points")
    parser.add_argument("--only", choices=["closed", "offered", "many"], help="a part, printed and not written")
    arguments = parser.parse_args()
    parts = {
        "closed": closed_loop,
        "offered": lambda: offered(arguments.seconds),
        "many": lambda: many(arguments.clients),
    }
    results: dict[str, list[Result]] = {part: [] for part in parts if arguments.only in {None, part}}
    for number in range(arguments.rounds):
        _say(f"round {number + 1} of {arguments.rounds}")
        for part in results:
            results[part] += [measure(point, arguments.seconds) for point in parts[part]()]
    if arguments.only is None:
        socket_report.write(results, arguments.rounds)
    for part in results.values():
        print("\n".join(socket_report.table(part)))


if __name__ == "__main__":
    main()
