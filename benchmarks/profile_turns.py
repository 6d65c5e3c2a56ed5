"""Profile turns on each database, in groups of 64: ``python -m benchmarks.profile_turns``.

cProfile runs on the caller that submits the groups, in whose thread the writer works. Profiling makes calls in Python
more expensive than those in C, so the shares are only approximate. ``--only sqlite`` profiles one database,
``--functions 40`` prints more functions, ``--size 1`` profiles single turns.
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
from benchmarks.stepkeep import Stepkeep

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
"""Substrings of a function's file, or of a built-in's name, for each part."""

BUILT_INS = (
    ("the database: statements, commit, waiting for the server", ("sqlite3.", "psycopg_binary", "_socket", "select.")),
    ("hashes, locks, sleeps", ("_blake2", "_hashlib", "_thread", "lock", "time.sleep")),
)

Stat = tuple[tuple[str, int, str], float]


def main() -> None:
    """Print the tables of each database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_turns", description=__doc__)
    parser.add_argument("--only", choices=databases.KINDS)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--functions", type=int, default=25)
    options = parser.parse_args()
    Path("build").mkdir(exist_ok=True)
    for kind in databases.available([options.only] if options.only else databases.KINDS):
        with (
            tempfile.TemporaryDirectory(prefix="profile-", dir="build") as folder,
            _stepkeep(kind, Path(folder)) as stepkeep,
        ):
            _print_profile(kind, stepkeep, options.size, options.functions)


@contextmanager
def _stepkeep(kind: str, folder: Path) -> Iterator[Stepkeep]:
    with databases.fresh(kind, "profile", folder.absolute()) as url:
        stepkeep = Stepkeep(url)
        try:
            yield stepkeep
        finally:
            stepkeep.close()


def _print_profile(kind: str, stepkeep: Stepkeep, size: int, functions: int) -> None:
    plain = stepkeep.measure("groups", size, SECONDS / 3)
    profile = cProfile.Profile(time.perf_counter)
    profile.enable()
    measured = stepkeep.measure("groups", size, SECONDS)
    profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined] - there since 1994
    own = sorted(((where, values[2]) for where, values in stats.items()), key=lambda stat: -stat[1])
    print(f"## {kind}, groups of {size}\n")
    print(f"{plain.turns / plain.seconds:,.0f} turns per second; {measured.turns / measured.seconds:,.0f} profiled\n")
    print("| Part | Share | µs per turn, profiled |\n| --- | --: | --: |")
    total = sum(seconds for _, seconds in own)
    for part, seconds in _by_part(own):
        print(f"| {part} | {seconds / total:.1%} | {seconds / measured.turns * 1e6:.1f} |")
    print(f"\n| The {functions} most expensive functions | Share | Calls per turn |\n| --- | --: | --: |")
    for where, seconds in own[:functions]:
        print(f"| `{_label(where)}` | {seconds / total:.1%} | {stats[where][1] / measured.turns:.2f} |")
    print(flush=True)


def _by_part(own: list[Stat]) -> list[tuple[str, float]]:
    parts: dict[str, float] = defaultdict(float)
    for where, seconds in own:
        parts[_part(where)] += seconds
    return sorted(parts.items(), key=lambda item: -item[1])


def _part(where: tuple[str, int, str]) -> str:
    file, _, name = where
    if name == "wait" and file.endswith("psycopg/connection.py"):  # the profiler does not see its loop in C
        return BUILT_INS[0][0]
    text, parts = (name, BUILT_INS) if file == "~" else (file, ())
    for part, marks in (*parts, *PARTS):
        if any(mark in text for mark in marks):
            return part
    return "Python's built-ins" if file == "~" else "the rest (dataclasses, re, ...)"


def _label(where: tuple[str, int, str]) -> str:
    file, _, name = where
    return name if file == "~" else f"{'/'.join(Path(file).parts[-2:])} {name}"


if __name__ == "__main__":
    main()
