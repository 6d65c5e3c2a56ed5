"""The plots of docs/performance/sockets.md."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from benchmarks.socket_results import Result, by_point, median


def draw_closed(results: Sequence[Result], file: Path) -> None:
    """Draw turns a second by sockets, a line for each server."""
    figure, axes = plt.subplots(figsize=(8, 4.8))
    lines: dict[str, list[tuple[int, float]]] = {}
    for point, rounds in by_point(results).items():
        lines.setdefault(point.contestant.name, []).append((point.clients, median(rounds, lambda result: result.rate)))
    for name, line in lines.items():
        axes.plot(*zip(*line, strict=True), marker="o", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("sockets, each sends when it has its answer")
    axes.set_ylabel("turns per second")
    axes.legend()
    figure.savefig(file, dpi=120, bbox_inches="tight")
    plt.close(figure)


def draw_offered(results: Sequence[Result], file: Path) -> None:
    """Draw turns a second by offered load."""
    figure, axes = plt.subplots(figsize=(8, 4.8))
    points = sorted((result.point.offered, result.rate) for result in results)
    axes.plot(*zip(*points, strict=True), marker="o", label="acknowledged")
    axes.plot([0, points[-1][0]], [0, points[-1][0]], linestyle=":", label="offered")
    axes.set_ylim(0, 2 * max(rate for _, rate in points))
    axes.set_xlabel("turns per second that clients offer")
    axes.set_ylabel("turns per second")
    axes.legend()
    figure.savefig(file, dpi=120, bbox_inches="tight")
    plt.close(figure)
