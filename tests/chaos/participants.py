"""Participants: each completes session after session, as fast as the server allows.

Four habits, by number: an outbox on disk (the client is closed midway, and a new one resumes with its outbox), an
outbox in memory (and every second visit over REST), bursts of commands without waiting, and twins (two devices of one
session). A visit ends early when its participant is erased, once the server refuses the token.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from tests.chaos.clients import LoggedClient, RestClient
from tests.chaos.logs import ClientLog, open_file
from tests.chaos.walks import SURVEYS, Walk
from tests.chaos.world import World

Habit = Literal["returns", "waits", "hurries", "twin"]

HABITS: tuple[Habit, ...] = ("returns", "waits", "hurries", "twin")

COMMANDS_PER_VISIT = 40
ANSWER_TIMEOUT_S = 3.0
"""A participant sends the next command after this time, even if the last one is unanswered."""

MAX_UNANSWERED = 20
MAX_BURST = {"returns": 3, "waits": 1, "hurries": 8, "twin": 1}
"""Maximum number of commands that a participant sends without waiting."""

PAUSE_S = 0.02
REOPEN_EVERY = 12
POLL_S = 0.5

NEWEST_LOGS = 200
"""More logs than open clients."""


@dataclass
class Crowd:
    """The participants' shared state.

    Attributes:
        sending: set while participants send new commands.
        stopping: set when clients close even if commands are unanswered.
    """

    world: World
    seed: str
    sending: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)

    def acknowledged_s(self) -> float:
        """Return the time of the newest acknowledgement of any participant."""
        return max((log.acknowledged_s for log in self.world.logs[-NEWEST_LOGS:]), default=0.0)

    def new_log(self, client: str, survey_id: str, user_id: str, file: TextIO) -> ClientLog:
        """Return the log of a new client, registered for the checker."""
        log = ClientLog(client, survey_id, user_id, file)
        self.world.logs.append(log)
        return log

    def is_visiting(self, log: ClientLog, number: int) -> bool:
        """Return whether the participant sends this command, the first being 1: to the end of an erasure, at least."""
        is_long = number > COMMANDS_PER_VISIT and log.key not in self.world.erasing
        return self.sending.is_set() and not (is_long or log.is_refused)


class Participant:
    """A participant with a thread."""

    def __init__(self, number: int, crowd: Crowd) -> None:
        self.habit: Habit = HABITS[number % len(HABITS)]
        self._crowd = crowd
        self._number = number
        # Twins 3 and 7 are one participant, 11 and 15 another.
        self._person = number - 4 if self.habit == "twin" and number % 8 == 7 else number
        self._survey_id = SURVEYS[(self._person // len(HABITS)) % len(SURVEYS)]
        self._random = random.Random(f"{crowd.seed} participant {number}")
        self._file = open_file(crowd.world.folder, f"client-{number}")
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name=f"chaos-participant-{number}", daemon=True)

    def _run(self) -> None:
        try:
            visit = 0
            while self._crowd.sending.is_set():
                visit += 1
                self._visit(visit)
        except BaseException as error:  # noqa: BLE001 - the run reports it
            self.failure = error
        finally:
            self._file.close()

    def _visit(self, visit: int) -> None:
        """Send commands in one session, and wait until all are answered."""
        user_id = f"{self._crowd.seed}-p{self._person}-v{visit}"
        log = self._crowd.new_log(f"p{self._number}v{visit}", self._survey_id, user_id, self._file)
        walk = Walk(f"{user_id} by {self._number}", self._survey_id)
        path = self._crowd.world.folder / f"outbox-{self._number}-{visit}.jsonl" if self.habit == "returns" else None
        client: LoggedClient | RestClient
        if self.habit == "waits" and visit % 2 == 0:
            client = RestClient(self._crowd.world.origin, log, self._crowd.world.token(log.key), self._crowd.stopping)
            client.start()
        else:
            client = self._new_client(log, path)
        number = 0
        while self._crowd.is_visiting(log, number := number + 1):
            if self.habit == "returns" and number % REOPEN_EVERY == 0:
                client.close()
                log.note("closed; reopened with the same outbox")
                client = self._new_client(log, path)
            self._send(client, walk)
            log.is_refused = client.is_refused
        self._wait_until(lambda: client.is_refused or not log.unanswered())
        log.is_refused = client.is_refused
        client.close()
        if path is not None:
            path.unlink(missing_ok=True)

    def _new_client(self, log: ClientLog, path: Path | None) -> LoggedClient:
        client = LoggedClient(self._crowd.world.origin, log, self._crowd.world.token(log.key), path)
        client.start()
        return client

    def _send(self, client: LoggedClient | RestClient, walk: Walk) -> None:
        session = self._session(client)
        if session is None:
            return
        self._wait_until(lambda: client.is_refused or len(client.log.unanswered()) < MAX_UNANSWERED)
        burst = self._random.randint(1, MAX_BURST[self.habit])
        ids = [client.send(walk.next(session)) for _ in range(burst)]
        last = next((command_id for command_id in reversed(ids) if command_id is not None), None)
        if last is not None:
            client.log.wait_for_answer(last, ANSWER_TIMEOUT_S)
        time.sleep(PAUSE_S * self._random.random())

    def _session(self, client: LoggedClient | RestClient) -> Mapping[str, Any] | None:
        while not self._crowd.stopping.is_set() and not client.is_refused:
            session = client.log.wait_for_session(POLL_S)
            if session is not None:
                return session
        return None

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition() and not self._crowd.stopping.is_set():
            self._crowd.stopping.wait(PAUSE_S)
