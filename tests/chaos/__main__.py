"""``python -m tests.chaos``: break everything for some minutes, and see that nothing is lost and nothing doubled."""

import argparse
import logging
import signal
import sys
import time
from pathlib import Path

from tests.chaos import report
from tests.chaos.browsers import chromium
from tests.chaos.mutants import MUTANTS
from tests.chaos.result import PARTICIPANTS, Order, Result
from tests.chaos.run import run
from tests.conftest import KINDS
from tests.databases import NoServer

BROWSERS = 2
SHOWN = 30
"""Findings that are printed; the report and the logs have all."""


def arguments() -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--database", choices=(*KINDS, "all"), default="all")
    parser.add_argument("--minutes", type=float, default=3.0, help="in all; the databases share them")
    parser.add_argument("--faults", type=int, help="of each database at most; else as many as there is time for")
    parser.add_argument("--seed", default=str(time.time_ns() % 1_000_000), help="of the faults and the participants")
    parser.add_argument("--participants", type=int, default=PARTICIPANTS)
    parser.add_argument("--browsers", type=int, default=BROWSERS, help="further participants, in Chromium")
    parser.add_argument("--mutant", choices=list(MUTANTS), default="", help="make the server wrong on purpose")
    parser.add_argument("--report", type=Path, help="the folder that gets chaos.md and chaos.png")
    parser.add_argument("--logs", type=Path, default=Path("build/chaos"), help="gets the logs if anything is found")
    return parser.parse_args()


def orders(asked: argparse.Namespace) -> list[Order]:
    """Return a run for each database."""
    kinds = KINDS if asked.database == "all" else (asked.database,)
    return [
        Order(
            database=kind,
            seed=asked.seed,
            seconds=asked.minutes * 60 / len(kinds),
            faults=asked.faults,
            participants=asked.participants,
            browsers=asked.browsers if chromium() is not None else 0,
            mutant=asked.mutant,
        )
        for kind in kinds
    ]


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201 - a program for the terminal


def end_once(number: int, _frame: object) -> None:
    """End the run, with every process and folder of it; impatience must not interrupt that."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> int:
    """Run, say what was found, write the report; 1 if anything was found."""
    asked = arguments()
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it is we who cut its connections
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_once)
    results: list[Result] = []
    left_out: dict[str, str] = {}
    for order in orders(asked):
        say(f"{order.database}: {order.command}")
        try:
            results.append(run(order, tell=say, keep=asked.logs))
        except NoServer as error:
            left_out[order.database] = str(error)
            say(f"  left out: {error}")
            continue
        say(report.summary(results[-1]))
        for finding in results[-1].findings[:SHOWN]:
            say(f"  {finding.rule}: {finding.session.user_id} in {finding.session.survey_id}: {finding.detail}")
    if asked.report is not None and results:
        say(f"The report is {report.write(results, left_out, asked.report)}.")
    return int(any(result.findings for result in results))


if __name__ == "__main__":
    sys.exit(main())
