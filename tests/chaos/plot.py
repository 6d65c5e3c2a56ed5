"""The plot of a run: acknowledged turns per second, the start of each fault, and recovery times."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from tests.chaos.plan import LAYERS
from tests.chaos.result import Result

TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
COLOURS = {"edge": "#b5483a", "store": "#7a4fa3", "erasure": "#3a7d44"}
NAMES = {
    "edge": "server, clock, network to clients",
    "store": "database, network to it",
    "erasure": "erasure of a participant",
}
TURNS = "#1b6ca8"


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the plot: for each database its turns, and below them the recovery time of each fault."""
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
    seconds = Counter(int(ack.at_s - result.began_s) for acks in result.acknowledgements.values() for ack in acks)
    last = int(result.ended_s - result.began_s)
    axes.plot(range(last + 1), [seconds[second] for second in range(last + 1)], color=TURNS, linewidth=0.9)
    for layer in LAYERS:
        starts = [injected.began_s - result.began_s for injected in result.faults if injected.fault.layer == layer]
        axes.plot(starts, [-4 * (1 + LAYERS.index(layer))] * len(starts), "|", color=COLOURS[layer], markersize=5)
    axes.set_ylabel("turns per second")
    axes.set_xlim(0, last)
    axes.set_title(
        f"{TITLES[result.config.database]}: {result.acknowledged:,} acknowledged turns, {len(result.faults):,} faults, "
        f"lost {result.count_findings('lost')}, doubled {result.count_findings('doubled')}"
    )


def _recoveries(result: Result, axes: plt.Axes) -> None:
    for layer in LAYERS:
        points = [
            (injected.began_s - result.began_s, recovery[0])
            for injected in result.faults
            if injected.fault.layer == layer and (recovery := result.recovery_s(injected)) is not None
        ]
        if points:
            axes.plot(*zip(*points, strict=True), ".", color=COLOURS[layer], markersize=4, label=NAMES[layer])
    axes.set_yscale("log")
    axes.set_ylabel("seconds to next acknowledgement")
    axes.set_xlabel("seconds")
    axes.set_xlim(0, int(result.ended_s - result.began_s))
    axes.legend(loc="upper right", fontsize=8)
