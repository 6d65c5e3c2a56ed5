"""The report: Markdown with the targets, the results, the method and the machine."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.plot import TITLES
from benchmarks.programme import CALLERS, MANY, PEER, RAW_DRIVER
from benchmarks.results import Point, Run
from benchmarks.targets import targets

METHOD = """\
Every contestant is a process with its own database. In each round, each contestant in turn measures each of its
settings, one at a time, so that noise affects all of them alike. The tables show medians over the rounds; ratios are
medians of the ratios within a round. Absolute rates depend on the machine: compare the ratios. Ratios to a peer
depend on what a flush to disk costs (below): a contestant that flushes at each turn gains most from cheap flushes.

A turn is one answer to PHQ-9: read, decided, applied, written as a history row and the session's row, committed, and
the caller woken. The callers are a closed loop: each has its own sessions, started before the clock, and makes one
turn after another. A turn counts if its caller was woken within the window.

On PostgreSQL the planner's statistics are refreshed for every contestant at the beginning of each round, as
autovacuum does within a minute of a table's first rows.

Message ids begin with the time (UUIDv7), as those of Stepkeep's clients do; the raw drivers write the same ids.
Python collects garbage less often than by default, as Stepkeep's server does, for every contestant alike.

Durability is the same for all where it can be configured: SQLite with WAL and synchronous=FULL, the servers with
their (synchronous) defaults. Under gevent every caller yields once after each turn, like a connection that waits for
its next message.

The raw drivers write the rows that Stepkeep wrote for the same walk, over a connection that is configured like the
writer's, without reading, deciding or encoding. "An ORM session a turn" and "a transaction a turn" read the row
locked and write the same rows, but decide nothing; both have 16 connections. The peers store the same state and one
event through their own documented call, and decide nothing. LangGraph's `put` writes one row (its event is in the
checkpoint's metadata), Flask-Session keeps no history, and openai-agents keeps no state: they do less than a turn.
LangGraph's graph also calls `put_writes` for what a node wrote; that is a row of its own.

The databases of 100,000 and 1,000,000 sessions are a few real sessions multiplied; each append, load and list uses a
random session, from one caller.
"""

LIMITS = """\
Ratios to a peer depend on what a flush costs on the machine (see "Machine"): the fastest peer flushes at each turn,
and the cheaper a flush is, the less a group saves. The column "Raw driver's groups" is what two rows a turn reach on
the same driver by the same measure, without reading, deciding, encoding or waking a caller: no program that stores a
turn through this driver can be faster. LangGraph's `put` writes one row, reads none and decides nothing.

Beyond the driver, [the profile](profile.md) shows where a turn spends its time: on SQLite about half is the database
(each session's entries are on pages of their own, which are written to the WAL as a whole), the rest is Python:
decide and apply, encode, wake. Threads as callers reach about half of what greenlets reach: each turn wakes a thread,
and there is one interpreter lock. On PostgreSQL and MariaDB the database server uses one of the two cores.

In a database of a million sessions, each turn of a random session touches other pages, and a group of 64 shares none:
the raw driver loses more than Stepkeep. One turn at a time also loses what a thousand sessions gain from the cache.

[Query plans](plans.md) show that no interface reads a whole table. Measured beside the turns:
[analytics](analytics.md), [exports](export.md), [backups and moves](backup.md), [purging](purge.md),
[notifications](notifications.md), and the cost of [metrics](observability.md).
"""

NAMES = {
    "turns": "",
    "groups": ", groups",
    "pipelined": ", executemany in a pipeline",
}


def table(run: Run, contest: str) -> str:
    """Return the contest's table of medians."""
    return _by_callers(run, contest) if contest in TITLES else _simple(run, contest)


def write(run: Run, folder: Path, plots: Sequence[Path]) -> Path:
    """Write the report; return its path."""
    parts = [
        "# Performance",
        f"Made by `python -m benchmarks{run.arguments}` (`make bench`).",
        _targets(run),
        "## What limits the rest",
        LIMITS,
        *(_section(run, contest, plots) for contest in run.contests if contest in TITLES),
        *_others(run, plots),
        _durability(run),
        _absent(run),
        "## Method",
        METHOD,
        "## Machine",
        _rows(("", ""), run.machine.items()),
    ]
    path = folder / "README.md"
    path.write_text("\n\n".join(part.strip() for part in parts if part) + "\n")
    return path


def _targets(run: Run) -> str:
    all_targets = targets(run)
    rows = [
        (
            target.text,
            target.required,
            target.measured or "",
            target.limit,
            _verdict(target.measured, is_reached=target.is_reached),
        )
        for target in all_targets
    ]
    reached = sum(target.is_reached for target in all_targets)
    measured = sum(target.measured is not None for target in all_targets)
    return f"## Targets\n\n{reached} of {measured} reached.\n\n" + _rows(
        ("Target", "At least", "Measured", "Raw driver's groups", ""), rows
    )


def _verdict(measured: str | None, *, is_reached: bool) -> str:
    if measured is None:
        return "not measured"
    return "reached" if is_reached else "**not reached**"


def _section(run: Run, contest: str, plots: Sequence[Path]) -> str:
    pictures = [f"![{path.stem}]({path.name})" for path in plots if path.name.startswith(f"{contest}-")]
    return "\n\n".join(
        part
        for part in (
            f"## {TITLES[contest]}",
            f"Turns per second, medians of {run.rounds(contest)} rounds:",
            _by_callers(run, contest),
            *pictures,
            "Latency of a turn (in groups: of the group), median / 99th percentile, in milliseconds:",
            _latencies(run, contest),
            _errors(run, contest),
        )
        if part
    )


def _by_callers(run: Run, contest: str) -> str:
    rows = [
        (
            f"{entrant}{NAMES[what] if entrant != MANY else ''}",
            *(_rate(run, contest, entrant, what, size) for size in CALLERS),
        )
        for entrant, what in run.lines(contest)
    ]
    return _rows(("Callers, or turns per transaction", *(f"{size:,}" for size in CALLERS)), _joined(rows))


def _joined(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Join the raw driver's transactions per turn and its groups into one line: they share no column."""
    joined: dict[str, tuple[str, ...]] = {}
    for row in rows:
        name = row[0].replace(f"{RAW_DRIVER}, groups", RAW_DRIVER)
        before = joined.get(name, ("",) * len(row))
        joined[name] = (name, *(old or new for old, new in zip(before[1:], row[1:], strict=True)))
    return list(joined.values())


def _rate(run: Run, contest: str, entrant: str, what: str, size: int) -> str:
    rate = run.rate(Point(contest, entrant, what, size))
    return "" if rate is None else f"{rate:,.0f}"


def _latencies(run: Run, contest: str) -> str:
    rows = [
        (
            f"{entrant}{NAMES[what] if entrant != MANY else ''}",
            *(_latency(run, Point(contest, entrant, what, size)) for size in CALLERS),
        )
        for entrant, what in run.lines(contest)
    ]
    return _rows(("Callers, or turns per transaction", *(f"{size:,}" for size in CALLERS)), _joined(rows))


def _latency(run: Run, point: Point) -> str:
    p50_us, p99_us = run.p50_us(point), run.p99_us(point)
    return "" if p50_us is None or p99_us is None else f"{p50_us / 1000:,.2f} / {p99_us / 1000:,.1f}"


def _errors(run: Run, contest: str) -> str:
    rows = [
        (point.entrant, f"{point.callers:,}", f"{count:,}", f"`{error}`")
        for point in run.points(contest)
        for error, count in run.errors(point).most_common(3)
    ]
    return "Errors, over all rounds:\n\n" + _rows(("", "Callers", "Count", "Error"), rows) if rows else ""


def _others(run: Run, plots: Sequence[Path]) -> list[str]:
    others = [contest for contest in run.contests if contest not in TITLES]
    parts = [f"## {_title(contest)}\n\n{_simple(run, contest)}" for contest in others]
    return [*parts, *(f"![growth]({path.name})" for path in plots if path.name == "growth.png")]


def _title(contest: str) -> str:
    what, database = contest.split("-")
    text = {
        "loads": "loads of 10,000 sessions",
        "growth": "growth of the database",
        "lengths": "long sessions",
    }[what]
    return f"{TITLES[database]}: {text}"


def _simple(run: Run, contest: str) -> str:
    rows = [
        (point.entrant, point.what, f"{point.callers:,}", f"{run.rate(point) or 0:,.0f}", _latency(run, point))
        for point in run.points(contest)
    ]
    size = "Events" if contest.startswith("lengths") else "Callers, or group size"
    return _rows(("", "Operation", size, "Per second", "Median / 99th percentile, ms"), rows)


def _durability(run: Run) -> str:
    rows = [
        (TITLES[contest], name, facts["durability"], facts.get("durability by default", ""))
        for contest in TITLES
        for name, facts in run.facts.get(contest, {}).items()
        if run.family_of(contest, name) == PEER
    ]
    return "## Durability of the peers\n\n" + _rows(("", "Peer", "In this run", "By default"), rows) if rows else ""


def _absent(run: Run) -> str:
    rows = [(contest, name, reason) for contest, left in run.absent.items() for name, reason in left.items()]
    return "## Left out\n\n" + _rows(("", "Contestant", "Reason"), rows) if rows else ""


def _rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, with columns of numbers aligned to the right."""
    cells = [list(row) for row in rows]
    marks = [" --: " if _is_numeric(column) else " --- " for column in zip(*cells, strict=True)] or [" --- "] * len(
        heads
    )
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(marks)}|", *(f"| {' | '.join(row)} |" for row in cells)]
    return "\n".join(lines)


def _is_numeric(column: Sequence[str]) -> bool:
    return all(set(cell) <= set("0123456789,. /") for cell in column)
