"""The Python client as a run uses it: quick to try again, and with everything that it does in a log."""

import time
from pathlib import Path
from typing import Any

from app.client import ClientTimes, SurveyClient
from app.client.outbox import FileOutbox, MemoryOutbox
from tests.chaos.logs import ClientLog
from tests.chaos.walks import Wish

TIMES = ClientTimes(
    connect_delay_s=0.1,
    connect_delay_max_s=0.8,
    slow_delay_s=1.0,
    busy_delay_s=0.5,
    send_delay_s=0.05,
    unavailable_delay_s=0.2,
    open_timeout_s=4.0,
    state_timeout_s=6.0,
    ping_interval_s=1.0,
    ping_timeout_s=2.0,
    close_timeout_s=0.5,
)
"""A tenth of what suits people: a run of minutes sees many outages."""


class LoggedClient:
    """A client of one session, and its log.

    Args:
        outbox_path: where the outbox is kept on disk; None: in memory.
    """

    def __init__(self, origin: str, log: ClientLog, outbox_path: Path | None) -> None:
        self.log = log
        self._client = SurveyClient(
            origin,
            log.user_id,
            survey_id=log.survey_id,
            outbox=MemoryOutbox() if outbox_path is None else FileOutbox(outbox_path),
            times=TIMES,
            listener=self._hear,
        )

    def start(self) -> None:
        """Connect, and send what the outbox holds."""
        self._client.start()

    def close(self) -> None:
        """End it; what is unanswered stays in the outbox."""
        self._client.close()

    def _hear(self, message: dict[str, Any]) -> None:
        self.log.receive(message)

    def give(self, wish: Wish) -> str | None:
        """Give the command; return its id, None for a draft, which has none."""
        at_s = time.monotonic()
        command, client = wish.command, self._client
        match wish.type:
            case "answer":
                sent = client.answer(command["step"], command["value"])
            case "back":
                sent = client.back()
            case "goto":
                sent = client.goto(command["step"])
            case "mode":
                sent = client.set_mode(audio=command["audio"])
            case "restart":
                sent = client.restart()
            case _:
                client.draft(command["step"], command["value"])
                self.log.give(at_s, None, command)
                return None
        self.log.give(at_s, sent.id, command, is_wrong=wish.is_wrong)
        return sent.id
