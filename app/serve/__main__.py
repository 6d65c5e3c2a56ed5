"""``python -m app.serve``, and ``make run``: serve, or with ``--check`` only check."""

import sys

from .server import check, serve


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        serve()


if __name__ == "__main__":
    main()
