"""Long fuzzing runs: ``python -m tests.fuzz --cases 1000000``, ``--streams 20000`` or ``--cycles 10000``.

Prints the findings, and exits with 1 if there are any. The same seed repeats a run.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from tests.conformance import proc
from tests.conftest import Server
from tests.fuzz import cycles, log, streams, texts

WARM_UP = 1_000
"""Cycles or cases before the first measurement, so that one-time allocations are excluded."""

MIB = 1024 * 1024
PROGRESS_INTERVAL_S = 2.0
MAX_FINDINGS = 20
MAX_GROWTH_BYTES = 16 * MIB
"""Growth of memory in a run with commands, which fill SQLite's page caches (docs/reliability/websocket.md)."""


class Progress:
    """Counts cases, prints the progress, and collects the findings."""

    def __init__(self, unit: str, total: int) -> None:
        self._unit = unit
        self._total = total
        self._done = 0
        self._began = self._printed = time.monotonic()
        self.findings: list[str] = []

    def count(self, done: int = 1) -> None:
        self._done += done
        if time.monotonic() - self._printed > PROGRESS_INTERVAL_S:
            self._printed = time.monotonic()
            self.print()

    def add(self, case: str, error: Exception) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(f"{case:.300}\n    {error!r:.300}")

    def print(self) -> None:
        rate = self._done / (time.monotonic() - self._began)
        print_line(f"{self._done:,} of {self._total:,} {self._unit}, {rate:,.0f}/s, {len(self.findings)} findings")


def print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the program's output


def fuzz_texts(count: int, seed: int) -> list[str]:
    """Pass random text frames to ``messages.parse``."""
    progress, outcomes = Progress("cases", count), Counter[bool]()
    before = proc.usage(_own_id())
    for number in range(count):
        frame = texts.text(Random(f"{seed}:{number}"))
        try:
            outcomes[texts.is_accepted(frame)] += 1
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            progress.add(f"case {seed}:{number}: {frame!r}", error)
        if number == WARM_UP:
            before = proc.usage(_own_id())
        if number % 1000 == 999:
            progress.count(1000)
    progress.print()
    print_line(f"accepted {outcomes[True]:,}, rejected {outcomes[False]:,}")
    return progress.findings + check_growth(before, proc.usage(_own_id()), MAX_GROWTH_BYTES)


def fuzz_streams(count: int, seed: int) -> list[str]:
    """Send random byte streams to a running server."""
    progress, statuses = Progress("streams", count), Counter[int]()

    def send(server: Server, number: int) -> None:
        random = Random(f"{seed}:{number}")
        changes, pieces = streams.headers(random), streams.stream(random)
        try:
            statuses[streams.exchange(server.ws_url + cycles.path(number), changes, pieces)] += 1
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            progress.add(f"stream {seed}:{number}: {changes} {pieces!r}", error)
        progress.count()

    def warm_up(server: Server) -> None:
        for number in range(WARM_UP):
            random = Random(f"warm:{number}")
            streams.exchange(server.ws_url + cycles.path(number), {}, streams.stream(random))

    findings = on_server(warm_up, lambda server: each(count, lambda number: send(server, number)), MAX_GROWTH_BYTES)
    progress.print()
    print_line(f"answers to the handshakes: {dict(sorted(statuses.items()))}")
    return progress.findings + findings


def run_cycles(count: int, _seed: int) -> list[str]:
    """Connect and disconnect, and compare the server's resources before and after."""
    progress = Progress("cycles", count)

    def connect(server: Server) -> None:
        for first in range(WARM_UP, WARM_UP + count, 500):
            batch = min(500, WARM_UP + count - first)
            cycles.run(server, first, batch)
            progress.count(batch)

    findings = on_server(lambda server: cycles.run(server, 0, WARM_UP), connect, cycles.GROWTH_BYTES)
    progress.print()
    return findings


def on_server(warm_up: Callable[[Server], None], run: Callable[[Server], None], max_growth_bytes: int) -> list[str]:
    """Run against a warmed-up server; return findings of leaks and of errors in its log."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(
            Path(folder),
            environment={
                "STEPKEEP_MESSAGES_PER_SECOND": "100000",
                "STEPKEEP_MESSAGE_BURST": "100000",
                "STEPKEEP_REST_THREADS": "4",  # all start at once
            },
        )
        server.start()
        try:
            cycles.fill(server)
            warm_up(server)
            before = cycles.settled_usage(server)
            run(server)
            try:
                after = cycles.settled_usage(server, before)
            except AssertionError as error:
                return [str(error)]
            return check_growth(before, after, max_growth_bytes) + log.errors(server)
        finally:
            server.stop()


def check_growth(before: proc.Usage, after: proc.Usage, max_growth_bytes: int) -> list[str]:
    """Print both usages; return a finding if memory grew too much."""
    for name, usage in (("before", before), ("after", after)):
        megabytes = f"{usage.resident_bytes / MIB:.1f} MiB resident"
        print_line(f"{name}: {usage.threads} threads, {usage.descriptors} descriptors, {megabytes}")
    growth = after.resident_bytes - before.resident_bytes
    return [f"memory grew by {growth / MIB:.1f} MiB"] if growth > max_growth_bytes else []


def each(count: int, run: Callable[[int], None]) -> None:
    """Call a function for each number, several concurrently."""
    with ThreadPoolExecutor(cycles.CONCURRENCY) as pool:
        for _ in pool.map(run, range(count)):
            pass


def main() -> int:
    """Execute the requested runs; return 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=0, help="text frames for messages.parse")
    parser.add_argument("--streams", type=int, default=0, help="byte streams for a running server")
    parser.add_argument("--cycles", type=int, default=0, help="connections to open and close")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    findings: list[str] = []
    for count, run in (
        (arguments.cases, fuzz_texts), (arguments.streams, fuzz_streams), (arguments.cycles, run_cycles),
    ):  # fmt: skip
        findings += run(count, arguments.seed) if count else []
    for finding in findings:
        print_line(finding)
    print_line(f"{len(findings)} findings")
    return int(bool(findings))


def _own_id() -> int:
    return int(Path("/proc/self").resolve().name)


if __name__ == "__main__":
    sys.exit(main())
