"""The Python client with short delays and a log of everything that it sends and receives."""

import time
from pathlib import Path
from typing import Any

from app.client import ClientTimeouts, SurveyClient
from app.client.outbox import FileOutbox, MemoryOutbox
from tests.chaos.logs import ClientLog
from tests.chaos.walks import PlannedCommand

TIMEOUTS = ClientTimeouts(
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
"""About a tenth of the defaults, so that a run of minutes covers many outages."""


class LoggedClient:
    """A client of one session, and its log.

    Args:
        outbox_path: the outbox's file; None keeps it in memory.
    """

    def __init__(self, origin: str, log: ClientLog, outbox_path: Path | None) -> None:
        self.log = log
        self._client = SurveyClient(
            origin,
            log.user_id,
            survey_id=log.survey_id,
            outbox=MemoryOutbox() if outbox_path is None else FileOutbox(outbox_path),
            timeouts=TIMEOUTS,
            listener=self._record,
        )

    def start(self) -> None:
        """Connect, and send the commands in the outbox."""
        self._client.start()

    def close(self) -> None:
        """Disconnect; unanswered commands stay in the outbox."""
        self._client.close()

    def _record(self, message: dict[str, Any]) -> None:
        self.log.record_received(message)

    def send(self, planned: PlannedCommand) -> str | None:
        """Send the command; return its id, or None for a draft."""
        at_s = time.monotonic()
        command, client = planned.command, self._client
        match planned.type:
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
                self.log.record_sent(at_s, None, command)
                return None
        self.log.record_sent(at_s, sent.id, command, is_invalid=planned.is_invalid)
        return sent.id
