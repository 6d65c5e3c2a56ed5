"""``python -m tests.conformance``: Autobahn's cases 1 to 7 and 10 on the echo, under the real gunicorn.

Prints a table and each case that is not good; exit code 1 where there is one.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conformance import autobahn
from tests.conformance.server import serving


def main() -> int:
    """Install Autobahn where it is missing, run it, print what it found."""
    arguments = _arguments()
    folder = arguments.reports or Path(tempfile.mkdtemp(prefix="autobahn-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        autobahn.install()
    except autobahn.NoAutobahn as error:
        sys.exit(str(error))
    with serving(folder, arguments.worker) as server:
        verdicts = autobahn.judge(server, folder)
    for line in autobahn.table(verdicts):
        print(line)  # noqa: T201 - its output
    for one in verdicts:
        if not one.is_good or (arguments.all and one.behavior != "OK"):
            print(f"case {one.case}: {one.behavior}, closing: {one.behavior_close}")  # noqa: T201 - its output
    print(f"Autobahn's reports, case by case: {folder}/reports/index.html")  # noqa: T201 - its output
    return int(not verdicts or not all(one.is_good for one in verdicts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--worker", choices=["gthread", "gevent"], default="gthread", help="gunicorn's worker class")
    parser.add_argument("--reports", type=Path, help="a folder for Autobahn's reports (default: a temporary one)")
    parser.add_argument("--all", action="store_true", help="name the non-strict and informational cases too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
