"""``make bench``: measure everything in one run, and write the report into docs/performance/.

``--quick`` takes about two minutes; ``--only sqlite,growth`` runs some contests; ``--again FILE`` renders the report of
an earlier run, whose results are in build/results.json. Servers: BENCH_POSTGRESQL_URL and BENCH_MYSQL_URL.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import databases, figures, machine, plot, report
from benchmarks.contest import Contest, Race
from benchmarks.figures import Run
from benchmarks.programme import contests
from benchmarks.targets import targets

ROUNDS, QUICK_ROUNDS = 7, 2
MINUTES, QUICK_MINUTES = 33.0, 2.5

RESULTS = Path("build/results.json")
"""All measurements of the newest run; not in the repository."""


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds, and databases up to 100,000 sessions")
    parser.add_argument("--only", default="", help="contests, or their first words, separated by commas")
    parser.add_argument("--rounds", type=int, help=f"rounds of each contest, at most ({ROUNDS}; quick: {QUICK_ROUNDS})")
    parser.add_argument("--minutes", type=float, help=f"for the rounds of all contests ({MINUTES:g})")
    parser.add_argument("--out", type=Path, default=Path("docs/performance"), help="where the report goes")
    parser.add_argument("--again", type=Path, help="an earlier results.json: render its report, measure nothing")
    return parser.parse_args()


def chosen(all_contests: list[Contest], only: str) -> list[Contest]:
    """Return the contests that ``only`` names, all for an empty one."""
    names = [name for name in only.split(",") if name]
    return [
        contest
        for contest in all_contests
        if not names or any(contest.name == name or contest.name.split("-")[0] == name for name in names)
    ]


def run(asked: argparse.Namespace, folder: Path) -> Run:
    """Run the contests; each gets its share of the time, and what those before left."""
    rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS)
    minutes = asked.minutes or (QUICK_MINUTES if asked.quick else MINUTES)
    ends_at = time.monotonic() + minutes * 60
    waiting = chosen(contests(quick=asked.quick), asked.only)
    found = Run(
        machine=machine.facts(folder),
        results=[],
        facts={},
        absent={},
        arguments="".join(f" {word}" for word in sys.argv[1:]),
    )
    races: list[Race] = []
    absent: dict[str, dict[str, str]] = {}
    while waiting:
        share = waiting[0].weight / sum(contest.weight for contest in waiting)
        contest = waiting.pop(0)
        if reason := databases.why_not(contest.database):
            absent[contest.name] = {"": reason}
            print(f"{contest.name} is left out: {reason}", flush=True)
            continue
        print(f"{contest.name}:", flush=True)
        race = Race(contest, folder)
        now = time.monotonic()
        race.run(rounds, now + (ends_at - now) * share)
        races.append(race)
        if race.results:
            print(report.table(_of([race], found, {}), contest.name), flush=True)
    return _of(races, found, absent)


def _of(races: list[Race], found: Run, absent: dict[str, dict[str, str]]) -> Run:
    left = {race.contest.name: race.absent for race in races if race.absent}
    return Run(
        machine=found.machine,
        results=[result for race in races for result in race.results],
        facts={race.contest.name: race.facts for race in races},
        absent={**absent, **left},
        arguments=found.arguments,
    )


def main() -> None:
    """Measure and report."""
    asked = arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.again:
        done = figures.read(asked.again)
    else:
        # Not the system's folder for temporary files: in memory a flush would cost nothing.
        Path("build").mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir="build")).absolute()
        try:
            done = run(asked, folder)
        finally:
            shutil.rmtree(folder)
        done.keep(RESULTS)
    path = report.write(done, asked.out, plot.draw(done, asked.out))
    for target in targets(done):
        verdict = "not measured" if target.found is None else f"{target.found} of {target.wanted}"
        limit = f" (the raw driver's groups: {target.limit})" if target.limit else ""
        print(f"{'  ok' if target.is_reached else '    '}  {target.text}: {verdict}{limit}")
    print(f"The report is {path}.")


if __name__ == "__main__":
    main()
