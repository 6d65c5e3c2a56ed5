"""The parent process: starts the contestants of a contest and lets them measure in turn, round by round.

In each round every contestant measures every setting, one contestant at a time, so that noise of the machine affects
all alike. A contestant that does not answer in time is killed and left out.
"""

import contextlib
import dataclasses
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import databases
from benchmarks.crowd import GRACE_S

OPEN_S = 420.0
"""Time for a contestant to fill its database."""

MANY_CALLERS = 1024
"""From this number of callers on, a window is twice as long."""

WARM_S = 0.2

PEERS = Path(".venv-peers/bin/python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An operation to measure, with the number of callers or the size of a group."""

    what: str = "turns"
    callers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A contestant of a contest.

    Attributes:
        name: in the report.
        module: the module with ``enter``.
        family: stepkeep, raw, orm or peer.
        options: added to the spec.
    """

    name: str
    module: str
    family: str
    settings: Sequence[Setting]
    options: Mapping[str, Any] = field(default_factory=dict)
    is_gevent: bool = False

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return str(PEERS) if self.family == "peer" else sys.executable


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Entrants on one kind of database.

    Attributes:
        weight: its share of the whole run's time.
    """

    name: str
    database: str
    entrants: Sequence[Entrant]
    weight: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measurement of one round."""

    contest: str
    entrant: str
    family: str
    what: str
    callers: int
    round: int
    turns: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: Mapping[str, int]

    @property
    def rate(self) -> float:
        """Turns per second."""
        return self.turns / self.seconds


class Absent(Exception):
    """The contestant did not start, did not answer in time, or ended."""


class Running:
    """A contestant's process."""

    def __init__(self, entrant: Entrant, url: str, folder: Path) -> None:
        self.entrant = entrant
        self.url = url
        self.log = folder / f"{_slug(entrant.name)}.log"
        spec = json.dumps({"url": url, "folder": str(folder), **entrant.options})
        command = [entrant.python, "-m", "benchmarks.worker", entrant.module, spec]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this package
                command + ["--gevent"] * entrant.is_gevent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def facts(self) -> dict[str, str]:
        """Return the contestant's facts once it is ready.

        Raises:
            Absent: it did not become ready.
        """
        facts: dict[str, str] = self._answer(OPEN_S)["ready"]
        return facts

    def measure(self, setting: Setting, seconds: float) -> dict[str, Any]:
        """Return one measurement.

        Raises:
            Absent: it did not answer in time.
        """
        self._send({**dataclasses.asdict(setting), "seconds": seconds})
        return self._answer(seconds + GRACE_S + 10)

    def rest(self) -> None:
        """Let it close its idle connections.

        Raises:
            Absent: it did not answer in time.
        """
        self._send({"what": "rest"})
        self._answer(GRACE_S)

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # _answer raises Absent with the last line of the log
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _answer(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise Absent(f"no answer within {seconds:.0f} s") from None
        if line is None:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["the process ended"]
            raise Absent(last[0])
        answer: dict[str, Any] = json.loads(line)
        return answer


class Race:
    """A running contest."""

    def __init__(self, contest: Contest, folder: Path) -> None:
        self.contest = contest
        self.results: list[Result] = []
        self.facts: dict[str, dict[str, str]] = {}
        self.absent: dict[str, str] = {}
        self._folder = folder
        self._running: list[Running] = []

    def run(self, rounds: int, until: float) -> None:
        """Measure this many rounds, or as many as there is time for, but at least one."""
        with contextlib.ExitStack() as stack:
            self._enter(stack)
            for number in range(1, rounds + 1):
                started = time.monotonic()
                self._round(number)
                took = time.monotonic() - started
                print(f"  {self.contest.name}: round {number} of {rounds} took {took:.0f} s", flush=True)
                if time.monotonic() + took > until:
                    break

    def _enter(self, stack: contextlib.ExitStack) -> None:
        waiting: list[Running] = []
        for number, entrant in enumerate(self.contest.entrants):
            if entrant.family == "peer" and not PEERS.exists():
                self._leave_out(entrant, f"{PEERS} does not exist; `make bench` creates it")
                continue
            name = f"{_slug(self.contest.name)}_{number}"
            url = stack.enter_context(databases.fresh(self.contest.database, name, self._folder))
            running = Running(entrant, url, self._folder)
            stack.callback(running.kill)
            waiting.append(running)
        for running in waiting:
            try:
                self.facts[running.entrant.name] = running.facts()
                running.rest()
                self._running.append(running)
            except Absent as error:
                self._leave_out(running.entrant, str(error))
        print(f"  {self.contest.name}: {len(self._running)} contestants are ready", flush=True)

    def _round(self, number: int) -> None:
        for running in list(self._running):
            os.sync()  # otherwise dirty pages of one would be written by the next one's flushes
            try:
                running.measure(running.entrant.settings[-1], WARM_S)  # opens connections, fills caches
                databases.refresh_statistics(running.url)
                for setting in running.entrant.settings:
                    self._add(running, setting, number, running.measure(setting, self._seconds(setting)))
                running.rest()
            except Absent as error:
                running.kill()
                self._running.remove(running)
                self._leave_out(running.entrant, str(error))

    def _seconds(self, setting: Setting) -> float:
        """Return the length of the window; longer for many callers, whose first and unfinished turns weigh more."""
        return self.contest.seconds * (1 + min(setting.callers, MANY_CALLERS) / MANY_CALLERS)

    def _add(self, running: Running, setting: Setting, number: int, measured: dict[str, Any]) -> None:
        if stuck := measured.pop("stuck"):
            raise Absent(f"{stuck} of {setting.callers} callers had not ended {GRACE_S:.0f} s after the window")
        entrant = running.entrant
        self.results.append(
            Result(
                contest=self.contest.name,
                entrant=entrant.name,
                family=entrant.family,
                **dataclasses.asdict(setting),
                round=number,
                **measured,
            )
        )

    def _leave_out(self, entrant: Entrant, reason: str) -> None:
        self.absent[entrant.name] = reason
        print(f"  {self.contest.name}: {entrant.name} is left out: {reason}", flush=True)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
