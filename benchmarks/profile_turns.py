"""Where the time of a turn goes, on each database, in groups of 64: ``python -m benchmarks.profile_turns``.

cProfile on the one caller that hands in the groups, so that the writer works in its thread. Profiling
makes calls in Python more expensive than those in C: the shares show a direction only. ``--only sqlite``
takes one database, ``--functions 40`` prints more functions, ``--size 1`` profiles one turn at a time.
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import databases
from benchmarks.ours import Ours

SECONDS = 3.0

PARTS = (
    ("decide and apply (app/survey)", ("app/survey/",)),
    ("the store's own code (app/store, app/writer)", ("app/store/", "app/writer/")),
    ("the service (app/sessions, app/core)", ("app/sessions/", "app/core/")),
    ("SQLAlchemy", ("sqlalchemy/",)),
    ("the driver, in Python", ("psycopg/", "pymysql/", "pysqlite3/")),
    ("conditions (CEL)", ("cel/", "common_expression")),
    ("JSON (orjson)", ("orjson",)),
    ("the benchmark's caller", ("benchmarks/", "uuid.py")),
)
"""By name, what a function's file or a built-in's text begins with or holds."""

BUILT_INS = (
    ("the database: statements, commit, waiting for the server", ("sqlite3.", "psycopg_binary", "_socket", "select.")),
    ("hashes, locks, sleeps", ("_blake2", "_hashlib", "_thread", "lock", "time.sleep")),
)

Stat = tuple[tuple[str, int, str], float]


def main() -> None:
    """Print one table a database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_turns", description=__doc__)
    parser.add_argument("--only", choices=databases.KINDS)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--functions", type=int, default=25)
    asked = parser.parse_args()
    Path("build").mkdir(exist_ok=True)
    for kind in [asked.only] if asked.only else databases.KINDS:
        if reason := databases.why_not(kind):
            print(f"## {kind} is left out: {reason}")
            continue
        with tempfile.TemporaryDirectory(prefix="profile-", dir="build") as folder, _ours(kind, Path(folder)) as ours:
            _print_profile(kind, ours, asked.size, asked.functions)


@contextmanager
def _ours(kind: str, folder: Path) -> Iterator[Ours]:
    with databases.fresh(kind, "profile", folder.absolute()) as url:
        ours = Ours(url)
        try:
            yield ours
        finally:
            ours.close()


def _print_profile(kind: str, ours: Ours, size: int, functions: int) -> None:
    plain = ours.measure("groups", size, SECONDS / 3)
    profile = cProfile.Profile(time.perf_counter)
    profile.enable()
    measured = ours.measure("groups", size, SECONDS)
    profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined] - there since 1994
    own = sorted(((where, values[2]) for where, values in stats.items()), key=lambda stat: -stat[1])
    print(f"## {kind}, groups of {size}\n")
    print(f"{plain.turns / plain.seconds:,.0f} turns per second; {measured.turns / measured.seconds:,.0f} profiled\n")
    print("| Part | Share | µs a turn, profiled |\n| --- | --: | --: |")
    total = sum(seconds for _, seconds in own)
    for part, seconds in _by_part(own):
        print(f"| {part} | {seconds / total:.1%} | {seconds / measured.turns * 1e6:.1f} |")
    print(f"\n| The {functions} most expensive functions | Share | Calls a turn |\n| --- | --: | --: |")
    for where, seconds in own[:functions]:
        print(f"| `{_shown(where)}` | {seconds / total:.1%} | {stats[where][1] / measured.turns:.2f} |")
    print(flush=True)


def _by_part(own: list[Stat]) -> list[tuple[str, float]]:
    found: dict[str, float] = defaultdict(float)
    for where, seconds in own:
        found[_part(where)] += seconds
    return sorted(found.items(), key=lambda item: -item[1])


def _part(where: tuple[str, int, str]) -> str:
    file, _, name = where
    if name == "wait" and file.endswith("psycopg/connection.py"):  # its C loop is not seen by the profiler
        return BUILT_INS[0][0]
    text, parts = (name, BUILT_INS) if file == "~" else (file, ())
    for part, marks in (*parts, *PARTS):
        if any(mark in text for mark in marks):
            return part
    return "Python's built-ins" if file == "~" else "the rest (dataclasses, re, ...)"


def _shown(where: tuple[str, int, str]) -> str:
    file, _, name = where
    return name if file == "~" else f"{'/'.join(Path(file).parts[-2:])} {name}"


if __name__ == "__main__":
    main()
