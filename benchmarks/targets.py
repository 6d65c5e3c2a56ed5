"""The targets, and whether a run reached them."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.programme import GREENLETS, MANY, POOL, RAW_DRIVER, THREADS
from benchmarks.results import Point, Run

NO_COLLAPSE = 0.6
"""Rate at 1,024 callers relative to 64; an earlier version collapsed to 0.36."""

SIZES = (64, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target.

    Attributes:
        measured: None if it was not measured.
        limit: the raw driver's best result by the same measure, if it differs.
    """

    text: str
    required: str
    measured: str | None
    is_reached: bool
    limit: str = ""


def targets(run: Run) -> list[Target]:
    """Return all targets in order."""
    return [*_sqlite(run), *_servers(run), *_reads(run)]


def _sqlite(run: Run) -> Iterator[Target]:
    for size in SIZES:
        yield _against_peer(run, "sqlite", GREENLETS, size, 8.0)
    for size in SIZES:
        yield _against_raw(run, GREENLETS, "turns", size, 0.4)
    for size in SIZES:
        yield _against_peer(run, "sqlite", THREADS, size, 4.0)
    for name in (THREADS, GREENLETS):
        ratio = run.ratio(Point("sqlite", name, "turns", 1024), Point("sqlite", name, "turns", 64))
        yield _at_least(f"SQLite: {name}, 1,024 callers relative to 64: no collapse", NO_COLLAPSE, ratio)
    for size in (*SIZES, 1024):
        yield _against_raw(run, MANY, "groups", size, 0.5)
    ratio = run.ratio(Point("sqlite", THREADS, "turns", 1), Point("sqlite", RAW_DRIVER, "turns", 1))
    yield _at_least("SQLite: one caller relative to the raw driver, a transaction a turn", 0.6, ratio)


def _servers(run: Run) -> Iterator[Target]:
    for size in SIZES:
        yield _against_peer(run, "postgresql", GREENLETS, size, 10.0)
    for size in SIZES:
        pool = Point("mariadb", POOL, "turns", size)
        ratio = run.ratio(Point("mariadb", GREENLETS, "turns", size), pool)
        limit = _limit(run, "mariadb", size, pool)
        yield _at_least(f"MariaDB: {GREENLETS}, {size} callers, relative to {POOL}", 5.0, ratio, limit)


def _reads(run: Run) -> Iterator[Target]:
    loads = [rate for count in (1, 8) if (rate := run.rate(Point("loads-sqlite", THREADS, "loads", count)))]
    yield Target(
        text="SQLite: loads per second, of 10,000 sessions",
        required="20,000",
        measured=f"{max(loads):,.0f}" if loads else None,
        is_reached=bool(loads) and max(loads) >= 20_000,  # noqa: PLR2004 - the target itself
    )
    for contest in ("growth-sqlite", "growth-postgresql"):
        for what, size in (("append", 1), ("groups", 64)):
            yield _grown(run, contest, what, size)
    took = run.p50_us(Point("lengths-sqlite", "long sessions", "at_version", 10_000))
    yield Target(
        text="SQLite: at_version of a session of 10,000 events, ms",
        required="under 100",
        measured=None if took is None else f"{took / 1000:,.1f}",
        is_reached=took is not None and took < 100_000,  # noqa: PLR2004 - the target itself
    )


def _grown(run: Run, contest: str, what: str, size: int) -> Target:
    names = [entrant for entrant, operation in run.lines(contest) if operation == what]
    ratio = run.ratio(Point(contest, names[-1], what, size), Point(contest, names[0], what, size)) if names else None
    raw = [Point(contest, name, "raw groups", size) for name in (names[-1:] + names[:1])]
    limit = run.ratio(*raw) if raw and what == "groups" else None
    between = f"{names[-1]} relative to {names[0]}" if names else "a million sessions relative to a thousand"
    form = "one by one" if what == "append" else f"groups of {size}"
    return _at_least(f"{_title(contest.split('-')[1])}: appends {form}, {between}", 0.8, ratio, _format(limit))


def _against_peer(run: Run, contest: str, name: str, size: int, required: float) -> Target:
    peer = run.fastest_peer(contest, size)
    ratio = run.ratio(Point(contest, name, "turns", size), peer) if peer else None
    name_of_peer = f"{peer.entrant}" if peer else "the fastest peer"
    return _at_least(
        f"{_title(contest)}: {name}, {size} callers, relative to {name_of_peer}",
        required,
        ratio,
        _limit(run, contest, size, peer),
    )


def _against_raw(run: Run, name: str, what: str, size: int, required: float) -> Target:
    raw = run.fastest_group("sqlite", RAW_DRIVER, size)
    ratio = run.ratio(Point("sqlite", name, what, size), raw) if raw else None
    return _at_least(f"SQLite: {name}, {size:,}, relative to the raw driver's groups of {size:,}", required, ratio)


def _limit(run: Run, contest: str, size: int, below: Point | None) -> str:
    """Return the ratio of the raw driver's groups of the same size, the limit of any program on this driver."""
    raw = run.fastest_group(contest, RAW_DRIVER, size)
    ratio = run.ratio(raw, below) if raw and below else None
    return _format(ratio)


def _format(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _at_least(text: str, required: float, ratio: float | None, limit: str = "") -> Target:
    return Target(
        text=text,
        required=f"{required:g}",
        measured=None if ratio is None else f"{ratio:.2f}",
        is_reached=ratio is not None and ratio >= required,
        limit=limit,
    )


def _title(database: str) -> str:
    return {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}[database]
