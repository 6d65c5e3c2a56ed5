"""Writes docs/performance/sockets.md."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.socket_results import Result, by_point, median
from benchmarks.socket_servers import BASELINE, ECHO, OTREE, OURS, SOCKET_IO, Contestant

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "performance"

PAGE = """# Ten thousand people at once

`make bench-sockets`: interleaved rounds ({rounds}) on {cores} cores, {system}, Python {python}. Each contestant runs
as its users run it; the clients are one more process on the same machine, so turns a second are those of
both. The processor time of a turn is the server's alone. Medians of the rounds; figures of two runs differ by a third,
ratios within a run by less.

- **{echo}**: flask-sock sends the message back; nothing is decoded or stored. What the library can do.
- **{baseline}**: flask-sock and sqlite3 in 50 lines, a commit a turn. What a user would write instead.
- **{socket_io}**: the same with its asyncio server under uvicorn, as its documentation recommends.
- **{otree}**: a live page that stores the answer and its history, with oTree's own server and SQLite settings. It
  acknowledges before it commits.
- **{ours}**: every turn is decided by the survey, stored with its history and committed before it is acknowledged.

## Everyone answers as fast as they can

Each client sends its next answer when it has the acknowledgement of its last one: to seven steps of a survey of eight
without expressions, in turn, again and again.

{closed}

![Turns a second by sockets](sockets-closed.png)

{goals}

## More than the server can do

1,000 sockets, which together send turns at a given rate. A turn whose client still waits for its last answer is not
sent; the latency counts from when it was due.

{offered}

![Turns a second by offered load](sockets-offered.png)

## Ten thousand sessions, slow disks, exports, a restart

"A flush of 20 ms" makes every commit so much slower. "Export": another client downloads exports of 20,000 sessions, one
after the other. "Restart": the process is killed, and all clients connect again and send what was not acknowledged.

{many}

{storms}
"""


def write(results: Mapping[str, Sequence[Result]], rounds: int) -> None:
    """Write the page and its plots.

    Args:
        results: of the parts closed, offered and many.
    """
    closed = results["closed"]
    page = PAGE.format(
        rounds=rounds,
        cores=os.cpu_count(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        echo=ECHO,
        baseline=BASELINE,
        socket_io=SOCKET_IO,
        otree=OTREE,
        ours=OURS,
        closed="\n".join(table(closed)),
        goals="\n".join(_goals(closed)),
        offered="\n".join(table(results["offered"])),
        many="\n".join(table(results["many"])),
        storms="\n".join(_storms(results["many"])),
    )
    (FOLDER / "sockets.md").write_text(page)
    from benchmarks import socket_plot  # noqa: PLC0415 - Matplotlib is needed for the report alone

    socket_plot.draw_closed(closed, FOLDER / "sockets-closed.png")
    socket_plot.draw_offered(results["offered"], FOLDER / "sockets-offered.png")


def table(results: Sequence[Result]) -> Iterator[str]:
    """Yield the medians of each point as lines of Markdown."""
    yield "| Server | Sockets | Offered | Turns/s | CPU, µs a turn | p50, ms | p99, ms | KiB a socket | Errors |"
    yield "| --- | --: | --: | --: | --: | --: | --: | --: | --: |"
    for point, rounds in by_point(results).items():
        name = f"{point.contestant.name}, {point.beside}" if point.beside else point.contestant.name
        offered = f"{point.offered:,.0f}" if point.offered else "closed loop"
        # Those of the killed process are not known.
        cpu_us = "" if point.beside == "restart" else f"{median(rounds, lambda result: result.cpu_us):,.0f}"
        yield (
            f"| {name} | {point.clients:,} | {offered} | {median(rounds, lambda result: result.rate):,.0f} "
            f"| {cpu_us} "
            f"| {median(rounds, lambda result: result.measured.p50 * 1000):,.1f} "
            f"| {median(rounds, lambda result: result.measured.p99 * 1000):,.1f} "
            f"| {median(rounds, lambda result: result.kib):,.1f} "
            f"| {sum(result.measured.errors for result in rounds)} |"
        )


def _goals(results: Sequence[Result]) -> Iterator[str]:
    rates = {
        (point.contestant, point.clients): median(rounds, lambda result: result.rate)
        for point, rounds in by_point(results).items()
    }
    cpu_us = {
        (point.contestant, point.clients): median(rounds, lambda result: result.cpu_us)
        for point, rounds in by_point(results).items()
    }
    peers = [kind for kind in (BASELINE, SOCKET_IO, OTREE) if any(contestant.kind == kind for contestant, _ in rates)]
    titles = ["Sockets", *(f"Turns/s, times that of {kind}" for kind in peers), "CPU a turn, times the bare echo's"]
    yield f"| {' | '.join(titles)} |"
    yield f"| --: |{' --: |' * len(peers)} --: |"
    for clients in dict.fromkeys(clients for _, clients in rates):
        ours = Contestant(OURS), clients
        ratios = [f"{rates[ours] / max(1.0, rates[Contestant(kind), clients]):.1f}" for kind in peers]
        cells = [f"{clients:,}", *ratios, f"{cpu_us[ours] / cpu_us[Contestant(ECHO), clients]:.2f}"]
        yield f"| {' | '.join(cells)} |"


def _storms(results: Sequence[Result]) -> Iterator[str]:
    for point, rounds in by_point(results).items():
        if point.beside == "restart":
            back_s = [result.measured.back_s for result in rounds]
            when = (
                "not all were back when the run ended"
                if min(back_s) < 0
                else f"all were back after {max(back_s):.1f} s"
            )
            errors = sum(result.measured.errors for result in rounds)
            yield f"- {point.contestant.name}, {point.clients:,} clients: {when}, {errors} errors."
