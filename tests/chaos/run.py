"""A run on one database: participants and faults, then a quiet period, then the checker.

Each phase has a deadline, and all started processes are ended whatever happens.
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
from tests.chaos.faults import inject
from tests.chaos.participants import Crowd, Participant
from tests.chaos.plan import FILE_LOST, LAYERS, Fault, Layer, fault_kinds, plan
from tests.chaos.result import InjectedFault, Result, RunConfig
from tests.chaos.world import World, new_folder

START_TIMEOUT_S = 60
RECOVERY_TIMEOUT_S = 45
DRAIN_TIMEOUT_S = 60
JOIN_TIMEOUT_S = 20
POLL_S = 0.05
PROGRESS_INTERVAL_S = 5

NO_SESSION = SessionKey("", "")


def run(config: RunConfig, *, output: Callable[[str], None] = print, logs: Path | None = None) -> Result:
    """Execute the run and return its result.

    Args:
        output: receives progress lines and failures.
        logs: directory for the logs of clients and server if there are findings.
    """
    folder = new_folder()
    try:
        result = _Run(config, folder, output).run()
        if result.findings and logs is not None:
            target = logs / f"{config.database}-{config.seed}"
            ignored = shutil.ignore_patterns("disk", "outbox-*")
            shutil.copytree(folder, target, dirs_exist_ok=True, ignore=ignored)
            output(f"  Logs: {target}. Repeat with: {config.command}")
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(self, config: RunConfig, folder: Path, output: Callable[[str], None]) -> None:
        self._config = config
        self._output = output
        self._stopping = threading.Event()
        self._failures: list[Finding] = []
        self._world = World(config.database, folder, mutant=config.mutant)
        self._crowd = Crowd(self._world, config.seed)
        self._layers = [
            threading.Thread(target=self._inject_faults, args=(layer,), name=f"chaos-{layer}", daemon=True)
            for layer in LAYERS
        ]
        self._result = Result(config, time.monotonic(), logs=self._world.logs, missing=self._world.missing)

    def run(self) -> Result:
        try:
            self._participate()
            self._stop_server()
            self._check()
        finally:
            self._crowd.sending.clear()
            self._crowd.stopping.set()
            try:
                self._end_faults()  # otherwise a database could be started after its folder was removed
            finally:
                self._world.close()
        return self._result

    def _participate(self) -> None:
        config, crowd = self._config, self._crowd
        crowd.sending.set()
        participants: list[Participant | BrowserCrowd] = [
            Participant(number, crowd) for number in range(config.participants)
        ]
        if config.browsers:
            participants.append(BrowserCrowd(config.browsers, crowd))
        for participant in participants:
            participant.thread.start()
        expected = config.participants + config.browsers
        self._wait(
            lambda: self._result.acknowledged >= expected,
            START_TIMEOUT_S,
            "too few commands were acknowledged before the first fault",
        )
        self._make_faults()
        crowd.sending.clear()
        self._wait(lambda: not any(participant.thread.is_alive() for participant in participants), DRAIN_TIMEOUT_S, "")
        self._result.ended_s = time.monotonic()
        crowd.stopping.set()
        for participant in participants:
            participant.thread.join(JOIN_TIMEOUT_S)
            if participant.failure is not None:
                self._fail(f"{participant.thread.name} failed: {participant.failure!r}")

    def _make_faults(self) -> None:
        deadline = time.monotonic() + self._config.seconds
        for layer in self._layers:
            layer.start()
        printed_s = time.monotonic()
        while any(layer.is_alive() for layer in self._layers) and time.monotonic() < deadline:
            time.sleep(POLL_S)
            if time.monotonic() - printed_s > PROGRESS_INTERVAL_S:
                printed_s = time.monotonic()
                self._progress()
        self._end_faults()

    def _end_faults(self) -> None:
        """End current faults; idempotent."""
        self._stopping.set()
        for layer in self._layers:
            if layer.is_alive():
                layer.join(RECOVERY_TIMEOUT_S * 2)
                if layer.is_alive():
                    self._fail(f"{layer.name} does not end")
        self._world.heal()

    def _inject_faults(self, layer: Layer) -> None:
        for fault in self._faults(layer):
            if self._stopping.is_set():
                return
            now_s = time.monotonic()
            injected = InjectedFault(fault, now_s, now_s)
            self._result.faults.append(injected)
            try:
                with inject(self._world, fault):
                    injected.active_s = time.monotonic()
                    self._stopping.wait(fault.duration_s)
                    injected.ending_s = time.monotonic()
            except Exception as error:  # noqa: BLE001 - it is a finding
                self._fail(f"after {fault.kind} (number {fault.number} of {layer}): {str(error)[-4000:]}")
                return
            injected.ended_s = time.monotonic()
            self._await_recovery(injected)
            self._stopping.wait(fault.gap_s)

    def _faults(self, layer: Layer) -> Iterator[Fault]:
        config = self._config
        kinds = frozenset(fault_kinds(config.database, layer)) - self._world.missing
        chosen = kinds if config.kinds is None else kinds & config.kinds
        if not chosen:
            return iter(())
        faults = (
            fault
            for fault in plan(config.seed, config.database, layer, without=self._world.missing)
            if fault.kind in chosen
        )
        if config.faults is None:
            return faults
        return itertools.islice(faults, (config.faults + LAYERS.index(layer)) // len(LAYERS))

    def _await_recovery(self, injected: InjectedFault) -> None:
        """Wait until a command is acknowledged after the fault."""
        self._wait(
            lambda: self._stopping.is_set() or self._crowd.acknowledged_s() > injected.ended_s,
            RECOVERY_TIMEOUT_S,
            f"no command was acknowledged within {RECOVERY_TIMEOUT_S} s after {injected.fault.kind}",
        )

    def _stop_server(self) -> None:
        try:
            self._world.server.terminate()
        except AssertionError as error:
            self._fail(str(error))
        server, result = self._world.server, self._result
        result.restarts, result.reloads, result.refused_reloads = (
            server.restarts,
            server.reloads,
            server.refused_reloads,
        )
        result.erased = len(self._world.erased)

    def _check(self) -> None:
        url = normalise_url(self._world.direct_url)
        options = {"module": sqlite.driver()} if self._config.database == "sqlite" else {}
        engine = create_engine(url, **options)
        self._result.facts = database_facts(engine)
        engine.dispose()
        findings = checker.check(
            stored.read(self._world.direct_url),
            list(self._world.logs),
            erased=self._world.erased,
            file_lost=[
                (injected.active_s, injected.ending_s)
                for injected in self._result.faults
                if injected.fault.kind in FILE_LOST
            ],
        )
        self._result.findings = [*self._failures, *findings]

    def _wait(self, condition: Callable[[], bool], timeout_s: float, failure: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                if failure:
                    self._fail(failure)
                return
            time.sleep(POLL_S)

    def _fail(self, detail: str) -> None:
        self._failures.append(Finding("recovery", NO_SESSION, detail))
        self._output(f"  ! {detail}")

    def _progress(self) -> None:
        result = self._result
        elapsed_s = time.monotonic() - result.began_s
        now = ", ".join(injected.fault.kind for injected in result.faults[-2:])
        self._output(
            f"  {result.config.database} {elapsed_s:5.0f} s: {result.acknowledged:,} acknowledged, "
            f"{len(result.faults)} faults (now {now})"
        )
