"""``python -m tests.chaos``: inject faults for some minutes, then check that no turn was lost or duplicated."""

import argparse
import logging
import signal
import sys
import time
from pathlib import Path

from tests.chaos import report
from tests.chaos.mutants import MUTANTS
from tests.chaos.result import PARTICIPANTS, Result, RunConfig
from tests.chaos.run import run
from tests.conftest import KINDS, find_chromium
from tests.database_servers import NoServer

BROWSERS = 2
MAX_PRINTED = 30
"""Maximum number of findings printed; the report and the logs have all."""


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--database", choices=(*KINDS, "all"), default="all")
    parser.add_argument("--minutes", type=float, default=3.0, help="total duration, shared by the databases")
    parser.add_argument("--faults", type=int, help="maximum number per database (default: as many as time allows)")
    parser.add_argument(
        "--seed", default=str(time.time_ns() % 1_000_000), help="seed of the faults and of the participants"
    )
    parser.add_argument("--participants", type=int, default=PARTICIPANTS)
    parser.add_argument("--browsers", type=int, default=BROWSERS, help="additional participants in Chromium")
    parser.add_argument("--mutant", choices=list(MUTANTS), default="", help="serve a deliberately broken server")
    parser.add_argument("--report", type=Path, help="directory for chaos.md and chaos.png")
    parser.add_argument(
        "--logs", type=Path, default=Path("build/chaos"), help="directory for the logs if there are findings"
    )
    return parser.parse_args()


def configurations(options: argparse.Namespace) -> list[RunConfig]:
    """Return the configuration of a run for each database."""
    kinds = KINDS if options.database == "all" else (options.database,)
    return [
        RunConfig(
            database=kind,
            seed=options.seed,
            seconds=options.minutes * 60 / len(kinds),
            faults=options.faults,
            participants=options.participants,
            browsers=options.browsers if find_chromium() is not None else 0,
            mutant=options.mutant,
        )
        for kind in kinds
    ]


def print_line(line: str) -> None:
    """Print a line unbuffered."""
    print(line, flush=True)  # noqa: T201 - a program for the terminal


def exit_on_signal(number: int, _frame: object) -> None:
    """End the run and clean up; ignore further signals meanwhile."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> int:
    """Run, print the findings, write the report; return 1 if there are findings."""
    options = arguments()
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # the faults cut its connections
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, exit_on_signal)
    results: list[Result] = []
    skipped: dict[str, str] = {}
    for config in configurations(options):
        print_line(f"{config.database}: {config.command}")
        try:
            results.append(run(config, output=print_line, logs=options.logs))
        except NoServer as error:
            skipped[config.database] = str(error)
            print_line(f"  skipped: {error}")
            continue
        print_line(report.summary(results[-1]))
        for finding in results[-1].findings[:MAX_PRINTED]:
            print_line(f"  {finding.rule}: {finding.session.user_id} in {finding.session.survey_id}: {finding.detail}")
    if options.report is not None and results:
        print_line(f"The report is {report.write(results, skipped, options.report)}.")
    return int(any(result.findings for result in results))


if __name__ == "__main__":
    sys.exit(main())
