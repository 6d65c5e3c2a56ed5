"""``make bench``: measure everything in one run, and write the report into docs/performance/.

``--quick`` takes about two minutes; ``--only sqlite,growth`` runs some contests; ``--again FILE`` renders the report of
an earlier run from its results (build/results.json). Servers: BENCH_POSTGRESQL_URL and BENCH_MYSQL_URL.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import databases, machine, plot, report, results
from benchmarks.contest import Contest, Race
from benchmarks.programme import contests
from benchmarks.results import Run
from benchmarks.targets import targets

ROUNDS, QUICK_ROUNDS = 7, 2
MINUTES, QUICK_MINUTES = 33.0, 2.5

RESULTS = Path("build/results.json")
"""All measurements of the newest run; not committed."""


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds, and databases up to 100,000 sessions")
    parser.add_argument("--only", default="", help="names of contests, or their first words, separated by commas")
    parser.add_argument("--rounds", type=int, help=f"maximum rounds of each contest ({ROUNDS}; quick: {QUICK_ROUNDS})")
    parser.add_argument("--minutes", type=float, help=f"time for the rounds of all contests ({MINUTES:g})")
    parser.add_argument("--out", type=Path, default=Path("docs/performance"), help="directory of the report")
    parser.add_argument("--again", type=Path, help="results.json of an earlier run: only render its report")
    return parser.parse_args()


def select_contests(all_contests: list[Contest], only: str) -> list[Contest]:
    """Return the contests that ``only`` names; all if it is empty."""
    names = [name for name in only.split(",") if name]
    return [
        contest
        for contest in all_contests
        if not names or any(contest.name == name or contest.name.split("-")[0] == name for name in names)
    ]


def run(options: argparse.Namespace, folder: Path) -> Run:
    """Run the contests; each gets its share of the remaining time."""
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    ends_at = time.monotonic() + minutes * 60
    waiting = select_contests(contests(quick=options.quick), options.only)
    empty = Run(
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
        if reason := databases.unavailable_reason(contest.database):
            absent[contest.name] = {"": reason}
            print(f"{contest.name} is skipped: {reason}", flush=True)
            continue
        print(f"{contest.name}:", flush=True)
        race = Race(contest, folder)
        now = time.monotonic()
        race.run(rounds, now + (ends_at - now) * share)
        races.append(race)
        if race.results:
            print(report.table(_with_results([race], empty, {}), contest.name), flush=True)
    return _with_results(races, empty, absent)


def _with_results(races: list[Race], empty: Run, absent: dict[str, dict[str, str]]) -> Run:
    left_out = {race.contest.name: race.absent for race in races if race.absent}
    return Run(
        machine=empty.machine,
        results=[result for race in races for result in race.results],
        facts={race.contest.name: race.facts for race in races},
        absent={**absent, **left_out},
        arguments=empty.arguments,
    )


def main() -> None:
    """Measure, and write the report."""
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.again:
        result = results.read(options.again)
    else:
        # Not the system's temporary directory, which may be in memory, where a flush costs nothing.
        Path("build").mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir="build")).absolute()
        try:
            result = run(options, folder)
        finally:
            shutil.rmtree(folder)
        result.save(RESULTS)
    path = report.write(result, options.out, plot.draw(result, options.out))
    for target in targets(result):
        verdict = "not measured" if target.measured is None else f"{target.measured} of {target.required}"
        limit = f" (the raw driver's groups: {target.limit})" if target.limit else ""
        print(f"{'  ok' if target.is_reached else '    '}  {target.text}: {verdict}{limit}")
    print(f"Report: {path}")


if __name__ == "__main__":
    main()
