"""The plot of a run: acknowledged turns a second, each fault's begin, and how long recovery took."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from tests.chaos.plan import LANES
from tests.chaos.result import Result

TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
COLOURS = {"edge": "#b5483a", "store": "#7a4fa3"}
NAMES = {"edge": "server, clock, network to clients", "store": "database, network to it"}
TURNS = "#1b6ca8"


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the plot: for each database its turns, and under them its faults by their recovery times."""
    figure, all_axes = plt.subplots(
        2 * len(results), 1, figsize=(11, 4.6 * len(results)), squeeze=False, height_ratios=[3, 2] * len(results)
    )
    for number, result in enumerate(results):
        _turns(result, all_axes[2 * number][0])
        _recoveries(result, all_axes[2 * number + 1][0])
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _turns(result: Result, axes: plt.Axes) -> None:
    seconds = Counter(int(one.at_s - result.began_s) for row in result.acknowledgements.values() for one in row)
    last = int(result.ended_s - result.began_s)
    axes.plot(range(last + 1), [seconds[second] for second in range(last + 1)], color=TURNS, linewidth=0.9)
    for lane in LANES:
        begun = [done.began_s - result.began_s for done in result.faults if done.fault.lane == lane]
        axes.plot(begun, [-4 if lane == "edge" else -8] * len(begun), "|", color=COLOURS[lane], markersize=5)
    axes.set_ylabel("turns a second")
    axes.set_xlim(0, last)
    axes.set_title(
        f"{TITLES[result.order.database]}: {result.acknowledged:,} acknowledged turns, {len(result.faults):,} faults, "
        f"lost {result.of_rule('lost')}, doubled {result.of_rule('doubled')}"
    )


def _recoveries(result: Result, axes: plt.Axes) -> None:
    for lane in LANES:
        points = [
            (done.began_s - result.began_s, recovery[0])
            for done in result.faults
            if done.fault.lane == lane and (recovery := result.recovery_s(done)) is not None
        ]
        if points:
            axes.plot(*zip(*points, strict=True), ".", color=COLOURS[lane], markersize=4, label=NAMES[lane])
    axes.set_yscale("log")
    axes.set_ylabel("s until acknowledged again")
    axes.set_xlabel("seconds")
    axes.set_xlim(0, int(result.ended_s - result.began_s))
    axes.legend(loc="upper right", fontsize=8)
