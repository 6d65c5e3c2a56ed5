"""The plots: turns per second by callers on each database, all contestants at 64 callers, and growth."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from benchmarks.programme import CALLERS, GREENLETS, MANY, OURS, RAW, RAW_DRIVER, THREADS
from benchmarks.results import Point, Run

TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
GROWTH = {
    "append": "appends",
    "groups": "appends, groups of 64",
    "raw groups": "raw driver's, groups of 64",
    "load": "loads",
    "list": "lists, pages of 100",
}
COLOURS = {OURS: "#1b6ca8", RAW: "#8a8a8a", "orm": "#c98b2b", "peer": "#b5483a"}
STYLES = {
    GREENLETS: {"color": "#1b6ca8", "marker": "o", "linewidth": 2.5},
    MANY: {"color": "#0f8a6d", "marker": "s", "linewidth": 2.5},
    THREADS: {"color": "#7a4fa3", "marker": "^", "linewidth": 2.5},
    RAW_DRIVER: {"color": "#8a8a8a", "marker": "x", "linewidth": 1.5, "linestyle": "--"},
}
PEER_STYLE = {"color": "#b5483a", "marker": "v", "linewidth": 1.5, "linestyle": ":"}


def draw(run: Run, folder: Path) -> list[Path]:
    """Write the plots that the run has results for; return their paths."""
    paths = []
    for name in TITLES:
        if name in run.contests:
            paths += [_by_callers(run, name, folder), _field(run, name, folder)]
    growth = [name for name in run.contests if name.startswith("growth-")]
    if growth:
        paths.append(_growth(run, growth, folder))
    return paths


def _by_callers(run: Run, contest: str, folder: Path) -> Path:
    figure, axes = plt.subplots(figsize=(8, 4.8))
    for name, style in STYLES.items():
        line = [(size, rate) for size in CALLERS if (rate := _best(run, contest, name, size))]
        if line:
            axes.plot(*zip(*line, strict=True), label=name, **style)
    peers = [
        (size, run.rate(peer), peer.entrant)
        for size in CALLERS
        if (peer := run.fastest_peer(contest, size)) is not None
    ]
    if peers:
        label = "fastest peer: " + ", ".join(dict.fromkeys(name.split(",")[0] for *_, name in peers))
        axes.plot([size for size, *_ in peers], [rate for _, rate, _ in peers], label=label, **PEER_STYLE)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(CALLERS, [f"{size:,}" for size in CALLERS])
    axes.set_xlabel("callers (of submit_many and the raw driver: turns per transaction)")
    axes.set_ylabel("turns per second")
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_title(f"{TITLES[contest]}: committed turns per second")
    return _finish(figure, axes, folder / f"{contest}-callers.png")


def _best(run: Run, contest: str, name: str, size: int) -> float | None:
    whats = ("turns", "groups", "pipelined")
    return max((rate for what in whats if (rate := run.rate(Point(contest, name, what, size)))), default=None)


def _field(run: Run, contest: str, folder: Path) -> Path:
    bars = [
        (rate, _label(point), COLOURS[run.family(point)])
        for point in run.points(contest)
        if point.callers == 64 and (rate := run.rate(point))  # noqa: PLR2004 - measured by all
    ]
    bars.sort()
    rates, names, colours = zip(*bars, strict=True)
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.32 * len(bars)))
    drawn = axes.barh(names, rates, color=colours)
    axes.bar_label(drawn, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
    axes.set_xlim(0, max(rates) * 1.12)
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("turns per second, 64 callers or 64 turns per transaction")
    axes.set_title(f"{TITLES[contest]}: all contestants")
    return _finish(figure, axes, folder / f"{contest}-field.png", legend=False)


def _label(point: Point) -> str:
    return point.entrant if point.what == "turns" else f"{point.entrant} ({point.what} of {point.callers})"


def _growth(run: Run, contests: list[str], folder: Path) -> Path:
    figure, all_axes = plt.subplots(1, len(contests), figsize=(5 * len(contests), 4), squeeze=False)
    for axes, contest in zip(all_axes[0], contests, strict=True):
        sizes = {entrant: int(entrant.split()[0].replace(",", "")) for entrant, _ in run.lines(contest)}
        for what in dict.fromkeys(what for _, what in run.lines(contest)):
            callers = 64 if what.endswith("groups") else 1
            rates = [run.rate(Point(contest, entrant, what, callers)) for entrant in sizes]
            axes.plot(list(sizes.values()), rates, marker="o", label=GROWTH.get(what, what))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(list(sizes.values()), [f"{size:,}" for size in sizes.values()])
        axes.set_xlabel("sessions in the database")
        axes.set_ylabel("per second, one caller")
        axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_title(f"{TITLES[contest.split('-')[1]]}: growth")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(fontsize=8, framealpha=0.6)
    return _finish(figure, all_axes[0][0], folder / "growth.png", legend=False)


def _finish(figure: plt.Figure, axes: plt.Axes, path: Path, *, legend: bool = True) -> Path:
    axes.grid(visible=True, which="major", alpha=0.3)
    if legend:
        axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
