"""``python -m tests.conformance``: run Autobahn's cases 1 to 7 and 10 against an echo server under gunicorn.

Prints a table and each failed case; exits with 1 if there are any.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conformance import autobahn
from tests.conformance.server import serving


def main() -> int:
    """Install Autobahn if necessary, run it, and print its verdicts."""
    arguments = _arguments()
    folder = arguments.reports or Path(tempfile.mkdtemp(prefix="autobahn-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        autobahn.install()
    except autobahn.NoAutobahn as error:
        sys.exit(str(error))
    with serving(folder) as server:
        verdicts = autobahn.run(server, folder)
    for line in autobahn.table(verdicts):
        print(line)  # noqa: T201 - the program's output
    for verdict in verdicts:
        if not verdict.is_good or (arguments.all and verdict.behavior != "OK"):
            print(f"case {verdict.case}: {verdict.behavior}, closing: {verdict.behavior_close}")  # noqa: T201 - the program's output
    print(f"Report of each case: {folder}/reports/index.html")  # noqa: T201 - the program's output
    return int(not verdicts or not all(verdict.is_good for verdict in verdicts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--reports", type=Path, help="directory for Autobahn's reports (default: a temporary one)")
    parser.add_argument("--all", action="store_true", help="print non-strict and informational cases too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
