"""Measure the latency of turns while old sessions are purged on SQLite; writes docs/performance/purge.md.

Run ``python -m benchmarks.purge`` in the project's directory. SESSIONS year-old sessions of EVENTS events each, and one
of LONG events, are erased by the process that writes turns (as by maintenance in the server), and by another process
(as by ``flask sessions purge``). Meanwhile one participant after another makes turns.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from app.operations.maintenance.purge_archive import PurgeArchive
from app.operations.maintenance.retention import purge
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.commands import Begin, SetMode
from app.survey.snapshot import SessionKey

SESSIONS = 100_000
EVENTS = 5
LONG = 100_000
YEAR_US = 365 * 86_400 * 1_000_000
BATCH = 10_000
REPORT = Path("docs/performance/purge.md")

HEAD = """# Latency of a turn during a purge

`python -m benchmarks.purge` (`make bench-purge`): {sessions:,} year-old sessions of {events} events each, and one of
{long:,} events, are erased on SQLite, while participants answer, one turn after another, 2 ms apart. A turn may take
100 ms at most. On 2 cores.

| Purged by | Seconds | Turns meanwhile | Median ms | p99 ms | Longest ms |
| --- | --: | --: | --: | --: | --: |"""

FOOT = """
The server: maintenance in the process that writes the turns. A command: `flask sessions purge`, its start included. A
transaction erases as much as takes about 25 ms, which it measures while it runs, and then the purge pauses for as
long: half of the writer's time always belongs to the participants. If another process holds the file's lock, the
writer polls for it every few milliseconds. SQLite's own waits grow to 100 ms, and with them a turn beside the command
waited up to 439 ms.
"""


def open_folder(folder: Path) -> SessionStore:
    """Open the store in a folder."""
    url = f"sqlite:///{folder / 'purge.db'}"
    return open_store(Settings(database_url=url, surveys_dir=Path("surveys"), retention="30d"))


def fill(store: SessionStore) -> None:
    """Begin the old sessions."""
    at = store.clock() - YEAR_US
    for start in range(0, SESSIONS, BATCH):
        keys = [SessionKey("phq9", f"old{number:06}") for number in range(start, start + BATCH)]
        store.turns.submit_many([(key, Begin(at=at)) for key in keys])
        for turn in range(EVENTS - 1):
            store.turns.submit_many([(key, SetMode(at=at, is_audio_mode=turn % 2 == 0)) for key in keys])
    key = SessionKey("phq9", "old000500-long")
    store.turns.submit_many([(key, Begin(at=at))])
    for start in range(0, LONG - 1, BATCH):
        store.turns.submit_many([(key, SetMode(at=at, is_audio_mode=n % 2 == 0)) for n in range(start, start + BATCH)])


def turns_beside(store: SessionStore, work: Callable[[], object]) -> tuple[list[float], float]:
    """Return the sorted durations of turns during the work, in milliseconds, and the seconds of the work."""
    durations: list[float] = []
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            key = SessionKey("phq9", f"young{number // 20:07}")
            command = (
                Begin(at=store.clock())
                if number % 20 == 0
                else SetMode(at=store.clock(), is_audio_mode=number % 2 == 1)
            )
            began = time.perf_counter()
            store.turns.submit(key, command)
            durations.append((time.perf_counter() - began) * 1e3)
            number += 1
            time.sleep(0.002)  # think time

    thread = threading.Thread(target=write)
    thread.start()
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    ended.set()
    thread.join()
    return sorted(durations), seconds


def in_another_process(folder: Path, *, archived: bool) -> None:
    """Purge as the command does."""
    command = [sys.executable, "-m", "benchmarks.purge", str(folder), *(["archived"] if archived else [])]
    subprocess.run(command, check=True)  # noqa: S603 - this program


def purge_in(store: SessionStore, folder: Path, *, archived: bool) -> None:
    """Purge, with an archive or without."""
    if archived:
        with PurgeArchive(store, folder / "old.jsonl.gz") as archive:
            purge(store, archive=archive)
    else:
        purge(store)


def measure(*, in_command: bool, archived: bool) -> str:
    """Return a line of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = open_folder(folder)
        fill(store)
        if in_command:
            durations, seconds = turns_beside(store, lambda: in_another_process(folder, archived=archived))
        else:
            durations, seconds = turns_beside(store, lambda: purge_in(store, folder, archived=archived))
        store.close()
    median, p99 = durations[len(durations) // 2], durations[int(len(durations) * 0.99)]
    actor = "a command" if in_command else "the server"
    archive = " with an archive" if archived else ""
    return f"| {actor}{archive} | {seconds:.0f} | {len(durations):,} | {median:.1f} | {p99:.1f} | {durations[-1]:.1f} |"


def report(lines: list[str]) -> str:
    """Return the page."""
    head = HEAD.format(sessions=SESSIONS, events=EVENTS, long=LONG)
    return "\n".join([head, *lines, FOOT])


def main() -> None:
    """Measure; print and write the page."""
    lines = []
    for in_command in (False, True):
        for archived in (False, True):
            lines.append(measure(in_command=in_command, archived=archived))
            print(lines[-1], flush=True)
    REPORT.write_text(report(lines))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        store_to_purge = open_folder(Path(sys.argv[1]))
        purge_in(store_to_purge, Path(sys.argv[1]), archived="archived" in sys.argv)
        store_to_purge.close()
    else:
        main()
