"""Measure the speed and memory of exports on SQLite; writes docs/performance/export.md.

``python -m benchmarks.export 20000 200000`` makes a table for each number of sessions.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.operations.export.export import Export
from app.operations.export.request import FORMATS, ExportRequest
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey

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
SESSIONS_PER_BATCH = 500
REPORT = Path("docs/performance/export.md")

HEAD = """# Export: speed and memory

`python -m benchmarks.export {counts}` (`make bench-export`) measures this page: the survey `intake`, most of whose 26
columns are filled, 12 events a session, on SQLite; each format in its own process, on 2 cores. "MiB before" is the
process's memory with the store open, before the export; "added" is the peak above that during the export (VmHWM,
reset)."""

FOOT = """

csv, long, jsonl and xlsx are streamed; parquet buffers a group of rows, and loads pyarrow. sav and dta are built in
memory, and refuse more than `MAX_CELLS` cells.
"""


def open_folder(folder: str) -> SessionStore:
    """Open the store in a folder."""
    settings = Settings(
        database_url=f"sqlite:///{Path(folder, 'bench.db')}", surveys_dir=Path("surveys"), environment="development"
    )
    return open_store(settings)


def fill(folder: str, count: int) -> None:
    """Let this many participants answer the whole survey."""
    store = open_folder(folder)
    for start in range(0, count, SESSIONS_PER_BATCH):
        turns: list[Any] = []
        for number in range(start, min(start + SESSIONS_PER_BATCH, count)):
            key, at = SessionKey(SURVEY, f"user-{number:07}"), store.clock()
            turns.append((key, Begin(at=at)))
            turns += [
                (key, Answer(at=at + place, step=step, value=value, message_id=f"m{place}"))
                for place, (step, value) in enumerate(ANSWERS.items(), start=1)
            ]
        store.turns.submit_many(turns)
    store.close()


def measure(folder: str, format_name: Any) -> None:
    """Export once; print sessions, seconds, bytes, and this process's memory before and its peak since then."""
    store = open_folder(folder)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak (proc(5)), since opening the store has one too
    before = kib("VmRSS")
    start = time.perf_counter()
    export = Export(store, ExportRequest(survey_id=SURVEY, format=format_name)).write()
    size = sum(map(len, export.pieces))
    seconds = time.perf_counter() - start
    peak = kib("VmHWM")
    store.close()
    print(json.dumps([export.counts.sessions, seconds, size, before // 1024, peak // 1024]))


def kib(name: str) -> int:
    """Return a field of /proc/self/status in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def table(count: int) -> Iterator[str]:
    """Yield the lines of the table for this number of sessions."""
    with tempfile.TemporaryDirectory() as folder:
        fill(folder, count)
        yield f"| {count:,} sessions | s | sessions/s | MB | MiB before | added |"
        yield "| --- | --: | --: | --: | --: | --: |"
        for name in FORMATS:
            command = [sys.executable, "-m", "benchmarks.export", "--measure", folder, name]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - this program
            sessions, seconds, size, before, peak = json.loads(output.splitlines()[-1])
            assert sessions == count
            rate = f"{seconds:.1f} | {count / seconds:,.0f} | {size / 1e6:.1f}"
            yield f"| {name} | {rate} | {before} | {peak - before:+} |"


def main(counts: list[int]) -> None:
    """Measure; print and write the page."""
    lines = [HEAD.format(counts=" ".join(map(str, counts)))]
    for count in counts:
        lines.append("")
        for line in table(count):
            lines.append(line)
            print(line, flush=True)
    REPORT.write_text("\n".join(lines) + FOOT)


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(*sys.argv[2:])
    else:
        main([int(count) for count in sys.argv[1:]])
