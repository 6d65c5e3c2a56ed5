"""Participants: each walks through session after session, as fast as the server lets him.

Four habits, by number: with an outbox on disk (leaves in the middle, and comes back as a new client with the
outbox that he left), in memory, several commands at once without waiting, and twins: two devices of one session.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from tests.chaos.clients import LoggedClient
from tests.chaos.logs import ClientLog, open_file
from tests.chaos.walks import SURVEYS, Walk

Habit = Literal["returns", "waits", "hurries", "twin"]

HABITS: tuple[Habit, ...] = ("returns", "waits", "hurries", "twin")

WISHES_A_VISIT = 40
IMPATIENT_S = 3.0
"""Seconds after which a participant gives the next command though the last one is unanswered."""

MAX_UNANSWERED = 20
AT_ONCE = {"returns": 3, "waits": 1, "hurries": 8, "twin": 1}
"""Commands that a participant gives without waiting, at most."""

PAUSE_S = 0.02
LEAVES_EVERY = 12
LOOK_S = 0.5

NEWEST_LOGS = 200
"""Those among which the clients that are open are, surely."""


@dataclass
class Crowd:
    """What the participants share.

    Attributes:
        giving: set as long as new commands are given.
        ending: set when clients are to be closed though something is unanswered.
    """

    origin: str
    folder: Path
    seed: str
    giving: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)
    logs: list[ClientLog] = field(default_factory=list)

    def acknowledged_s(self) -> float:
        """Return when anybody was acknowledged last."""
        return max((log.acknowledged_s for log in self.logs[-NEWEST_LOGS:]), default=0.0)

    def new_log(self, client: str, survey_id: str, user_id: str, file: TextIO) -> ClientLog:
        """Return a new client's log, which the checker will see."""
        log = ClientLog(client, survey_id, user_id, file)
        self.logs.append(log)
        return log


class Participant:
    """One participant in a thread of his own."""

    def __init__(self, number: int, crowd: Crowd) -> None:
        self.habit: Habit = HABITS[number % len(HABITS)]
        self._crowd = crowd
        self._number = number
        # Twins 3 and 7 are one person, 11 and 15 another.
        self._person = number - 4 if self.habit == "twin" and number % 8 == 7 else number
        self._survey_id = SURVEYS[(self._person // len(HABITS)) % len(SURVEYS)]
        self._random = random.Random(f"{crowd.seed} participant {number}")
        self._file = open_file(crowd.folder, f"client-{number}")
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name=f"chaos-participant-{number}", daemon=True)

    def _run(self) -> None:
        try:
            visit = 0
            while self._crowd.giving.is_set():
                visit += 1
                self._visit(visit)
        except BaseException as error:  # noqa: BLE001 - the run reports it
            self.failure = error
        finally:
            self._file.close()

    def _visit(self, visit: int) -> None:
        """Take part once: WISHES_A_VISIT wishes in one session, and wait until all are answered."""
        user_id = f"{self._crowd.seed}-p{self._person}-v{visit}"
        log = self._crowd.new_log(f"p{self._number}v{visit}", self._survey_id, user_id, self._file)
        walk = Walk(f"{user_id} by {self._number}", self._survey_id)
        path = self._crowd.folder / f"outbox-{self._number}-{visit}.jsonl" if self.habit == "returns" else None
        client = self._new_client(log, path)
        for number in range(1, WISHES_A_VISIT + 1):
            if not self._crowd.giving.is_set():
                break
            if self.habit == "returns" and number % LEAVES_EVERY == 0:
                client.close()
                log.note("left, and comes back with the outbox that it left")
                client = self._new_client(log, path)
            self._wish(client, walk)
        self._wait_until(lambda: not log.unanswered())
        client.close()
        if path is not None:
            path.unlink(missing_ok=True)

    def _new_client(self, log: ClientLog, path: Path | None) -> LoggedClient:
        client = LoggedClient(self._crowd.origin, log, path)
        client.start()
        return client

    def _wish(self, client: LoggedClient, walk: Walk) -> None:
        session = self._session(client.log)
        if session is None:
            return
        self._wait_until(lambda: len(client.log.unanswered()) < MAX_UNANSWERED)
        at_once = self._random.randint(1, AT_ONCE[self.habit])
        given = [client.give(walk.next(session)) for _ in range(at_once)]
        last = next((command_id for command_id in reversed(given) if command_id is not None), None)
        if last is not None:
            client.log.wait_for_answer(last, IMPATIENT_S)
        time.sleep(PAUSE_S * self._random.random())

    def _session(self, log: ClientLog) -> Mapping[str, Any] | None:
        while not self._crowd.ending.is_set():
            session = log.wait_for_session(LOOK_S)
            if session is not None:
                return session
        return None

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self._crowd.ending.is_set():
            self._crowd.ending.wait(PAUSE_S)
