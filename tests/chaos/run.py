"""One run on one database: participants, two lanes of faults, then quiet, then the checker.

Bounded: each phase has a deadline, whatever hangs; and whatever happens, the processes that were started are ended.
"""

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import create_engine

from app.store.drivers import sqlite
from app.store.engine import database_facts, normalise_url
from app.survey.snapshot import SessionKey
from tests.chaos import checker, stored
from tests.chaos.browsers import BrowserCrowd
from tests.chaos.checker import Finding
from tests.chaos.faults import made
from tests.chaos.participants import Crowd, Participant
from tests.chaos.plan import LANES, Fault, Lane, kinds_of, plan
from tests.chaos.result import Done, Order, Result
from tests.chaos.world import World, new_folder

FIRST_S = 60
RECOVERY_S = 45
DRAIN_S = 60
END_S = 20
LOOK_S = 0.05
PROGRESS_S = 5

NOBODY = SessionKey("", "")


def run(order: Order, *, tell: Callable[[str], None] = print, keep: Path | None = None) -> Result:
    """Make the run and return what it gave.

    Args:
        tell: gets a line of progress now and then, and each thing that breaks.
        keep: where the clients' logs and the server's go if anything was found.
    """
    folder = new_folder()
    try:
        result = _Run(order, folder, tell).run()
        if result.findings and keep is not None:
            kept = keep / f"{order.database}-{order.seed}"
            ignored = shutil.ignore_patterns("disk", "outbox-*")
            shutil.copytree(folder, kept, dirs_exist_ok=True, ignore=ignored)
            tell(f"  the logs are in {kept}; to replay: {order.command}")
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(self, order: Order, folder: Path, tell: Callable[[str], None]) -> None:
        self._order = order
        self._tell = tell
        self._stopping = threading.Event()
        self._broken: list[Finding] = []
        self._world = World(order.database, folder, mutant=order.mutant)
        self._crowd = Crowd(self._world.origin, folder, order.seed)
        self._lanes = [
            threading.Thread(target=self._lane, args=(lane,), name=f"chaos-{lane}", daemon=True) for lane in LANES
        ]
        self._result = Result(order, time.monotonic(), logs=self._crowd.logs, missing=self._world.missing)

    def run(self) -> Result:
        try:
            self._take_part()
            self._stop_server()
            self._judge()
        finally:
            self._crowd.giving.clear()
            self._crowd.ending.set()
            try:
                self._end_faults()  # or a database would be started after its folder was removed
            finally:
                self._world.close()
        return self._result

    def _take_part(self) -> None:
        order, crowd = self._order, self._crowd
        crowd.giving.set()
        people: list[Participant | BrowserCrowd] = [Participant(number, crowd) for number in range(order.participants)]
        if order.browsers:
            people.append(BrowserCrowd(order.browsers, crowd))
        for person in people:
            person.thread.start()
        expected = order.participants + order.browsers
        self._wait(lambda: self._result.acknowledged >= expected, FIRST_S, "hardly anybody was acknowledged at first")
        self._make_faults()
        crowd.giving.clear()
        self._wait(lambda: not any(person.thread.is_alive() for person in people), DRAIN_S, "")
        self._result.ended_s = time.monotonic()
        crowd.ending.set()
        for person in people:
            person.thread.join(END_S)
            if person.failure is not None:
                self._break(f"{person.thread.name} failed: {person.failure!r}")

    def _make_faults(self) -> None:
        deadline = time.monotonic() + self._order.seconds
        for lane in self._lanes:
            lane.start()
        told_s = time.monotonic()
        while any(lane.is_alive() for lane in self._lanes) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            if time.monotonic() - told_s > PROGRESS_S:
                told_s = time.monotonic()
                self._progress()
        self._end_faults()

    def _end_faults(self) -> None:
        """Let the faults that are under way end; the second time there are none."""
        self._stopping.set()
        for lane in self._lanes:
            if lane.is_alive():
                lane.join(RECOVERY_S * 2)
                if lane.is_alive():
                    self._break(f"{lane.name} hangs")
        self._world.heal()

    def _lane(self, lane: Lane) -> None:
        for fault in self._faults(lane):
            if self._stopping.is_set():
                return
            now_s = time.monotonic()
            done = Done(fault, now_s, now_s)
            self._result.faults.append(done)
            try:
                with made(self._world, fault):
                    done.held_s = time.monotonic()
                    self._stopping.wait(fault.duration_s)
            except Exception as error:  # noqa: BLE001 - it is a finding
                self._break(f"after {fault.kind} (number {fault.number} of {lane}): {str(error)[-4000:]}")
                return
            done.ended_s = time.monotonic()
            self._await_recovery(done)
            self._stopping.wait(fault.gap_s)

    def _faults(self, lane: Lane) -> Iterator[Fault]:
        order = self._order
        kinds = frozenset(kinds_of(order.database, lane)) - self._world.missing
        wanted = kinds if order.kinds is None else kinds & order.kinds
        if not wanted:
            return iter(())
        faults = (
            fault
            for fault in plan(order.seed, order.database, lane, without=self._world.missing)
            if fault.kind in wanted
        )
        if order.faults is None:
            return faults
        share = order.faults // 2 if lane == "store" else order.faults - order.faults // 2
        return itertools.islice(faults, share)

    def _await_recovery(self, done: Done) -> None:
        """Return when somebody was acknowledged after the fault."""
        self._wait(
            lambda: self._stopping.is_set() or self._crowd.acknowledged_s() > done.ended_s,
            RECOVERY_S,
            f"nobody was acknowledged in {RECOVERY_S} s after {done.fault.kind}",
        )

    def _stop_server(self) -> None:
        try:
            self._world.server.terminate()
        except AssertionError as error:
            self._break(str(error))
        self._result.restarts = self._world.server.restarts

    def _judge(self) -> None:
        url = normalise_url(self._world.direct_url)
        options = {"module": sqlite.driver()} if self._order.database == "sqlite" else {}
        engine = create_engine(url, **options)
        self._result.facts = database_facts(engine)
        engine.dispose()
        found = checker.check(stored.read(self._world.direct_url), list(self._crowd.logs))
        self._result.findings = [*self._broken, *found]

    def _wait(self, condition: Callable[[], bool], timeout_s: float, failure: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                if failure:
                    self._break(failure)
                return
            time.sleep(LOOK_S)

    def _break(self, detail: str) -> None:
        self._broken.append(Finding("recovery", NOBODY, detail))
        self._tell(f"  ! {detail}")

    def _progress(self) -> None:
        result = self._result
        passed_s = time.monotonic() - result.began_s
        now = ", ".join(done.fault.kind for done in result.faults[-2:])
        self._tell(
            f"  {result.order.database} {passed_s:5.0f} s: {result.acknowledged:,} acknowledged, "
            f"{len(result.faults)} faults (now {now})"
        )
