"""Exports of a survey: sessions a second and peak memory, each format in a process of its own.

``python -m benchmarks.export 20000 100000`` prints a table for each number of sessions; SQLite in a temporary folder.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from app.operations.export.asked import FORMATS, Asked
from app.operations.export.export import Export
from app.service import SessionStore, open_store
from app.settings import Settings
from app.store.rows import SessionKey
from app.survey.commands import Answer, Begin

SURVEY = "intake"
ANSWERS: dict[str, Any] = {
    "S1": None,
    "S2": "1970-02-03",
    "S3": "A new problem",
    "S4": "It began some weeks ago, and it is worse in the morning.",
    "S5": 4,
    "S6": ["Rest", "Painkillers"],
    "S8": 70.5,
    "S9": True,
    "S10": 10,
    "S11": None,
    "S12": None,
}
TOGETHER = 500


def opened(folder: str) -> SessionStore:
    """Return the store in the folder."""
    settings = Settings(
        database_url=f"sqlite:///{Path(folder, 'bench.db')}", surveys_dir=Path("surveys"), environment="development"
    )
    return open_store(settings)


def fill(folder: str, count: int) -> None:
    """Let that many participants answer the whole survey."""
    store = opened(folder)
    for start in range(0, count, TOGETHER):
        turns: list[Any] = []
        for number in range(start, min(start + TOGETHER, count)):
            key, at = SessionKey(SURVEY, f"user-{number:07}"), store.clock()
            turns.append((key, Begin(at=at)))
            turns += [
                (key, Answer(at=at + place, step=step, value=value, message_id=f"m{place}"))
                for place, (step, value) in enumerate(ANSWERS.items(), start=1)
            ]
        store.submit_many(turns)
    store.close()


def measure(folder: str, format_name: Any) -> None:
    """Export once, and print the seconds, the bytes, and the peak memory of this process before and after."""
    store = opened(folder)
    before = peak_kib()
    start = time.perf_counter()
    made = Export(store, Asked(survey_id=SURVEY, format=format_name)).make()
    size = sum(map(len, made.pieces))
    seconds = time.perf_counter() - start
    peak = peak_kib()
    store.close()
    print(json.dumps([made.counts.sessions, seconds, size, before // 1024, peak // 1024]))


def peak_kib() -> int:
    """Return this process's peak memory; ``ru_maxrss`` would begin with that of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def run(count: int) -> None:
    """Print the table of a database of this size."""
    with tempfile.TemporaryDirectory() as folder:
        fill(folder, count)
        print(f"\n| {count} sessions | s | sessions/s | MB | peak MiB (before) |\n| --- | --: | --: | --: | --: |")
        for name in FORMATS:
            command = [sys.executable, "-m", "benchmarks.export", "--measure", folder, name]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ourselves
            sessions, seconds, size, before, peak = json.loads(told.splitlines()[-1])
            assert sessions == count
            print(
                f"| {name} | {seconds:.1f} | {count / seconds:,.0f} | {size / 1e6:.1f} | {peak} ({before}) |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(*sys.argv[2:])
    else:
        for given in sys.argv[1:]:
            run(int(given))
