"""The long runs: ``python -m tests.fuzz --cases 1000000``, ``--streams 20000`` or ``--cycles 10000``.

Each stops by itself, prints what it found and has exit code 1 where that is anything. A seed repeats a run.
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
"""Cycles before the first measurement, cases likewise: what is made once is made by then."""

MIB = 1024 * 1024
LINE_EVERY_S = 2.0
MOST_FINDINGS = 20
MOST_GROWTH_BYTES = 16 * MIB
"""Of a run with commands, which fill SQLite's page caches; docs/reliability/websocket.md shows how it flattens."""


class Progress:
    """Counts, tells every few seconds, and keeps the findings."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._began = self._told = time.monotonic()
        self.findings: list[str] = []

    def count(self, done: int = 1) -> None:
        self._done += done
        if time.monotonic() - self._told > LINE_EVERY_S:
            self._told = time.monotonic()
            self.tell()

    def find(self, case: str, error: Exception) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(f"{case:.300}\n    {error!r:.300}")

    def tell(self) -> None:
        rate = self._done / (time.monotonic() - self._began)
        say(f"{self._done:,} of {self._total:,} {self._what}, {rate:,.0f}/s, {len(self.findings)} findings")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - its output


def fuzz_texts(count: int, seed: int) -> list[str]:
    """Give random text frames to ``messages.parse``."""
    progress, outcomes = Progress("cases", count), Counter[bool]()
    before = proc.usage(_own_id())
    for number in range(count):
        words = texts.text(Random(f"{seed}:{number}"))
        try:
            outcomes[texts.judge(words)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            progress.find(f"case {seed}:{number}: {words!r}", error)
        if number == WARM_UP:
            before = proc.usage(_own_id())
        if number % 1000 == 999:
            progress.count(1000)
    progress.tell()
    say(f"accepted {outcomes[True]:,}, refused {outcomes[False]:,}")
    return progress.findings + grown(before, proc.usage(_own_id()), MOST_GROWTH_BYTES)


def fuzz_streams(count: int, seed: int) -> list[str]:
    """Give random byte streams to a live server."""
    progress, statuses = Progress("streams", count), Counter[int]()

    def one(server: Server, number: int) -> None:
        random = Random(f"{seed}:{number}")
        changes, pieces = streams.headers(random), streams.stream(random)
        try:
            statuses[streams.judge(server.ws_url + cycles.path(number), changes, pieces)] += 1
        except Exception as error:  # noqa: BLE001 - as above
            progress.find(f"stream {seed}:{number}: {changes} {pieces!r}", error)
        progress.count()

    def warm(server: Server) -> None:
        for number in range(WARM_UP):
            random = Random(f"warm:{number}")
            streams.judge(server.ws_url + cycles.path(number), {}, streams.stream(random))

    findings = on_server(warm, lambda server: each(count, lambda number: one(server, number)), MOST_GROWTH_BYTES)
    progress.tell()
    say(f"answers to the handshakes: {dict(sorted(statuses.items()))}")
    return progress.findings + findings


def run_cycles(count: int, _seed: int) -> list[str]:
    """Connect and disconnect, and compare what the server holds."""
    progress = Progress("cycles", count)

    def round_of(server: Server) -> None:
        for first in range(WARM_UP, WARM_UP + count, 500):
            some = min(500, WARM_UP + count - first)
            cycles.run(server, first, some)
            progress.count(some)

    findings = on_server(lambda server: cycles.run(server, 0, WARM_UP), round_of, cycles.GROWTH_BYTES)
    progress.tell()
    return findings


def on_server(warm: Callable[[Server], None], act: Callable[[Server], None], allowed_bytes: int) -> list[str]:
    """Act on a server that is warm; return what it still holds, and what its log should not have."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(
            Path(folder), environment={"STEPKEEP_MESSAGES_PER_SECOND": "100000", "STEPKEEP_MESSAGE_BURST": "100000"}
        )
        server.start()
        try:
            cycles.fill(server)
            warm(server)
            before = cycles.settled(server)
            act(server)
            try:
                after = cycles.settled(server, before)
            except AssertionError as error:
                return [str(error)]
            return grown(before, after, allowed_bytes) + log.faults(server)
        finally:
            server.stop()


def grown(before: proc.Usage, after: proc.Usage, allowed_bytes: int) -> list[str]:
    """Print both; return what is too much."""
    for name, usage in (("before", before), ("after", after)):
        megabytes = f"{usage.resident_bytes / MIB:.1f} MiB resident"
        say(f"{name}: {usage.threads} threads, {usage.descriptors} descriptors, {megabytes}")
    growth = after.resident_bytes - before.resident_bytes
    return [f"memory grew by {growth / MIB:.1f} MiB"] if growth > allowed_bytes else []


def each(count: int, act: Callable[[int], None]) -> None:
    """Do it for each number, several at a time."""
    with ThreadPoolExecutor(cycles.AT_A_TIME) as pool:
        for _ in pool.map(act, range(count)):
            pass


def main() -> int:
    """Do what is asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=0, help="text frames for messages.parse")
    parser.add_argument("--streams", type=int, default=0, help="byte streams for a live server")
    parser.add_argument("--cycles", type=int, default=0, help="connections that begin and end")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    findings: list[str] = []
    for count, run in (
        (arguments.cases, fuzz_texts), (arguments.streams, fuzz_streams), (arguments.cycles, run_cycles),
    ):  # fmt: skip
        findings += run(count, arguments.seed) if count else []
    for finding in findings:
        say(finding)
    say(f"{len(findings)} findings")
    return int(bool(findings))


def _own_id() -> int:
    return int(Path("/proc/self").resolve().name)


if __name__ == "__main__":
    sys.exit(main())
