"""Exports of a survey: sessions a second and memory; writes docs/performance/export.md.

``python -m benchmarks.export 20000 200000`` makes a table for each number of sessions; SQLite in a temporary folder.
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
TOGETHER = 500
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
        store.turns.submit_many(turns)
    store.close()


def measure(folder: str, format_name: Any) -> None:
    """Export once, and print the seconds, the bytes, and this process's memory before and at its most since then."""
    store = opened(folder)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (proc(5)): opening has one of its own
    before = kib("VmRSS")
    start = time.perf_counter()
    made = Export(store, ExportRequest(survey_id=SURVEY, format=format_name)).write()
    size = sum(map(len, made.pieces))
    seconds = time.perf_counter() - start
    peak = kib("VmHWM")
    store.close()
    print(json.dumps([made.counts.sessions, seconds, size, before // 1024, peak // 1024]))


def kib(name: str) -> int:
    """Return a figure of this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def table(count: int) -> Iterator[str]:
    """Yield the lines of the table of a database of this size."""
    with tempfile.TemporaryDirectory() as folder:
        fill(folder, count)
        yield f"| {count:,} sessions | s | sessions/s | MB | MiB before | added |"
        yield "| --- | --: | --: | --: | --: | --: |"
        for name in FORMATS:
            command = [sys.executable, "-m", "benchmarks.export", "--measure", folder, name]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ourselves
            sessions, seconds, size, before, peak = json.loads(told.splitlines()[-1])
            assert sessions == count
            rate = f"{seconds:.1f} | {count / seconds:,.0f} | {size / 1e6:.1f}"
            yield f"| {name} | {rate} | {before} | {peak - before:+} |"


def main(counts: list[int]) -> None:
    """Measure, print and write the page."""
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
        main([int(given) for given in sys.argv[1:]])
