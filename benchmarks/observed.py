"""Measure the cost of metrics per turn; writes docs/performance/observability.md.

Groups of turns through ``store.turns.submit_many`` on SQLite, with and without metrics, in interleaved rounds, by CPU
time of the process. Once with metrics in memory (one process), once in a shared directory (several).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from app.observability import metrics
from app.survey.snapshot import SessionKey
from app.writer import batch_metrics
from benchmarks.stepkeep import Walker, advance_all, begin_many, store_on
from benchmarks.workload import STEPS, SURVEY_ID

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance" / "observability.md"
PAGE_TEXT = """# The cost of metrics

`python -m benchmarks.observed --rounds {rounds}`: groups of turns through `store.turns.submit_many` on SQLite, with and
without the metrics of turns, in {rounds} interleaved rounds on {cores} cores: medians of CPU time. The difference of
two such rounds is smaller than their noise, so the counting itself is timed too; "Share" relates it to the turn
without metrics.

| Metrics | Turns a batch | µs a turn with | without | Median of ratios | Counting, µs a turn | Share |
| --- | --: | --: | --: | --: | --: | --: |
{lines}

Turns are counted once a batch (`app/writer/batch_metrics.py`), so a single turn pays most. At INFO the log has no
line for a turn.
"""

SIZES = (1, 64, 1000)
TURNS_PER_ROUND = 12_800
SHARED = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def without_metrics() -> Iterator[None]:
    """Record no metrics of turns."""

    def nothing(*_: object) -> None:
        return

    with (
        mock.patch.object(batch_metrics, "record", nothing),
        mock.patch.object(metrics.BATCH_TURNS, "observe", nothing),
        mock.patch.object(metrics.BATCH_SECONDS, "observe", nothing),
    ):
        yield


def cpu_us_per_turn(store: Any, walkers: list[Walker], size: int, turns: int) -> float:
    """Return the CPU time of a turn in microseconds, in groups of this size."""
    began = time.process_time()
    done = 0
    while done < turns:
        group = [walkers[(done + number) % len(walkers)] for number in range(size)]
        done += advance_all(store, group)
    return (time.process_time() - began) * 1e6 / done


def counting_us_per_turn(store: Any, walkers: list[Walker], size: int, turns: int) -> float:
    """Return the CPU time of recording the metrics of a turn in microseconds."""
    spent_s = 0.0

    def timed(call: Any) -> Any:
        def wrapper(*arguments: object) -> None:
            nonlocal spent_s
            began = time.thread_time()
            call(*arguments)
            spent_s += time.thread_time() - began

        return wrapper

    with (
        mock.patch.object(batch_metrics, "record", timed(batch_metrics.record)),
        mock.patch.object(metrics.BATCH_TURNS, "observe", timed(metrics.BATCH_TURNS.observe)),
        mock.patch.object(metrics.BATCH_SECONDS, "observe", timed(metrics.BATCH_SECONDS.observe)),
    ):
        cpu_us_per_turn(store, walkers, size, turns)
    return spent_s * 1e6 / turns


def measure(rounds: int) -> dict[str, list[float]]:
    """Return by size of the group: with metrics, without, median ratio, and recording alone."""
    results: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = store_on(f"sqlite:///{folder}/observed.db")
        keys = [SessionKey(SURVEY_ID, f"u{number}") for number in range(1000)]
        begin_many(store, keys)
        steps = dict.fromkeys(keys, STEPS[0])
        walkers = [Walker([key], steps) for key in keys]
        for size in SIZES:
            turns = TURNS_PER_ROUND if size > 1 else TURNS_PER_ROUND // 8
            cpu_us_per_turn(store, walkers, size, turns // 4)
            pairs = []
            for number in range(rounds):
                pair: dict[bool, float] = {}
                for is_on in (True, False) if number % 2 else (False, True):
                    if is_on:
                        pair[True] = cpu_us_per_turn(store, walkers, size, turns)
                    else:
                        with without_metrics():
                            pair[False] = cpu_us_per_turn(store, walkers, size, turns)
                pairs.append((pair[True], pair[False]))
            on, off = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(with_metrics / without for with_metrics, without in pairs)
            results[str(size)] = [on, off, ratio, counting_us_per_turn(store, walkers, size, turns)]
        store.close()
    return results


def page(results: dict[str, dict[str, list[float]]], rounds: int) -> str:
    """Return the page."""
    lines = [
        f"| {where} | {size} | {on:.1f} | {off:.1f} | {100 * (ratio - 1):+.1f}% | "
        f"{counting:.2f} | {100 * counting / off:.1f}% |"
        for where, sizes in results.items()
        for size, (on, off, ratio, counting) in sizes.items()
    ]
    return PAGE_TEXT.format(rounds=rounds, cores=os.cpu_count(), lines="\n".join(lines))


def main() -> None:
    """Measure; print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.rounds)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for where, variables in (("in memory", {}), ("in a shared directory", {SHARED: folder})):
            command = [sys.executable, "-m", "benchmarks.observed", "--child", "--rounds", str(options.rounds)]
            done = subprocess.run(command, env={**os.environ, **variables}, check=True, capture_output=True, text=True)  # noqa: S603 - this program
            results[where] = json.loads(done.stdout.splitlines()[-1])
    PAGE.write_text(page(results, options.rounds), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
